/**
 * The client side of the signaling protocol: one WebSocket to `connect_client`, opened again when it breaks.
 *
 * 1. Nothing is sent before the device is known: what `send` is given earlier waits, bounded.
 * 2. A new socket is a new client for the device. What waited for the old one is thrown away, never sent late.
 * 3. The server's error text comes before the loss that it explains, and is repeated there.
 * 4. After `closed` nothing else is emitted.
 */

import { Backoff } from './backoff.js';
import { Emitter } from './emitter.js';

/** @typedef {{ urls: string[], username?: string, credential?: string }} IceServer */

/**
 * @typedef {object} ServerError
 * @property {string} text for people
 * @property {string | null} code `cuttlebone_code`, a stable word; null from servers that have none
 */

/**
 * @typedef {object} Loss
 * @property {ServerError | null} error what the server said before it closed
 * @property {number | null} closeCode of the WebSocket; null when it could not be opened in time
 * @property {number | null} retryInMs null when it is not tried again
 */

/**
 * @typedef {object} SignalingEvents
 * @property {{ iceServers: IceServer[], raw: Record<string, any> }} config may come again at any time
 * @property {{ deviceInfo: any }} deviceInfo the device is there, messages can pass
 * @property {{ payload: any }} message from the device
 * @property {ServerError} error
 * @property {{}} connecting a socket is being opened
 * @property {Loss} lost
 * @property {Loss} closed for good
 */

/**
 * @typedef {object} SignalingOptions
 * @property {string} deviceId
 * @property {string | URL} [url] of `connect_client`; relative to the page if not given
 * @property {'always' | 'until-device' | 'never'} [reconnect] when a lost socket is opened again
 * @property {Backoff} [backoff]
 * @property {number} [openTimeoutMs]
 * @property {number} [maxPending] messages that may wait for the device
 * @property {number} [maxPendingBytes] of those, and of what the socket has not written yet
 * @property {(url: string) => WebSocket} [open]
 * @property {(run: () => void, ms: number) => any} [setTimer]
 * @property {(timer: any) => void} [clearTimer]
 */

/** Error codes after which another attempt would fare no better. */
const FINAL_CODES = new Set(['forbidden', 'unauthorized', 'invalid_device_id', 'missing_device_id']);

/** Close codes after which another attempt would fare no better: binary, not UTF-8, policy, credential expired. */
const FINAL_CLOSES = new Set([1003, 1007, 1008, 4003]);

/** Error codes that pass with time, whatever the close code says. */
const PASSING_CODES = new Set([
  'device_disconnected',
  'device_not_found',
  'device_too_slow',
  'internal_error',
  'no_first_message',
  'overloaded',
  'rate_limited',
  'too_many_clients',
  'too_many_waiting',
  'too_slow',
  'unfinished_message',
]);

/** How long to stay away at least, by close code: overloaded, rate limited. */
const FLOOR_MS = new Map([[1013, 3000], [4029, 5000]]);

/** A message could not be taken for sending. */
export class SendError extends Error {
  name = 'SendError';
}

/**
 * The WebSocket address of `path`, relative to a page, so that a path prefix of a proxy is kept.
 *
 * @param {string} path
 * @param {string} [base]
 */
export function socketUrl(path, base = document.baseURI) {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace(/^http/, 'ws');
  url.hash = '';
  return url.href;
}

/** @extends {Emitter<SignalingEvents>} */
export class SignalingClient extends Emitter {
  #deviceId;
  #url;
  #reconnect;
  #backoff;
  #openTimeoutMs;
  #maxPending;
  #maxPendingBytes;
  #open;
  #setTimer;
  #clearTimer;

  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {any} */
  #timer = null;
  /** @type {ServerError | null} */
  #lastError = null;
  /** @type {string[]} */
  #pending = [];
  #pendingBytes = 0;
  #deviceKnown = false;
  #deviceEverKnown = false;
  #stopped = true;

  /** @param {SignalingOptions} options */
  constructor(options) {
    super();
    this.#deviceId = options.deviceId;
    this.#url = String(options.url ?? socketUrl('connect_client'));
    this.#reconnect = options.reconnect ?? 'always';
    this.#backoff = options.backoff ?? new Backoff();
    this.#openTimeoutMs = options.openTimeoutMs ?? 10_000;
    this.#maxPending = options.maxPending ?? 256;
    this.#maxPendingBytes = options.maxPendingBytes ?? 1_048_576;
    this.#open = options.open ?? ((url) => new WebSocket(url));
    this.#setTimer = options.setTimer ?? ((run, ms) => setTimeout(run, ms));
    this.#clearTimer = options.clearTimer ?? ((timer) => clearTimeout(timer));
  }

  get deviceId() {
    return this.#deviceId;
  }

  /** Whether messages reach the device now. */
  get ready() {
    return this.#deviceKnown;
  }

  /** Opens the first socket. Once closed, a client may be started again. */
  start() {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#deviceEverKnown = false;
    this.#backoff.reset();
    this.#connect();
  }

