/** The rows of the device list. A device keeps its row, so that focus stays where it was when the list moves. */

import { make, setText } from './dom.js';
import { age } from './format.js';
import { title, viewerAddress } from './list_model.js';

/** @typedef {import('./js/device_list.js').Device} Device */

export class Rows {
  #list;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /**
   * @param {Device[]} devices in the order to be shown
   * @param {number} now
   */
  show(devices, now) {
    const rows = new Map(devices.map((device) => [device.device_id, this.#rows.get(device.device_id) ?? new Row(device.device_id)]));
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.element.remove();
    this.#rows = rows;
    devices.forEach((device, index) => {
      const row = /** @type {Row} */ (rows.get(device.device_id));
      row.update(device, now);
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
  #tags = '';

  /** @param {string} deviceId */
  constructor(deviceId) {
    const link = make('a', '', this.#name, this.#id);
    link.href = viewerAddress(deviceId);
    this.element = make('li', 'device', link, this.#belongs, this.#viewers, this.#since);
  }

  /**
   * @param {Device} device
   * @param {number} now
   */
  update(device, now) {
    setText(this.#name, title(device));
    setText(this.#id, device.name ? device.device_id : '');
    this.#id.hidden = !device.name || device.name === device.device_id;
    this.#showTags(device);
    this.#showViewers(device.cuttlebone_viewers);
    this.#showSince(device.cuttlebone_registered_at_ms, now);
  }

  /** @param {Device} device */
  #showTags({ group_name, owner }) {
    const tags = [group_name, owner].filter(Boolean);
    const key = JSON.stringify(tags);
    if (key === this.#tags) return;
    this.#tags = key;
    this.#belongs.replaceChildren(...tags.map((tag) => make('span', 'tag', tag)));
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
