/**
 * A WebSocket that shows the server a bearer token, which may have to be fetched first.
 *
 * A page can set no header of a WebSocket, so the token goes into a subprotocol. Before it stands one that the server can
 * choose: it never chooses one that carries a token, and a browser gives a connection up where none is chosen. Nor is a page
 * told with which status a server refused a WebSocket. So the server is asked once more after one that did not open, and
 * what it thinks of the token comes as an error, as it would on a WebSocket that is open.
 *
 * 1. Its owner sees a WebSocket, as far as `SignalingClient` uses one.
 * 2. Once closed it opens nothing and asks nothing. Who closes it takes its own handlers away first.
 * 3. The token is in no address and no error.
 */

/** @typedef {string | (() => string | Promise<string>)} TokenSource */

/** @typedef {{ status: number, who: any }} Answer of `whoami`; who: its JSON, or null */

/**
 * @typedef {object} Ways
 * @property {(url: string, protocols: string[]) => WebSocket} [open]
 * @property {(url: string, token: string, signal: AbortSignal) => Promise<Answer>} [askWho]
 */

/** The one that the server can choose. */
const SUBPROTOCOL = 'cuttlebone';

/** RFC 7230 `token`: what a subprotocol is made of. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const UNAUTHENTICATED = { error: 'The server does not accept the token', cuttlebone_code: 'unauthenticated' };
const FORBIDDEN = { error: 'This token is none of a client', cuttlebone_code: 'forbidden' };

/** Whoever has none of these may connect to no device. */
const ROLES = ['client', 'admin'];

/**
 * What opens the WebSockets of a client.
 *
 * @param {TokenSource | undefined} token
 * @param {Ways} ways
 * @returns {(url: string) => WebSocket}
 * @throws {TypeError} for a text that can't be shown
 */
export function socketOpener(token, { open = openSocket, askWho = whoami }) {
  if (token === undefined) return (url) => open(url, []);
  if (typeof token !== 'function') checked(token);
  return (url) => /** @type {any} */ (new TokenSocket(url, token, open, askWho));
}

class TokenSocket {
  /** @type {any} */ onopen = null;
  /** @type {any} */ onmessage = null;
  /** @type {any} */ onclose = null;
  #url;
  #open;
  #askWho;
  /** @type {WebSocket | null} */
  #socket = null;
  #closing = new AbortController();

  /**
   * @param {string} url
   * @param {TokenSource} token
   * @param {NonNullable<Ways['open']>} open
   * @param {NonNullable<Ways['askWho']>} askWho
   */
  constructor(url, token, open, askWho) {
    this.#url = url;
    this.#open = open;
    this.#askWho = askWho;
    if (typeof token === 'function') this.#openLater(token);
    else this.#openWith(token);
  }

  get readyState() {
    return this.#socket?.readyState ?? 0;
  }

  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  /** @param {number} [code] */
  close(code) {
    this.#closing.abort();
    this.#socket?.close(code);
  }

  /** @param {() => string | Promise<string>} source */
  async #openLater(source) {
    let token;
    try {
      // Not before the owner listens.
      token = checked(await Promise.resolve().then(source));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#fail({ error: `There is no token: ${reason}`, cuttlebone_code: 'no_token' }, { code: 1006 });
      return;
    }
    if (!this.#closing.signal.aborted) this.#openWith(token);
  }

  /** @param {string} token */
  #openWith(token) {
    const socket = this.#open(this.#url, [SUBPROTOCOL, `bearer.${token}`]);
    let opened = false;
    socket.onopen = (event) => {
      opened = true;
      this.onopen?.(event);
    };
    socket.onmessage = (event) => this.onmessage?.(event);
    socket.onclose = (event) => (opened ? this.onclose?.(event) : this.#onNotOpened(token, event));
    this.#socket = socket;
  }

  /**
   * @param {string} token
   * @param {{ code: number }} event
   */
  async #onNotOpened(token, event) {
    let refusal;
    try {
      if (!this.#closing.signal.aborted) refusal = refusalOf(await this.#askWho(whoamiUrl(this.#url), token, this.#closing.signal));
    } catch {
      // No answer: then it is not about the token.
    }
    this.#fail(refusal, event);
  }

  /**
   * @param {object | undefined} error
   * @param {{ code: number }} event
   */
  #fail(error, event) {
    if (error) this.onmessage?.({ data: JSON.stringify(error) });
    this.onclose?.(event);
  }
}

/**
 * @param {unknown} token
 * @returns {string}
 */
function checked(token) {
  if (typeof token === 'string' && TOKEN.test(token)) return token;
  throw new TypeError("A page can only show a token of letters, digits and !#$%&'*+-.^_`|~");
}

/**
 * What the server has against a token, if anything. It says who has it; what they may not do follows from that.
 *
 * @param {Answer} answer
 */
function refusalOf({ status, who }) {
  if (status === 401) return UNAUTHENTICATED;
  const isKnown = status === 200 && typeof who?.name === 'string' && Array.isArray(who.roles);
  return isKnown && !ROLES.some((role) => who.roles.includes(role)) ? FORBIDDEN : undefined;
}

/** @param {string} url of `connect_client` */
function whoamiUrl(url) {
  const whoami = new URL('api/v1/whoami', new URL(url, globalThis.document?.baseURI));
  whoami.protocol = whoami.protocol.replace(/^ws/, 'http');
  return whoami.href;
}

/**
 * @param {string} url
 * @param {string} token
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function whoami(url, token, signal) {
  const headers = { authorization: `Bearer ${token}` };
  // A token is for this server and for no other that it may lead to.
  const response = await fetch(url, { headers, signal, cache: 'no-store', redirect: 'error' });
  return { status: response.status, who: await response.json().catch(() => null) };
}

/**
 * @param {string} url
 * @param {string[]} protocols
 */
function openSocket(url, protocols) {
  return new WebSocket(url, protocols);
}
