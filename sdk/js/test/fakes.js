/** Stand-ins for what a browser has and Node has not. */

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

  /** @param {string} url */
  constructor(url) {
    this.url = url;
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
