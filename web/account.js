/**
 * Who the server takes this browser for, and signing in and out. A token goes from the form to the server, which has the
 * browser keep it in a cookie that no page can read.
 *
 * 1. The token is in no address, no storage, no event and no error.
 * 2. What the server was asked before a token was accepted does not count after it.
 * 3. All pages of the browser learn of a sign-in and a sign-out.
 */

import { Emitter } from './js/emitter.js';

/**
 * @typedef {object} Who
 * @property {string} name
 * @property {string | null} identity only of those who have signed in at the provider, where two may have one name
 * @property {string | null} tenant
 * @property {string[]} roles
 * @property {Date | null} expiresAt
 */

/** @typedef {{ name: string }} Provider where one may sign in instead of with a token, and what people call it */

/**
 * @typedef {object} Standing
 * @property {'unknown' | 'anybody' | 'known' | 'out'} name unknown: the server has not said, or is one that never does;
 *   anybody: it serves whoever comes; out: it wants to know who comes
 * @property {Who | null} who only if known
 * @property {boolean} ended out, after it was known: the token has expired or was taken back
 */

/**
 * What became of a token: signed in; it can be none; the server did not accept it; the browser kept no cookie; the server
 * did not answer, or not as it should.
 *
 * @typedef {'ok' | 'no_token' | 'refused' | 'no_cookie' | 'no_answer'} Outcome
 */

/**
 * @typedef {object} AccountEvents
 * @property {Standing} change
 * @property {{}} over what the page shows was for somebody who has left: another one is here, or nobody
 */

/**
 * @typedef {object} AccountOptions
 * @property {string} [base] address of the page or the server's root
 * @property {(url: string, init: RequestInit) => Promise<Response>} [fetch]
 * @property {Pick<BroadcastChannel, 'postMessage' | 'onmessage'>} [channel] to the other pages
 */

const CHANNEL = 'cuttlebone-account';

/** What a cookie can hold (RFC 6265, cookie-octet): so a token with anything else is none. */
const TOKEN = /^[!#-+\--:<-[\]-~]{1,8192}$/;

/** A server lets whoever guesses wait for its answer. */
const ANSWER_MS = 60_000;

/** @extends {Emitter<AccountEvents>} */
export class Account extends Emitter {
  #base;
  #fetch;
  #channel;
  /** @type {Standing} */
  #standing = { name: 'unknown', who: null, ended: false };
  /** @type {Who | null} the last one that was known here */
  #last = null;
  /** @type {Promise<boolean> | null} */
  #asking = null;
  /** @type {Provider | null | undefined} undefined: the server has not said */
  #provider;

  /** @param {AccountOptions} [options] */
  constructor(options = {}) {
    super();
    this.#base = options.base ?? document.baseURI;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#channel = options.channel ?? new BroadcastChannel(CHANNEL);
    this.#channel.onmessage = ({ data }) => void (data === 'out' ? this.emit('over', {}) : this.check());
  }

  get standing() {
    return this.#standing;
  }

  /**
   * Asks the server. Whoever asks while it is being asked gets the same answer.
   *
   * @returns {Promise<boolean>} whether it said something; if not, all stays as it was
   */
  check() {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  /**
   * @param {string} token
   * @returns {Promise<Outcome>}
   */
  async signIn(token) {
    if (!TOKEN.test(token)) return 'no_token';
    const answer = await this.#request('POST', 'api/v1/session', { authorization: `Bearer ${token}` });
    if (answer?.status === 401) return 'refused';
    if (answer?.status !== 204) return 'no_answer';
    await this.#asking;
    if (!(await this.check())) return 'no_answer';
    if (this.#standing.name === 'out') return 'no_cookie';
    this.#channel.postMessage('in');
    return 'ok';
  }

  /** @returns {Promise<Provider | null>} null if there is none, or the server does not say */
  async provider() {
    if (this.#provider !== undefined) return this.#provider;
    const answer = await this.#request('GET', 'api/v1/login/provider');
    if (answer?.status === 404) this.#provider = null;
    const said = answer?.status === 200 && (await answer.json().catch(() => null));
    if (typeof said?.name === 'string') this.#provider = { name: said.name };
    return this.#provider ?? null;
  }

  /** @returns {Promise<boolean>} whether it is done; if so, this page is over, as are all others */
  async signOut() {
    const answer = await this.#request('DELETE', 'api/v1/session');
    if (answer?.status !== 204) return false;
    this.#channel.postMessage('out');
    this.emit('over', {});
    return true;
  }

  async #ask() {
    const answer = await this.#request('GET', 'api/v1/whoami');
    if (answer?.status === 401) {
      const ended = this.#standing.name === 'known' || this.#standing.ended;
      this.#set({ name: 'out', who: null, ended });
      return true;
    }
    const said = answer?.status === 200 && (await answer.json().catch(() => null));
    if (!said) return false;
    const who = readWho(said);
    this.#set({ name: who ? 'known' : 'anybody', who, ended: false });
    return true;
  }

  /** @param {Standing} standing */
  #set(standing) {
    const isSame = JSON.stringify(standing) === JSON.stringify(this.#standing);
    const last = this.#last;
    this.#standing = standing;
    this.#last = standing.who ?? last;
    if (standing.name !== 'out' && last && !isSamePerson(last, standing.who)) this.emit('over', {});
    else if (!isSame) this.emit('change', standing);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Record<string, string>} [headers]
   * @returns {Promise<Response | null>} null if there is no answer
   */
  async #request(method, path, headers = {}) {
    try {
      // A token is for this server, and for no other that it may lead to.
      const init = { method, headers, cache: /** @type {const} */ ('no-store'), redirect: /** @type {const} */ ('error') };
      return await this.#fetch(new URL(path, this.#base).href, { ...init, signal: AbortSignal.timeout(ANSWER_MS) });
    } catch {
      return null;
    }
  }
}

/**
 * Whether the server lets one connect to devices. Which ones, it does not say beforehand.
 *
 * @param {Standing} standing
 */
export function mayWatch({ who }) {
  return !who || who.roles.some((role) => role === 'client' || role === 'admin');
}

/**
 * @param {any} said
 * @returns {Who | null} null for whoever came with nothing, where anybody is served
 */
function readWho({ name, identity, tenant, roles, expires_at: expiresAt }) {
  if (typeof name !== 'string') return null;
  return {
    name,
    identity: typeof identity === 'string' ? identity : null,
    tenant: typeof tenant === 'string' ? tenant : null,
    roles: Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : [],
    expiresAt: typeof expiresAt === 'number' ? new Date(expiresAt * 1000) : null,
  };
}

/**
 * @param {Who} one
 * @param {Who | null} other
 */
function isSamePerson(one, other) {
  return one.name === other?.name && one.identity === other.identity && one.tenant === other.tenant;
}