  /** Does not wait for the end of the delay, if there is one. */
  retryNow() {
    if (this.#stopped || this.#socket) return;
    this.#connect();
  }

  /** Closes for good. The device drops this client at once. */
  close() {
    if (this.#stopped) return;
    const socket = this.#detach();
    socket?.close(1000);
    this.#finish({ error: null, closeCode: 1000, retryInMs: null });
  }

  /**
   * Sends a payload to the device, or keeps it until the device is known.
   *
   * @param {any} payload any JSON value
   * @throws {SendError} when there is no connection, or too much is waiting already
   */
  send(payload) {
    const text = JSON.stringify({ message_type: 'forward', payload });
    if (!this.#socket) throw new SendError('There is no connection to the signaling server');
    if (!this.#deviceKnown) {
      this.#keep(text);
    } else if (this.#socket.bufferedAmount + text.length > this.#maxPendingBytes) {
      throw new SendError('The connection to the signaling server is too slow');
    } else {
      this.#socket.send(text);
    }
  }

  /** @param {string} text */
  #keep(text) {
    if (this.#pending.length >= this.#maxPending || this.#pendingBytes + text.length > this.#maxPendingBytes) {
      throw new SendError('Too many messages are waiting for the device');
    }
    this.#pending.push(text);
    this.#pendingBytes += text.length;
  }

  #connect() {
    this.#clearTimer(this.#timer);
    this.#lastError = null;
    const socket = this.#open(this.#url);
    this.#socket = socket;
    this.#timer = this.#setTimer(() => this.#onTimeout(), this.#openTimeoutMs);
    socket.onopen = () => this.#onOpen(socket);
    socket.onmessage = (event) => this.#onText(event.data);
    socket.onclose = (event) => this.#onLost(event.code);
    this.emit('connecting', {});
  }

  /** @param {WebSocket} socket */
  #onOpen(socket) {
    this.#clearTimer(this.#timer);
    socket.send(JSON.stringify({ message_type: 'connect', device_id: this.#deviceId }));
  }

  #onTimeout() {
    this.#socket?.close();
    this.#onLost(null);
  }

  /** @param {unknown} text */
  #onText(text) {
    const message = parseObject(text);
    if (!message) {
      this.emit('error', { text: 'The server sent something that is not a message', code: 'bad_server_message' });
    } else if (typeof message.error === 'string') {
      const code = typeof message.cuttlebone_code === 'string' ? message.cuttlebone_code : null;
      this.#lastError = { text: message.error, code };
      this.emit('error', this.#lastError);
    } else {
      this.#onMessage(message);
    }
  }

  /** @param {Record<string, any>} message */
  #onMessage(message) {
    switch (message.message_type) {
      case 'config':
        this.emit('config', { iceServers: Array.isArray(message.ice_servers) ? message.ice_servers : [], raw: message });
        break;
      case 'device_info':
        this.#onDeviceInfo(message.device_info);
        break;
      case 'device_msg':
        this.emit('message', { payload: message.payload });
        break;
      default: // Later servers may say more than this client knows.
    }
  }

  /** @param {any} deviceInfo */
  #onDeviceInfo(deviceInfo) {
    this.#deviceKnown = true;
    this.#deviceEverKnown = true;
    this.#backoff.reset();
    const pending = this.#takePending();
    this.emit('deviceInfo', { deviceInfo });
    for (const text of pending) this.#socket?.send(text);
  }

  /** @param {number | null} closeCode */
  #onLost(closeCode) {
    this.#detach();
    const error = this.#lastError;
    if (!this.#mayRetry(error, closeCode)) {
      this.#finish({ error, closeCode, retryInMs: null });
      return;
    }
    const retryInMs = this.#backoff.next(FLOOR_MS.get(closeCode ?? 0) ?? 0);
    this.#timer = this.#setTimer(() => this.#connect(), retryInMs);
    this.emit('lost', { error, closeCode, retryInMs });
  }

  /**
   * @param {ServerError | null} error
   * @param {number | null} closeCode
   */
  #mayRetry(error, closeCode) {
    if (this.#reconnect === 'never') return false;
    if (this.#reconnect === 'until-device' && (this.#deviceEverKnown || error)) return false;
    if (error?.code && FINAL_CODES.has(error.code)) return false;
    if (error?.code && PASSING_CODES.has(error.code)) return true;
    return !FINAL_CLOSES.has(closeCode ?? 0);
  }

  /** @param {Loss} loss */
  #finish(loss) {
    this.#stopped = true;
    this.emit('closed', loss);
  }

  /** Lets go of the socket, so that nothing it still does is heard. */
  #detach() {
    const socket = this.#socket;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    this.#clearTimer(this.#timer);
    this.#socket = null;
    this.#deviceKnown = false;
    this.#takePending();
    return socket;
  }

  #takePending() {
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    return pending;
  }
}

/**
 * @param {unknown} text
 * @returns {Record<string, any> | null}
 */
function parseObject(text) {
  if (typeof text !== 'string') return null;
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
