import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { DeviceList } from '../device_list.js';
import { record } from './fakes.js';

class FakeStream {
  readyState = 0;
  closed = false;
  /** @type {any} */ onerror = null;
  /** @type {Map<string, (event: any) => void>} */
  #listeners = new Map();

  /** @param {string} url */
  constructor(url) {
    this.url = url;
  }

  /** @param {string} name @param {(event: any) => void} listener */
  addEventListener(name, listener) {
    this.#listeners.set(name, listener);
  }

  /** @param {string} name @param {any} data */
  says(name, data) {
    this.#listeners.get(name)?.({ data: typeof data === 'string' ? data : JSON.stringify(data) });
  }

  close() {
    this.closed = true;
    this.readyState = 2;
  }

  refuse() {
    this.readyState = 2;
    this.onerror();
  }
}

/** @param {string} device_id */
const device = (device_id, viewers = 0) => ({ device_id, group_name: '', owner: '', name: '', adb_port: 0, cuttlebone_viewers: viewers });

/** @param {() => Promise<any>} [fetchJson] */
function start(fetchJson = () => Promise.reject(new Error('not asked for'))) {
  /** @type {FakeStream[]} */
  const streams = [];
  const list = new DeviceList({
    base: 'http://h/lab/',
    openStream: (url) => /** @type {any} */ (streams[streams.push(new FakeStream(url)) - 1]),
    fetchJson,
  });
  const events = record(list, 'change', 'state');
  list.start();
  const stream = () => /** @type {FakeStream} */ (streams.at(-1));
  return { list, streams, stream, events };
}

test('follows the stream', () => {
  const { list, stream } = start();
  assert.equal(stream().url, 'http://h/lab/api/v1/devices/events');
  stream().says('snapshot', [device('a'), device('b')]);
  assert.equal(list.state, 'live');
  stream().says('registered', device('c'));
  stream().says('gone', { device_id: 'a' });
  stream().says('viewers', { device_id: 'b', cuttlebone_viewers: 3 });
  stream().says('viewers', { device_id: 'unknown', cuttlebone_viewers: 3 });
  assert.deepEqual([...list.devices.keys()], ['b', 'c']);
  assert.equal(list.devices.get('b')?.cuttlebone_viewers, 3);
  stream().says('snapshot', [device('z')]);
  assert.deepEqual([...list.devices.keys()], ['z']);
});

test('who has a device alone, and whose it is, are followed', () => {
  const { list, stream } = start();
  const lease = { holder: 'ann', until_ms: 7 };
  stream().says('snapshot', [{ ...device('a'), cuttlebone_tenant: 'one' }, { ...device('a'), cuttlebone_tenant: 'two' }, device('a')]);
  assert.deepEqual([...list.devices.keys()], ['one\na', 'two\na', 'a']);
  stream().says('lease', { device_id: 'a', cuttlebone_lease: lease, cuttlebone_tenant: 'two' });
  stream().says('viewers', { device_id: 'a', cuttlebone_viewers: 2, cuttlebone_tenant: 'two' });
  stream().says('gone', { device_id: 'a', cuttlebone_tenant: 'one' });
  const all = [...list.devices.values()].map((device) => [device.cuttlebone_tenant, device.cuttlebone_viewers, device.cuttlebone_lease]);
  assert.deepEqual(all, [['two', 2, lease], [undefined, 0, undefined]]);
  stream().says('lease', { device_id: 'a', cuttlebone_lease: null, cuttlebone_tenant: 'two' });
  assert.equal(list.devices.get('two\na')?.cuttlebone_lease, null);
});

test('any id is only an id', () => {
  const { list, stream } = start();
  const ids = ['__proto__', 'constructor', 'toString', '<b>', '🦑'];
  stream().says('snapshot', ids.map((id) => device(id)));
  assert.deepEqual([...list.devices.keys()], ids);
  stream().says('gone', { device_id: '__proto__' });
  assert.equal(list.devices.has('__proto__'), false);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
});

test('an event that can not be read changes nothing', () => {
  const error = mock.method(console, 'error', () => {});
  const { list, stream } = start();
  stream().says('snapshot', [device('a')]);
  stream().says('registered', '{');
  assert.deepEqual([...list.devices.keys()], ['a']);
  assert.equal(error.mock.callCount(), 1);
  error.mock.restore();
});

test('asks for the list where the stream is refused, until it works again', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let answer = Promise.resolve([device('polled')]);
  const { list, streams, stream } = start(() => answer);
  stream().refuse();
  await answer;
  await Promise.resolve();
  assert.equal(list.state, 'polling');
  assert.deepEqual([...list.devices.keys()], ['polled']);
  mock.timers.tick(30_000);
  assert.equal(streams.length, 2);
  stream().says('snapshot', [device('streamed')]);
  assert.equal(list.state, 'live');
  assert.deepEqual([...list.devices.keys()], ['streamed']);
  mock.timers.reset();
});

test('a broken stream that the browser opens again is waited for', () => {
  const { list, streams, stream } = start();
  stream().says('snapshot', [device('a')]);
  stream().onerror();
  assert.equal(list.state, 'offline');
  assert.equal(streams.length, 1);
  stream().says('snapshot', [device('b')]);
  assert.equal(list.state, 'live');
});

test('a stopped list hears nothing', () => {
  const { list, stream, events } = start();
  list.stop();
  stream().says('snapshot', [device('a')]);
  assert.equal(stream().closed, true);
  assert.deepEqual(events, []);
});
