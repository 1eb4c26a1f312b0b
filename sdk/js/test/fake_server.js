/**
 * A server that resumes clients (protocol.md 2.6), as far as a client can see it, with one device behind it and a wire
 * on which the test moves one thing at a time.
 */

import { FakeSocket } from './fakes.js';

/**
 * @typedef {object} Session
 * @property {number} id
 * @property {number} counting which counting this is; a token of an earlier one has no counts
 * @property {number} taken
 * @property {any[]} said payloads of the device in this counting
 * @property {Connection | null} at
 */

class Connection extends FakeSocket {
  /** @type {Session | null} */
  session = null;
  /** Whether both ends still have it. */
  stands = true;

  /** @param {FakeServer} server @param {string} url */
  constructor(server, url) {
    super(url);
    this.server = server;
    server.carry(this, () => this.open());
  }

  /** @param {string} text */
  send(text) {
    super.send(text);
    this.server.carry(this, () => this.server.take(this, JSON.parse(text)));
  }

  /** @param {number} [code] */
  close(code) {
    super.close(code);
    this.server.carry(this, () => this.server.onClosed(this));
  }
}

export class FakeServer {
  /** @type {{ connection: Connection, run: () => void }[]} */
  #wire = [];
  /** @type {Map<number, Session>} */
  #sessions = new Map();
  #ids = 0;
  #countings = 0;
  /** @type {Connection | null} */
  last = null;
  /** What the device got, with the client it was from. */
  device = /** @type {{ from: number, payload: any }[]} */ ([]);
  /** @type {(payload: any) => any[]} what the device answers */
  answers = () => [];
  /** Whether it honours tokens that an earlier process made. */
  hasKey = true;

  open = (/** @type {string} */ url) => (this.last = new Connection(this, url));

  /** @param {Connection} connection @param {() => void} run */
  carry(connection, run) {
    this.#wire.push({ connection, run });
  }

  /** Lets the next thing arrive; false if nothing is on its way. */
  step() {
    const next = this.#wire.shift();
    if (next?.connection.stands) next.run();
    return next !== undefined;
  }

  /** Breaks the connection that was made last. What is on its way is lost. */
  cut() {
    if (!this.last?.stands) return;
    this.#forget(this.last);
    this.last.closes(1006);
  }

  /** Another process takes the place of this one, without a word. */
  kill() {
    this.#sessions.clear();
    this.cut();
  }

  /** Another process takes the place of this one, as planned. */
  drain() {
    const connection = this.last;
    const session = connection?.session;
    this.#sessions.clear();
    if (!connection?.stands) return;
    if (session) this.#say(connection, { message_type: 'cuttlebone_draining', cuttlebone_received: session.taken });
    connection.session = null;
    this.carry(connection, () => {
      connection.stands = false;
      connection.closes(1012);
    });
  }

  /** The sessions that the server holds. */
  get sessions() {
    return this.#sessions.size;
  }

  /** @param {Connection} connection @param {any} message */
  take(connection, message) {
    if (message.message_type === 'connect') this.#onConnect(connection, message);
    else if (connection.session) this.#onForward(connection.session, message.payload);
  }

  /** @param {Connection} connection a clean close, so the session it carries is over */
  onClosed(connection) {
    if (connection.session) this.#sessions.delete(connection.session.id);
    this.#forget(connection);
  }

  /** @param {Connection} connection */
  #forget(connection) {
    connection.stands = false;
    if (connection.session) connection.session.at = null;
    connection.session = null;
  }

  /** @param {Connection} connection @param {any} message */
  #onConnect(connection, { cuttlebone_resume: wish, cuttlebone_received: had }) {
    this.#say(connection, { message_type: 'config', ice_servers: [] });
    if (wish === true) return this.#greet(connection, this.#newSession((this.#ids += 1)), 0, {});
    const [id, counting] = String(wish).split('.').map(Number);
    const session = this.#sessions.get(Number(id)) ?? (this.hasKey ? this.#newSession(Number(id)) : null);
    if (!session) return this.#refuse(connection);
    if (session.at) this.#forget(session.at);
    if (session.counting !== counting) return this.#greet(connection, session, 0, {});
    this.#greet(connection, session, had, { cuttlebone_received: session.taken });
  }

  /** @param {number} id @returns {Session} */
  #newSession(id) {
    const session = { id, counting: (this.#countings += 1), taken: 0, said: [], at: null };
    this.#sessions.set(id, session);
    return session;
  }

  /** @param {Connection} connection @param {Session} session @param {number} had @param {object} counts */
  #greet(connection, session, had, counts) {
    connection.session = session;
    session.at = connection;
    const token = `${session.id}.${session.counting}`;
    this.#say(connection, { message_type: 'device_info', device_info: {}, cuttlebone_resume: token, ...counts });
    for (const payload of session.said.slice(had)) this.#say(connection, { message_type: 'device_msg', payload });
  }

  /** @param {Connection} connection */
  #refuse(connection) {
    this.#say(connection, { error: 'Session cannot be resumed', cuttlebone_code: 'cannot_resume' });
    this.carry(connection, () => {
      connection.stands = false;
      connection.closes(1008);
    });
  }

  /** @param {Session} session @param {any} payload */
  #onForward(session, payload) {
    session.taken += 1;
    this.device.push({ from: session.id, payload });
    for (const answer of this.answers(payload)) {
      session.said.push(answer);
      if (session.at) this.#say(session.at, { message_type: 'device_msg', payload: answer });
    }
  }

  /** @param {Connection} connection @param {any} message */
  #say(connection, message) {
    this.carry(connection, () => connection.says(message));
  }
}
