/** The rows of the device list. A device keeps its row, so that focus stays where it was when the list moves. */

import { make, setText } from './dom.js';
import { age } from './format.js';
import { deviceKey } from './js/device_list.js';
import { LABELS, leaseStep, leaseText, mayReserve } from './lease.js';
import { title, viewerAddress } from './list_model.js';

/** @typedef {import('./js/device_list.js').Device} Device */
/** @typedef {import('./account.js').Standing} Standing */
/** @typedef {(device: Device, step: import('./lease.js').Step) => Promise<import('./lease.js').Outcome>} ChangeLease */

export class Rows {
  #list;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  #changeLease;

  /**
   * @param {HTMLElement} list
   * @param {ChangeLease} changeLease
   */
  constructor(list, changeLease) {
    this.#list = list;
    this.#changeLease = changeLease;
  }

  /**
   * @param {Device[]} devices in the order to be shown
   * @param {number} now
   * @param {Standing} standing of whoever reads the page
   */
  show(devices, now, standing) {
    const row = (/** @type {Device} */ device) => this.#rows.get(deviceKey(device)) ?? new Row(device, this.#changeLease);
    const rows = new Map(devices.map((device) => [deviceKey(device), row(device)]));
    this.#list.dataset['actions'] = String(mayReserve(standing));
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.element.remove();
    this.#rows = rows;
    devices.forEach((device, index) => {
      const row = /** @type {Row} */ (rows.get(deviceKey(device)));
      row.update(device, now, standing);
      const there = this.#list.children[index] ?? null;
      if (there !== row.element) this.#list.insertBefore(row.element, there);
    });
  }
}

class Row {
  #name = make('span', 'name');
  #id = make('span', 'id');
  #belongs = make('span', 'belongs');
  #viewers = make('span', 'viewers');
  #since = make('time');
  #lease = make('span', 'lease');
  #button = make('button');
  #tags = '';
  /** @type {Device} */
  #device;
  /** @type {import('./lease.js').Step | null} */
  #step = null;
  /** The server said that others are connected. */
  #inUse = false;

  /**
   * @param {Device} device
   * @param {ChangeLease} changeLease
   */
  constructor(device, changeLease) {
    const link = make('a', '', this.#name, this.#id);
    link.href = viewerAddress(device);
    this.#device = device;
    this.#button.type = 'button';
    this.#button.addEventListener('click', () => this.#act(changeLease));
    this.element = make('li', 'device', link, this.#belongs, this.#viewers, this.#since, this.#button, this.#lease);
  }

  /** @param {ChangeLease} changeLease */
  async #act(changeLease) {
    if (!this.#step) return;
    this.#button.disabled = true;
    const { inUse } = await changeLease(this.#device, this.#step);
    this.#button.disabled = false;
    this.#inUse = inUse;
  }

  /**
   * @param {Device} device
   * @param {number} now
   * @param {Standing} standing
   */
  update(device, now, standing) {
    this.#device = device;
    if (!device.cuttlebone_viewers) this.#inUse = false;
    setText(this.#name, title(device));
    setText(this.#id, device.name ? device.device_id : '');
    this.#id.hidden = !device.name || device.name === device.device_id;
    this.#showTags(device);
    this.#showViewers(device.cuttlebone_viewers);
    this.#showSince(device.cuttlebone_registered_at_ms, now);
    this.#showLease(device, now, standing);
  }

  /** @param {Device} device */
  #showTags({ group_name, owner, cuttlebone_tenant: tenant = '' }) {
    const tags = [tenant, group_name, owner].filter(Boolean);
    const key = JSON.stringify(tags);
    if (key === this.#tags) return;
    this.#tags = key;
    this.#belongs.replaceChildren(...tags.map((tag) => make('span', 'tag', tag)));
  }

  /**
   * @param {Device} device
   * @param {number} now
   * @param {Standing} standing
   */
  #showLease(device, now, standing) {
    const text = leaseText(device, standing, now) || (this.#inUse ? 'Others are connected' : '');
    setText(this.#lease, text);
    this.#lease.hidden = !text;
    this.#step = leaseStep(device, standing, this.#inUse);
    this.#button.hidden = !this.#step;
    if (!this.#step) return;
    const label = LABELS.get(this.#step) ?? '';
    setText(this.#button, label);
    this.#button.setAttribute('aria-label', `${label} ${title(device)}`);
  }

  /** @param {number | undefined} viewers */
  #showViewers(viewers) {
    const text = viewers === undefined ? '' : viewers === 1 ? '1 viewer' : viewers ? `${viewers} viewers` : 'no viewers';
    setText(this.#viewers, text);
    this.#viewers.dataset['some'] = String(Boolean(viewers));
  }

  /**
   * @param {number | undefined} since
   * @param {number} now
   */
  #showSince(since, now) {
    if (!since) return;
    const date = new Date(since);
    this.#since.dateTime = date.toISOString();
    this.#since.title = `Connected since ${date.toLocaleString()}`;
    const text = age(since, now);
    setText(this.#since, text === 'just now' ? text : `for ${text}`);
  }
}
