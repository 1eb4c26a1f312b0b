/** Connections that may be dead, and what takes their place. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, comesBack, deviceInfo, deviceMsg, forwards, greet, start, steady } from './session.js';

test('a page that is online again goes on over a new connection, since the old may be dead', () => {
  const all = steady();
  const old = all.socket();
  all.client.send(1);
  all.page().renew();
  all.socket().open();
  assert.deepEqual([all.sockets.length, old.closedWith, all.last('connecting')], [2, undefined, { resuming: true }]);
  all.client.send(2);
  old.says(deviceMsg('late'));
  old.closes(1006);
  all.socket().says(deviceInfo('two', { cuttlebone_received: 1 }));
  assert.deepEqual(forwards(all.socket()), [2]);
  assert.deepEqual(all.names().filter((name) => name === 'lost' || name === 'message'), [], 'the old socket is not heard any more');
});

test('the old connection is in use until the new one is open, and the count is of that moment', () => {
  const all = steady();
  const old = all.socket();
  all.page().renew();
  old.says(deviceMsg('a'));
  all.client.send(1);
  assert.deepEqual([all.last('message'), forwards(old), all.client.ready], [{ payload: 'a' }, [1], true]);
  all.socket().open();
  assert.deepEqual(all.socket().sent[0].cuttlebone_received, 1);
  assert.equal(old.closedWith, undefined, 'a close would end the session, which the new one does not have yet');
  all.socket().says(deviceInfo('two', { cuttlebone_received: 1 }));
  assert.deepEqual([old.closedWith, forwards(all.socket())], [1000, []]);
});

for (const [how, fail] of /** @type {[string, (all: ReturnType<typeof start>) => void][]} */ ([
  ['is refused', (all) => all.socket().closes(1006)],
  ['does not open in time', (all) => all.clock.fireLast()],
])) {
  test(`a new connection that ${how} costs the old one nothing, and is tried again until the old one is heard`, () => {
    const all = steady();
    const old = all.socket();
    all.page().renew();
    const failed = all.socket();
    fail(all);
    assert.deepEqual([all.names().includes('lost'), old.closedWith, all.client.ready], [false, undefined, true]);
    assert.deepEqual(all.clock.delays, [1000]);
    all.clock.fireLast();
    failed.open();
    assert.deepEqual([all.sockets.length, failed.sent, all.clock.delays], [3, [], [10_000]], 'what was dropped asks for nothing');
    fail(all);
    old.says(deviceMsg('a'));
    assert.deepEqual([all.last('message'), all.clock.delays], [{ payload: 'a' }, []]);
  });
}

test('a new connection that is turned away leaves the old one open, since it may carry the session', () => {
  const all = steady();
  const old = all.socket();
  all.page().renew();
  all.socket().open();
  all.socket().says({ error: 'Busy', cuttlebone_code: 'overloaded' });
  all.socket().closes(1013);
  assert.deepEqual([all.last('lost').resuming, old.closedWith], [true, undefined]);
  all.clock.fireLast();
  all.socket().open();
  all.clock.fireLast();
  assert.equal(old.closedWith, undefined, 'nor does a silent one after it close it');
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.deepEqual([old.closedWith, all.names().at(-1)], [1000, 'resumed']);
});

test('the end of the old connection, or of all, is the end of the new one that has not opened', () => {
  for (const end of [(/** @type {any} */ { client }) => client.close(), (/** @type {any} */ { sockets }) => sockets[0].closes(1006)]) {
    const all = steady();
    all.page().renew();
    const beside = all.socket();
    end(all);
    assert.equal(beside.readyState, 2);
    beside.open();
    assert.deepEqual(beside.sent, []);
  }
});

test('a client that waits for its device is saved from a dead connection, with what waits', () => {
  const all = start();
  const dead = all.socket();
  dead.open();
  dead.says(CONFIG);
  all.client.send(1);
  assert.deepEqual(all.clock.delays, [], 'nothing else would do it');
  all.page().renew();
  assert.deepEqual([all.sockets.length, dead.readyState, all.last('connecting')], [2, 2, { resuming: false }]);
  greet(all.socket(), 'one');
  assert.deepEqual([forwards(all.socket()), all.names().filter((name) => name === 'deviceInfo').length], [[1], 1]);
});

test('a page that is online again does not wait for the end of a delay', () => {
  const all = start();
  all.socket().closes(1006);
  all.page().renew();
  assert.equal(all.sockets.length, 2);
  all.page().retry();
  all.page().renew();
  assert.equal(all.sockets.length, 2, 'one attempt at a time');
  all.client.close();
  assert.equal(all.page(), null, 'nobody watches any more');
});

test('a connection that can not be resumed is not given up on suspicion', () => {
  const all = start();
  all.socket().open();
  all.socket().says({ message_type: 'device_info', device_info: {} });
  all.page().renew();
  assert.equal(all.sockets.length, 1);
});
