/** Which devices of the list are shown, without a page to show them in. */

/** @typedef {import('./js/device_list.js').Device} Device */
/** @typedef {{ query: string, group: string, owner: string, page: number }} Filter */

export const PAGE_SIZE = 100;

const order = new Intl.Collator('en', { numeric: true });

/**
 * @param {ReadonlyMap<string, Device>} devices
 * @param {Filter} filter an empty string lets everything through
 */
export function select(devices, { query, group, owner, page }) {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const matching = [...devices.values()].filter(
    (device) =>
      (!group || device.group_name === group) && (!owner || device.owner === owner) && hasAll(searchText(device), words),
  );
  matching.sort((a, b) => order.compare(title(a), title(b)) || order.compare(a.device_id, b.device_id));
  const pages = Math.max(1, Math.ceil(matching.length / PAGE_SIZE));
  const current = Math.min(Math.max(page, 0), pages - 1);
  const start = current * PAGE_SIZE;
  return { shown: matching.slice(start, start + PAGE_SIZE), matching: matching.length, start, page: current, pages };
}

/**
 * The values of a field that some device has, sorted; the empty one left out.
 *
 * @param {ReadonlyMap<string, Device>} devices
 * @param {'group_name' | 'owner'} field
 */
export function choices(devices, field) {
  const values = new Set([...devices.values()].map((device) => device[field]));
  values.delete('');
  return [...values].filter((value) => typeof value === 'string').sort(order.compare);
}

/** @param {Device} device */
export function title(device) {
  return device.name || device.device_id;
}

/** @param {Pick<Device, 'device_id' | 'cuttlebone_tenant'>} device */
export function viewerAddress({ device_id: id, cuttlebone_tenant: tenant }) {
  const named = tenant === undefined ? '' : `&tenant=${encodeURIComponent(tenant)}`;
  return `viewer.html?deviceId=${encodeURIComponent(id)}${named}`;
}

/** @param {Device} device */
function searchText({ device_id, name, group_name, owner, cuttlebone_tenant = '', cuttlebone_lease }) {
  return [device_id, name, group_name, owner, cuttlebone_tenant, cuttlebone_lease?.holder ?? ''].join('\n').toLocaleLowerCase();
}

/** @param {string} text @param {string[]} words */
function hasAll(text, words) {
  return words.every((word) => text.includes(word));
}
