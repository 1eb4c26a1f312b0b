/**
 * The devices of a server, kept up to date by its event stream, or by asking again and again where there is none.
 *
 * 1. `devices` is complete after each `change`; ids are keys of a Map, so any id is fine. See `deviceKey`.
 * 2. While the stream works nothing is asked for. While it does not, the list is asked for every `pollMs`, and the
 *    stream is tried again every `streamRetryMs`.
 */

import { Emitter } from './emitter.js';

/**
 * @typedef {object} Device
 * @property {string} device_id
 * @property {string} group_name
 * @property {string} owner
 * @property {string} name
 * @property {number} adb_port
 * @property {number} [cuttlebone_viewers]
 * @property {number} [cuttlebone_registered_at_ms]
 * @property {boolean} [cuttlebone_away] its connection is broken, and it may come back
 * @property {Lease | null} [cuttlebone_lease] who has it alone
 * @property {string} [cuttlebone_tenant] whose it is, for one who sees the devices of several tenants
 */

/** @typedef {{ holder: string, until_ms: number }} Lease */

/** @typedef {'connecting' | 'live' | 'polling' | 'offline'} ListState */

/** @typedef {{ change: ReadonlyMap<string, Device>, state: ListState }} DeviceListEvents */

/**
 * @typedef {object} DeviceListOptions
 * @property {string} [base] address of the page or the server's root
 * @property {number} [pollMs]
 * @property {number} [streamRetryMs]
 * @property {(url: string) => EventSource} [openStream]
 * @property {(url: string) => Promise<any>} [fetchJson]
 */

/** @extends {Emitter<DeviceListEvents>} */
export class DeviceList extends Emitter {
  #streamUrl;
  #listUrl;
  #pollMs;
  #streamRetryMs;
  #openStream;
  #fetchJson;

  /** @type {Map<string, Device>} */
  #devices = new Map();
  /** @type {ListState} */
  #state = 'connecting';
  /** @type {EventSource | null} */
  #stream = null;
  /** @type {any} */
  #pollTimer = null;
  /** @type {any} */
  #streamTimer = null;
  #running = false;

  /** @param {DeviceListOptions} [options] */
  constructor(options = {}) {
    super();
    const base = options.base ?? document.baseURI;
    this.#streamUrl = new URL('api/v1/devices/events', base).href;
    this.#listUrl = new URL('devices', base).href;
    this.#pollMs = options.pollMs ?? 5000;
    this.#streamRetryMs = options.streamRetryMs ?? 30_000;
    this.#openStream = options.openStream ?? ((url) => new EventSource(url));
    this.#fetchJson = options.fetchJson ?? fetchJson;
  }

  /** @returns {ReadonlyMap<string, Device>} */
  get devices() {
    return this.#devices;
  }

  get state() {
    return this.#state;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#listen();
  }

  /** Stops listening; what is known stays. A page that nobody looks at should stop. */
  stop() {
    this.#running = false;
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#streamTimer);
  }

  #listen() {
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#streamTimer);
    const stream = this.#openStream(this.#streamUrl);
    this.#stream = stream;
    this.#on(stream, 'snapshot', (/** @type {Device[]} */ devices) => this.#onSnapshot(devices));
    this.#on(stream, 'registered', (/** @type {Device} */ device) => this.#devices.set(deviceKey(device), device));
    this.#on(stream, 'gone', (/** @type {Device} */ device) => this.#devices.delete(deviceKey(device)));
    this.#on(stream, 'viewers', (/** @type {Device} */ change) => this.#change(change));
    this.#on(stream, 'lease', (/** @type {Device} */ change) => this.#change(change));
    stream.onerror = () => this.#onStreamError(stream);
  }

  /**
   * @param {EventSource} stream
   * @param {string} name
   * @param {(data: any) => void} apply
   */
  #on(stream, name, apply) {
    stream.addEventListener(name, (event) => {
      if (stream !== this.#stream) return;
      try {
        apply(JSON.parse(event.data));
      } catch (error) {
        console.error(`An event "${name}" could not be read`, error);
        return;
      }
      this.emit('change', this.#devices);
    });
  }

  /** @param {Device} change what has changed of a device */
  #change(change) {
    const key = deviceKey(change);
    const device = this.#devices.get(key);
    if (device) this.#devices.set(key, { ...device, ...change });
  }

  /** @param {Device[]} devices */
  #onSnapshot(devices) {
    this.#replace(devices);
    this.#setState('live');
  }

  /** @param {EventSource} stream */
  #onStreamError(stream) {
    if (stream !== this.#stream) return;
    // A browser opens a broken stream again by itself, but not one that was refused.
    if (stream.readyState !== 2) {
      this.#setState('offline');
      return;
    }
    stream.close();
    this.#stream = null;
    clearTimeout(this.#streamTimer);
    this.#streamTimer = setTimeout(() => this.#listen(), this.#streamRetryMs);
    this.#poll();
  }

  async #poll() {
    try {
      const devices = await this.#fetchJson(this.#listUrl);
      if (!this.#polling()) return;
      this.#replace(devices);
      this.#setState('polling');
      this.emit('change', this.#devices);
    } catch {
      if (!this.#polling()) return;
      this.#setState('offline');
    }
    this.#pollTimer = setTimeout(() => this.#poll(), this.#pollMs);
  }

  #polling() {
    return this.#running && this.#stream === null;
  }

  /** @param {Device[]} devices */
  #replace(devices) {
    this.#devices = new Map(devices.map((device) => [deviceKey(device), device]));
  }

  /** @param {ListState} state */
  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

/**
 * What a device is found by: its id; and with the tenant before it where one sees those of several. No id has a line feed.
 *
 * @param {Pick<Device, 'device_id' | 'cuttlebone_tenant'>} device
 */
export function deviceKey({ device_id: id, cuttlebone_tenant: tenant }) {
  return tenant === undefined ? id : `${tenant}\n${id}`;
}

/** @param {string} url */
async function fetchJson(url) {
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok) throw new Error(`The server answered ${response.status}`);
  return response.json();
}
