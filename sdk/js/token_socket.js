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

/**
 * @typedef {object} Ways
 * @property {(url: string, protocols: string[]) => WebSocket} [open]
 * @property {(url: string, token: string, signal: AbortSignal) => Promise<number>} [fetchStatus]
 */

/** The one that the server can choose. */
const SUBPROTOCOL = 'cuttlebone';

/** RFC 7230 `token`: what a subprotocol is made of. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** What the server may think of a token, by the status of its answer. */
const REFUSALS = new Map([
  [401, { error: 'The server does not accept the token', cuttlebone_code: 'unauthenticated' }],
  [403, { error: 'The server does not allow this', cuttlebone_code: 'forbidden' }],
]);

/**
 * What opens the WebSockets of a client.
 *
 * @param {TokenSource | undefined} token
 * @param {Ways} ways
 * @returns {(url: string) => WebSocket}
 * @throws {TypeError} for a text that can't be shown
 */
export function socketOpener(token, { open = openSocket, fetchStatus = whoami }) {
  if (token === undefined) return (url) => open(url, []);
  if (typeof token !== 'function') checked(token);
  return (url) => /** @type {any} */ (new TokenSocket(url, token, open, fetchStatus));
}

class TokenSocket {
  /** @type {any} */ onopen = null;
  /** @type {any} */ onmessage = null;
  /** @type {any} */ onclose = null;
  #url;
  #open;
  #fetchStatus;
  /** @type {WebSocket | null} */
  #socket = null;
  #closing = new AbortController();

  /**
   * @param {string} url
   * @param {TokenSource} token
   * @param {NonNullable<Ways['open']>} open
   * @param {NonNullable<Ways['fetchStatus']>} fetchStatus
   */
  constructor(url, token, open, fetchStatus) {
    this.#url = url;
    this.#open = open;
    this.#fetchStatus = fetchStatus;
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
    let status = 0;
    try {
      if (!this.#closing.signal.aborted) status = await this.#fetchStatus(whoamiUrl(this.#url), token, this.#closing.signal);
    } catch {
      // No answer: then it is not about the token.
    }
    this.#fail(REFUSALS.get(status), event);
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
 */
async function whoami(url, token, signal) {
  const headers = { authorization: `Bearer ${token}` };
  // A token is for this server and for no other that it may lead to.
  const response = await fetch(url, { headers, signal, cache: 'no-store', redirect: 'error' });
  return response.status;
}

/**
 * @param {string} url
 * @param {string[]} protocols
 */
function openSocket(url, protocols) {
  return new WebSocket(url, protocols);
}
