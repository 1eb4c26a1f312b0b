/**
 * The interface between a Cuttlefish client page and the signaling server it was loaded from.
 *
 * Pages of many ages import this file from beside themselves, and the server owns it. So: what is exported here
 * only ever grows, it imports nothing from beside itself (at `devices/ID/files/js/` everything else is the device's),
 * and every address is relative to the page, because a proxy may have put a prefix before it.
 */

/** @typedef {import('./signaling.js').SignalingClient} SignalingClient */

/** A page or module that the server forwards from a device: what is before it, and the device's id. */
const DEVICE_FILES = /^((?:\/[^/]+)*?\/)devices\/([^/]+)\/files\//;

/** What a page may leave unread before it says who takes the device's messages. */
const MAX_UNREAD = 256;
const MAX_UNREAD_CHARS = 1_048_576;

/**
 * The id of the device that this page is for: from the path `…/devices/ID/files/…`, else from `?deviceId=ID`.
 *
 * @returns {string}
 */
export function deviceId() {
  const fromPath = DEVICE_FILES.exec(location.pathname)?.[2];
  const id = fromPath === undefined ? new URLSearchParams(location.search).get('deviceId') : decoded(fromPath);
  if (!id) throw new Error('The address of this page names no device');
  return id;
}

/**
 * Makes the object through which a page talks to its device.
 *
 * @returns {Promise<Connector>}
 */
export async function createConnector() {
  const { SignalingClient, socketUrl } = await import(new URL('signaling.js', modulesBase()).href);
  const url = socketUrl('connect_client', serverBase(location.href));
  return new Connector((deviceId) => new SignalingClient({ deviceId, url, reconnect: 'until-device' }));
}

/** Makes the object through which a page tells the page that frames it about its displays. */
export function createParentController() {
  return new ParentController();
}

/**
 * The way to one device. Made by `createConnector`.
 *
 * A broken connection is opened again, and the page notices nothing: what it sends meanwhile waits, and each message
 * passes once, both ways. Where the server no longer knows the session, a new one begins, in which the device takes the
 * page for somebody else and knows nothing of its peer connection. The picture may go on all the same, so the page is
 * left alone. But the rest of an old negotiation would be nonsense to the device, and can crash it. So sending rejects
 * (`cannot_resume`) until the page asks for a new offer, by `{type: 'request-offer'}`. A page that never does so has to
 * be loaded again before it can negotiate again.
 */
class Connector {
  #newClient;
  /** @type {SignalingClient | null} */
  #client = null;
  /** Whether the device knows nothing of what the page has negotiated. */
  #anew = false;
  /** @type {((message: any) => void) | null} */
  #onDeviceMsg = null;
  /** @type {any[]} */
  #unread = [];
  #unreadChars = 0;

  /** @param {(deviceId: string) => SignalingClient} newClient */
  constructor(newClient) {
    this.#newClient = newClient;
  }

  /**
   * Says who takes the device's messages. Those that came before are handed over at once, in order.
   *
   * @param {(message: any) => void} callback
   */
  onDeviceMsg(callback) {
    this.#onDeviceMsg = callback;
    const unread = this.#unread;
    this.#unread = [];
    this.#unreadChars = 0;
    for (const message of unread) callback(message);
  }

