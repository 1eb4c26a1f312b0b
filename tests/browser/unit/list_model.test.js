import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PAGE_SIZE, choices, select, viewerAddress } from '../../../web/list_model.js';

/** @param {Partial<import('../../../web/list_model.js').Device>[]} devices */
function listed(...devices) {
  const full = devices.map((device) => ({ device_id: '', group_name: '', owner: '', name: '', adb_port: 0, ...device }));
  return new Map(full.map((device) => [device.device_id, device]));
}

const ALL = { query: '', group: '', owner: '', page: 0 };

/** @param {ReturnType<typeof select>} view */
const ids = ({ shown }) => shown.map(({ device_id }) => device_id);

test('numbers in names are sorted as numbers', () => {
  const devices = listed({ device_id: 'cvd-10' }, { device_id: 'cvd-9' }, { device_id: 'cvd-1' });
  assert.deepEqual(ids(select(devices, ALL)), ['cvd-1', 'cvd-9', 'cvd-10']);
});

test('all words of a search must be there, anywhere and in any case', () => {
  const devices = listed({ device_id: 'cvd-1', name: 'Kiosk', owner: 'anna' }, { device_id: 'cvd-2', owner: 'Anna' }, { device_id: 'x' });
  assert.deepEqual(ids(select(devices, { ...ALL, query: ' ANNA cvd ' })), ['cvd-2', 'cvd-1']);
  assert.deepEqual(ids(select(devices, { ...ALL, query: 'kiosk' })), ['cvd-1']);
});

test('group and owner filter', () => {
  const devices = listed({ device_id: 'a', group_name: 'g' }, { device_id: 'b', group_name: 'g', owner: 'o' }, { device_id: 'c', owner: 'o' });
  assert.deepEqual(ids(select(devices, { ...ALL, group: 'g' })), ['a', 'b']);
  assert.deepEqual(ids(select(devices, { ...ALL, group: 'g', owner: 'o' })), ['b']);
  assert.deepEqual(choices(devices, 'owner'), ['o']);
});

test('a page holds a hundred, and the last is where a page beyond it leads', () => {
  const devices = listed(...Array.from({ length: 250 }, (_, n) => ({ device_id: `d${n}` })));
  assert.equal(ids(select(devices, ALL)).length, PAGE_SIZE);
  const last = select(devices, { ...ALL, page: 99 });
  assert.deepEqual([last.page, last.start, last.shown.length, last.pages], [2, 200, 50, 3]);
  assert.deepEqual(select(new Map(), { ...ALL, page: 3 }), { shown: [], matching: 0, start: 0, page: 0, pages: 1 });
});

test('an id is one parameter of an address, whatever it holds', () => {
  for (const id of ['a/b?x#y', '__proto__', '<img src=x>', '🦑', 'a&deviceId=b', '%2e']) {
    const url = new URL(viewerAddress({ device_id: id }), 'http://h/lab/');
    assert.equal(url.searchParams.get('deviceId'), id);
    assert.equal(url.pathname, '/lab/viewer.html');
  }
});

test('the viewer of a device of some tenant is told whose it is', () => {
  const url = new URL(viewerAddress({ device_id: 'cvd-1', cuttlebone_tenant: 'lab' }), 'http://h/');
  assert.deepEqual(Object.fromEntries(url.searchParams), { deviceId: 'cvd-1', tenant: 'lab' });
});

test('a device is found by its tenant and by who has it alone', () => {
  const devices = listed({ device_id: 'a', cuttlebone_tenant: 'lab' }, { device_id: 'b', cuttlebone_lease: { holder: 'Ann', until_ms: 1 } });
  assert.deepEqual(ids(select(devices, { ...ALL, query: 'lab' })), ['a']);
  assert.deepEqual(ids(select(devices, { ...ALL, query: 'ann' })), ['b']);
});
