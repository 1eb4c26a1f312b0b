/**
 * The client side of the signaling protocol: one session with a device, over a WebSocket to `connect_client` that is
 * opened again when it breaks.
 *
 * 1. Nothing is sent before the device is known: what `send` is given earlier waits, bounded.
 * 2. Where the server allows it (protocol.md 2.6), a session outlives its sockets. What `send` is given meanwhile
 *    waits, bounded, and each message passes once and in order, both ways. Where that is in doubt, `resumed` says so.
 * 3. A new session is a new client for the device. What waited in the old one is thrown away, never sent late.
 * 4. The server's error text comes before the loss that it explains, and is repeated there, unless the server went on.
 * 5. After `closed` nothing else is emitted.
 */

import { AbandonedSockets } from './abandoned.js';
import { Backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { Outbox } from './outbox.js';
import { watchPage } from './page_watch.js';
import { isCount, parseObject, readConfig } from './server_message.js';
import { socketOpener } from './token_socket.js';
import { EXPIRED_CLOSE, floorOf, isFinal } from './verdict.js';

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
 * @property {boolean} resuming whether the next try goes on with this session
 */

/**
 * @typedef {object} SignalingEvents
 * @property {import('./server_message.js').Config} config may come again at any time
 * @property {{ deviceInfo: any }} deviceInfo a session has begun: the device is there, and messages can pass. If there
 *   was one before, it is over: to the device this is another client
 * @property {{ deviceInfo: any, maybeLost: boolean }} resumed the session goes on over a new socket, and the device
 *   noticed nothing. maybeLost: messages that were under way, to or from the device, may be lost
 * @property {{ payload: any }} message from the device
 * @property {ServerError} error
 * @property {{ resuming: boolean }} connecting a socket is being opened
 * @property {Loss} lost
 * @property {Loss} closed for good
 */

/**
 * @typedef {object} SignalingOptions
 * @property {string} deviceId
 * @property {string | URL} [url] of `connect_client`; relative to the page if not given
 * @property {import('./token_socket.js').TokenSource} [token] shown to the server with each socket: a text, or a function
 *   that is asked for one before each. Without a function, a token that the server does not accept is the end. Without a
 *   token the browser's cookie speaks for the page, and after `credential_expired` has one more attempt
 * @property {boolean} [resume] whether to ask for a session that outlives its sockets; yes, if not given
 * @property {'always' | 'until-device' | 'never'} [reconnect] when a lost socket is opened again. until-device: until a
 *   session has begun, and then as long as it can be resumed; one that can not be resumed any more is begun anew
 * @property {Backoff} [backoff]
 * @property {number} [openTimeoutMs] how long a socket may take to open, and the server then to say something
 * @property {number} [maxPending] messages that may wait for the device, and that are kept for sending again
 * @property {number} [maxPendingBytes] of each of those, and of what the socket has not written yet
 * @property {typeof watchPage} [watch] says when to look after the connection
 * @property {import('./token_socket.js').Ways['open']} [open]
 * @property {import('./token_socket.js').Ways['askWho']} [askWho] asks what the server thinks of the token
 * @property {(run: () => void, ms: number) => any} [setTimer]
 * @property {(timer: any) => void} [clearTimer]
 */

/** Close codes that do not end a session: the connection broke, the server restarts, it wants to see the token again. */
const BROKEN_CLOSES = new Set([1006, 1012, EXPIRED_CLOSE]);

/** The session can't be resumed, but a new one can begin. */
const CANNOT_RESUME = 'cannot_resume';

/** How long a connection has to stand until its loss is answered by an attempt without delay. */
const STEADY_MS = 1000;

/** All clients of a server that restarts come back within this time. */
const RESTART_SPREAD_MS = 500;

/**
 * A server holds a session whose connection broke for a while only (10 s by default), so for about that long no delay
 * is so long that this could pass in between.
 */
const URGENT_MS = 15_000;
const URGENT_DELAY_MS = 2000;

/** `readyState` of a WebSocket that is open. */
const OPEN = 1;

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
  #resume;
  #reconnect;
  #backoff;
  #openTimeoutMs;
  #maxPendingBytes;
  #watch;
  #open;
  /** Whether the next token may be another one. */
  #renewable;
  /** Whether a refused WebSocket is told from another that did not open. */
  #hasToken;
  #setTimer;
  #clearTimer;

  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {WebSocket | null} one that is being opened beside `#socket`, to take its place */
  #renewal = null;
  #abandoned = new AbandonedSockets();
  /** @type {any} */
  #timer = null;
  /** @type {any} */
  #renewalTimer = null;
  #unwatch = () => {};
  /** @type {ServerError | null} */
  #lastError = null;
  /** @type {ServerError | null} what the server said of the cookie, until it lets it in again */
  #expired = null;
  #deviceKnown = false;
  #deviceEverKnown = false;
  #steady = false;
  /** The sum of the delays since the session was last of use. */
  #delayedMs = 0;
  #stopped = true;

  #outbox;
  /** @type {string | null} the right to resume the session; null where there is none */
  #token = null;
  /** The number of `device_msg` in this counting. */
  #received = 0;
  /** @type {number | null} the number of `forward` the server had when it said that it restarts */
  #drained = null;
  /** How often this session was asked for since the last answer. */
  #asked = 0;

  /**
   * @param {SignalingOptions} options
   * @throws {TypeError} when the token can't be shown
   */
  constructor(options) {
    super();
    this.#deviceId = options.deviceId;
    this.#url = String(options.url ?? socketUrl('connect_client'));
    this.#resume = options.resume ?? true;
    this.#reconnect = options.reconnect ?? 'always';
    this.#backoff = options.backoff ?? new Backoff();
    this.#openTimeoutMs = options.openTimeoutMs ?? 10_000;
    this.#maxPendingBytes = options.maxPendingBytes ?? 1_048_576;
    this.#outbox = new Outbox(options.maxPending ?? 256, this.#maxPendingBytes);
    this.#watch = options.watch ?? watchPage;
    this.#open = socketOpener(options.token, options);
    this.#renewable = typeof options.token === 'function';
    this.#hasToken = options.token !== undefined;
    this.#setTimer = options.setTimer ?? ((run, ms) => setTimeout(run, ms));
    this.#clearTimer = options.clearTimer ?? ((timer) => clearTimeout(timer));
  }

  get deviceId() {
    return this.#deviceId;
  }

  /** Whether messages reach the device now. */
  get ready() {
    return this.#deviceKnown && this.#drained === null;
  }

  /** Whether there is a session: messages reach the device now, or when a broken connection is back. */
  get inSession() {
    return this.#deviceKnown || this.#token !== null;
  }

  /** Opens the first socket. Once closed, a client may be started again. */
  start() {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#deviceEverKnown = false;
    this.#expired = null;
    this.#backoff.reset();
    this.#unwatch = this.#watch({ retry: () => this.retryNow(), renew: () => this.renew() });
    this.#connect();
  }

  /** Does not wait for the end of the delay, if there is one. */
  retryNow() {
    if (this.#stopped || this.#socket) return;
    this.#connect();
  }

  /**
   * For when the connection may be dead without the browser having noticed: goes on over a new one. The old one stays in
   * use until the new one is open. A session that can't be resumed is left alone.
   */
  renew() {
    if (this.#stopped || this.#renewal) return;
    if (!this.#socket) this.#connect();
    else if (this.#deviceKnown && this.#token !== null) this.#openBeside();
    else if (!this.#deviceKnown && this.#socket.readyState === OPEN) {
      this.#abandon();
      this.#connect();
    }
  }

  /** Closes for good. The device drops this client at once; while the connection is broken, after the grace period. */
  close() {
    if (this.#stopped) return;
    const socket = this.#detach();
    socket?.close(1000);
    this.#finish({ error: null, closeCode: 1000, retryInMs: null, resuming: false });
  }

  /**
   * Sends a payload to the device, or keeps it until the device is known, or a broken connection is back.
   *
   * @param {any} payload any JSON value
   * @throws {SendError} when it is none, there is no connection, or too much is waiting already
   */
  send(payload) {
    const json = JSON.stringify(payload);
    // Without its payload the message would be a violation of the protocol, and the end.
    if (json === undefined) throw new SendError('Only a JSON value can be sent');
    const text = `{"message_type":"forward","payload":${json}}`;
    if (!this.#socket && !this.inSession) throw new SendError('There is no connection to the signaling server');
    if (this.ready && this.#socket && this.#socket.bufferedAmount + text.length > this.#maxPendingBytes) {
      throw new SendError('The connection to the signaling server is too slow');
    }
    if (!this.#outbox.add(text)) throw new SendError('Too many messages are waiting for the device');
    if (this.ready) this.#flush();
  }

  #flush() {
    for (let text = this.#outbox.next(); text !== undefined; text = this.#outbox.next()) this.#socket?.send(text);
  }

  #connect() {
    const socket = this.#open(this.#url);
    socket.onopen = () => this.#onOpen(socket);
    this.#use(socket);
  }

  /** @param {WebSocket} socket */
  #use(socket) {
    this.#clearTimer(this.#timer);
    this.#lastError = null;
    this.#steady = false;
    this.#socket = socket;
    this.#timer = this.#setTimer(() => this.#onTimeout(), this.#openTimeoutMs);
    socket.onmessage = (event) => this.#onText(event.data);
    socket.onclose = (event) => this.#onLost(event.code);
    this.emit('connecting', { resuming: this.#token !== null });
  }

  #openBeside() {
    this.#clearTimer(this.#renewalTimer);
    const socket = this.#open(this.#url);
    this.#renewal = socket;
    this.#renewalTimer = this.#setTimer(() => this.#onRenewalFailed(), this.#openTimeoutMs);
    socket.onopen = () => this.#goOver(socket);
    socket.onclose = () => this.#onRenewalFailed();
  }

  /**
   * From here on the old socket is not heard: what the count that is sent now leaves out is sent again on the new one.
   *
   * @param {WebSocket} socket that has opened
   */
  #goOver(socket) {
    this.#clearTimer(this.#renewalTimer);
    this.#renewal = null;
    this.#abandon();
    this.#onOpen(socket);
    this.#use(socket);
  }

  /** The old socket is as good or bad as it was: it stays in use, and is tried to be replaced until it is heard again. */
  #onRenewalFailed() {
    this.#dropRenewal();
    this.#renewalTimer = this.#setTimer(() => this.renew(), this.#backoff.next());
  }

  /** It has not asked for the session yet, so its close ends nothing. */
  #dropRenewal() {
    this.#clearTimer(this.#renewalTimer);
    const socket = this.#renewal;
    if (socket) socket.onopen = socket.onclose = null;
    this.#renewal = null;
    socket?.close();
  }

  /** @param {WebSocket} socket */
  #onOpen(socket) {
    const session = this.#token === null ? {} : { cuttlebone_resume: this.#token, cuttlebone_received: this.#received };
    const wish = this.#resume ? { cuttlebone_resume: true, ...session } : {};
    this.#asked += 1;
    this.#expired = null;
    socket.send(JSON.stringify({ message_type: 'connect', device_id: this.#deviceId, cuttlebone_ice: true, ...wish }));
  }

  #onTimeout() {
    this.#abandon();
    this.#onLost(null);
  }

  /** @param {unknown} text */
  #onText(text) {
    if (!this.#deviceKnown) this.#clearTimer(this.#timer);
    if (!this.#renewal) this.#clearTimer(this.#renewalTimer);
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
    // An error that the server goes on after closed nothing, and does not explain a later loss.
    this.#lastError = null;
    switch (message.message_type) {
      case 'config':
        this.emit('config', readConfig(message));
        break;
      case 'device_info':
        if (!this.#deviceKnown) this.#onDeviceInfo(message);
        break;
      case 'device_msg':
        this.#received += 1;
        this.emit('message', { payload: message.payload });
        break;
      case 'cuttlebone_draining':
        this.#onDraining(message.cuttlebone_received);
        break;
      default: // Later servers may say more than this client knows.
    }
  }

  /** @param {Record<string, any>} message */
  #onDeviceInfo({ device_info: deviceInfo, cuttlebone_resume: token, cuttlebone_received: taken }) {
    const next = this.#resume && typeof token === 'string' ? token : null;
    const resumed = this.#token !== null && next !== null;
    if (this.#token !== null && next === null) this.#endSession();
    const complete = resumed && this.#recount(taken);
    this.#token = next;
    this.#asked = 0;
    this.#deviceKnown = true;
    this.#deviceEverKnown = true;
    this.#backoff.reset();
    this.#delayedMs = 0;
    this.#timer = this.#setTimer(() => (this.#steady = true), STEADY_MS);
    this.#abandoned.closeFormer();
    this.#flush();
    if (resumed) this.emit('resumed', { deviceInfo, maybeLost: !complete });
    else this.emit('deviceInfo', { deviceInfo });
  }

  /**
   * Settles what is to be sent again, and whether the counting goes on.
   *
   * After a planned restart nothing is lost, though the next process does not know the counts. But if it was asked before
   * and its answer did not arrive, what it sent after that answer may not have arrived either.
   *
   * @param {unknown} taken the number of `forward` the server took; nothing where it does not know
   * @returns {boolean} false if messages may be lost
   */
  #recount(taken) {
    const counted = isCount(taken);
    const known = counted ? taken : this.#drained;
    const complete = known !== null && this.#outbox.rewind(known) && (counted || this.#asked === 1);
    if (!counted) {
      this.#outbox.restart();
      this.#received = 0;
    }
    this.#drained = null;
    return complete;
  }

  /**
   * The server has sent all it holds, takes nothing more, and closes.
   *
   * @param {unknown} taken
   */
  #onDraining(taken) {
    if (!this.ready || this.#token === null || !isCount(taken)) return;
    this.#drained = taken;
    this.#clearTimer(this.#timer);
    this.#timer = this.#setTimer(() => this.#onTimeout(), this.#openTimeoutMs);
  }

  /** @param {number | null} closeCode */
  #onLost(closeCode) {
    const error = this.#lastError;
    if (this.#expired && closeCode !== null) {
      this.#detach();
      this.#finish({ error: this.#expired, closeCode, retryInMs: null, resuming: false });
      return;
    }
    if (closeCode === EXPIRED_CLOSE && !this.#hasToken) this.#expired = error;
    const anew = this.#token !== null && !this.#deviceKnown && error?.code === CANNOT_RESUME;
    const resuming = this.#token !== null && !anew && (!this.#deviceKnown || BROKEN_CLOSES.has(closeCode ?? 1006));
    this.#detach();
    if (!resuming) this.#endSession();
    if (anew) this.#deviceEverKnown = false;
    if (!this.#mayRetry(error, closeCode, resuming, anew)) {
      this.#finish({ error, closeCode, retryInMs: null, resuming: false });
      return;
    }
    const retryInMs = anew ? 0 : this.#delay(closeCode, resuming);
    this.#timer = this.#setTimer(() => this.#connect(), retryInMs);
    this.emit('lost', { error, closeCode, retryInMs, resuming });
  }

  /**
   * @param {number | null} closeCode
   * @param {boolean} resuming
   */
  #delay(closeCode, resuming) {
    if (resuming && this.#steady) return closeCode === 1012 ? this.#backoff.within(RESTART_SPREAD_MS) : 0;
    const floorMs = floorOf(closeCode);
    const urgent = resuming && floorMs === 0 && this.#delayedMs < URGENT_MS;
    const delayMs = Math.min(this.#backoff.next(floorMs), urgent ? URGENT_DELAY_MS : Infinity);
    this.#delayedMs += delayMs;
    return delayMs;
  }

  /**
   * @param {ServerError | null} error
   * @param {number | null} closeCode
   * @param {boolean} resuming
   * @param {boolean} anew
   */
  #mayRetry(error, closeCode, resuming, anew) {
    if (this.#reconnect === 'never') return false;
    if (anew) return true;
    if (this.#reconnect === 'until-device' && !resuming && (this.#deviceEverKnown || error)) return false;
    return !isFinal(error, closeCode, this.#renewable);
  }

  /** @param {Loss} loss */
  #finish(loss) {
    this.#stopped = true;
    this.#unwatch();
    this.#endSession();
    this.emit('closed', loss);
  }

  #endSession() {
    this.#token = null;
    this.#drained = null;
    this.#received = 0;
    this.#outbox.clear();
    this.#abandoned.closeAll();
  }

  /** Lets go of the socket, so that nothing it still does is heard, and of the one that was to take its place. */
  #detach() {
    this.#dropRenewal();
    const socket = this.#socket;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    this.#clearTimer(this.#timer);
    this.#socket = null;
    this.#deviceKnown = false;
    return socket;
  }

  /** Gives the socket up, without a close where that would end a session. */
  #abandon() {
    const carried = this.#deviceKnown;
    const socket = this.#detach();
    if (this.#token !== null && socket?.readyState === OPEN) this.#abandoned.add(socket, carried);
    else socket?.close();
  }
}
