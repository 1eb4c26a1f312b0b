/** Stand-ins for what a browser has and Node has not, and a client that runs on them. */

import { Backoff } from '../backoff.js';
import { SignalingClient } from '../signaling.js';

/** Timers that run when a test says so. */
export class Clock {
  #timers = new Map();
  #next = 1;

  setTimer = (/** @type {() => void} */ run, /** @type {number} */ ms) => {
    this.#timers.set(this.#next, { run, ms });
    return this.#next++;
  };

  clearTimer = (/** @type {number} */ timer) => {
    this.#timers.delete(timer);
  };

  /** The delays that are set, in the order they were set. */
  get delays() {
    return [...this.#timers.values()].map(({ ms }) => ms);
  }

  /** Runs the timer that was set last. */
  fireLast() {
    const [id, { run }] = /** @type {[number, any]} */ ([...this.#timers].at(-1));
    this.#timers.delete(id);
    run();
  }
}

/** One end of a WebSocket; the test plays the server. */
export class FakeSocket {
  /** @type {any} */ onopen = null;
  /** @type {any} */ onmessage = null;
  /** @type {any} */ onclose = null;
  /** @type {any[]} */
  sent = [];
  bufferedAmount = 0;
  readyState = 0;
  /** @type {number | undefined} */
  closedWith;

  /** @param {string} url @param {string[]} [protocols] */
  constructor(url, protocols = []) {
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }

  /** @param {number} [code] */
  close(code) {
    this.readyState = 2;
    this.closedWith = code;
  }

  open() {
    this.readyState = 1;
    this.onopen?.({});
  }

  /** @param {any} message */
  says(message) {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }

  /** @param {number} code */
  closes(code) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

/**
 * Notes every event of an emitter, as `[name, detail]`.
 *
 * @param {any} emitter
 * @param {string[]} names
 */
export function record(emitter, ...names) {
  /** @type {[string, any][]} */
  const events = [];
  for (const name of names) emitter.on(name, (/** @type {any} */ detail) => events.push([name, detail]));
  return events;
}

/**
 * Starts a client whose timers, sockets and page are the test's own.
 *
 * @param {string[]} names Its events that are noted.
 * @param {Partial<import('../signaling.js').SignalingOptions>} [options]
 */
export function startClient(names, options) {
  const clock = new Clock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {any} */
  let page;
  const client = new SignalingClient({
    deviceId: 'cvd-1',
    url: 'ws://127.0.0.1/connect_client',
    backoff: new Backoff({ minMs: 1000, maxMs: 8000, random: () => 1 }),
    open: (url, protocols) => /** @type {any} */ (sockets[sockets.push(new FakeSocket(url, protocols)) - 1]),
    setTimer: clock.setTimer,
    clearTimer: clock.clearTimer,
    watch: (calls) => ((page = calls), () => (page = null)),
    ...options,
  });
  const events = record(client, ...names);
  client.start();
  const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));
  return { client, clock, sockets, socket, events, page: () => page };
}