  /**
   * Opens the way to a device. Takes as long as the server is ready to wait for it. Rejects with the server's reason
   * (`error.code` is its stable word, if it has one). A server that can't be reached is tried again and again, without
   * an end: nothing rejects before a server has given a reason. Who does not want to wait for so long has to keep the
   * time.
   *
   * @param {string} id
   * @returns {Promise<{ deviceInfo: any, infraConfig: any }>}
   */
  requestDevice(id) {
    this.#client?.close();
    const client = this.#newClient(id);
    this.#client = client;
    this.#anew = false;
    return new Promise((resolve, reject) => {
      /** @type {any} */
      let infraConfig = null;
      let begun = false;
      client.on('config', ({ raw }) => (infraConfig = raw));
      client.on('deviceInfo', ({ deviceInfo }) => {
        this.#anew = begun;
        begun = true;
        resolve({ deviceInfo, infraConfig });
      });
      client.on('resumed', ({ maybeLost }) => {
        if (maybeLost) console.warn('The signaling server lost count: messages to or from the device may be lost');
      });
      client.on('message', ({ payload }) => this.#onMessage(payload));
      client.on('closed', ({ error, closeCode }) => reject(refusal(error, closeCode)));
      client.start();
    });
  }

  /**
   * Sends a message to the device, or keeps it while the connection is broken. Rejects when it can't be delivered,
   * or is no JSON value.
   *
   * @param {any} message
   * @returns {Promise<void>}
   */
  async sendToDevice(message) {
    if (!this.#client?.inSession) throw new Error('There is no connection to the device');
    if (this.#anew && message?.type !== 'request-offer') {
      throw Object.assign(new Error('The device knows this page no longer'), { code: 'cannot_resume' });
    }
    this.#client.send(message);
    this.#anew = false;
  }

  /**
   * A hint for connectors that poll. Messages come here as soon as they are sent.
   *
   * @param {number} _milliseconds
   */
  expectMessagesSoon(_milliseconds) {}

  /** @param {any} message */
  #onMessage(message) {
    if (this.#onDeviceMsg) {
      this.#onDeviceMsg(message);
      return;
    }
    this.#unreadChars += JSON.stringify(message).length;
    if (this.#unread.length < MAX_UNREAD && this.#unreadChars <= MAX_UNREAD_CHARS) {
      this.#unread.push(message);
    } else {
      console.error('Too many device messages came before onDeviceMsg() was called; the connection is closed');
      this.#client?.close();
    }
  }
}

/** What a framing page can be told. */
class ParentController {
  /**
   * @param {number} rotation in degrees, of the device and so of all its displays
   * @returns {DeviceDisplaysMessage}
   */
  createDeviceDisplaysMessage(rotation) {
    return new DeviceDisplaysMessage(this, rotation);
  }

  /**
   * @param {string} type
   * @param {any} payload
   */
  postMessageToParent(type, payload) {
    if (window.parent === window) return;
    // '/' is this page's own origin: the page that frames a device page is the server's own, nobody else is told.
    window.parent.postMessage({ type, payload }, '/');
  }
}

/** The displays of a device, for the page that frames it. */
export class DeviceDisplaysMessage {
  #parent;

  /**
   * @param {ParentController} parent
   * @param {number} rotation
   */
  constructor(parent, rotation) {
    this.#parent = parent;
    this.device_id = deviceId();
    this.rotation = rotation;
    /** @type {{ display_id: string, width: number, height: number }[]} */
    this.displays = [];
  }

  /**
   * @param {string} display_id
   * @param {number} width
   * @param {number} height
   */
  addDisplay(display_id, width, height) {
    this.displays.push({ display_id, width, height });
  }

  /** Posts `{type: "displays_info", payload}`; does nothing in a page that is not framed. */
  send() {
    const { device_id, rotation, displays } = this;
    this.#parent.postMessageToParent('displays_info', { device_id, rotation, displays });
  }
}

/**
 * The root of the server as a page at `href` sees it.
 *
 * @param {string} href
 */
function serverBase(href) {
  const url = new URL(href);
  return new URL(DEVICE_FILES.exec(url.pathname)?.[1] ?? '.', url).href;
}

/** Where the server's other modules are: beside this file, unless it stands in for one of a device's files. */
function modulesBase() {
  const { pathname } = new URL(import.meta.url);
  return DEVICE_FILES.test(pathname) ? new URL('js/', serverBase(import.meta.url)).href : import.meta.url;
}

/** @param {string} segment */
function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/**
 * @param {import('./signaling.js').ServerError | null} error
 * @param {number | null} closeCode
 */
function refusal(error, closeCode) {
  const text = error?.text ?? `The connection to the signaling server was closed (${closeCode ?? 'no answer'})`;
  return Object.assign(new Error(text), { code: error?.code ?? null });
}
