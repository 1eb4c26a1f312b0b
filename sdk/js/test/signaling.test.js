import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SendError, socketUrl } from '../signaling.js';
import { startClient } from './fakes.js';

const CONNECT = { message_type: 'connect', device_id: 'cvd-1', cuttlebone_ice: true, cuttlebone_resume: true };
const CONFIG = { message_type: 'config', ice_servers: [{ urls: ['stun:127.0.0.1'] }] };
const DEVICE_INFO = { message_type: 'device_info', device_info: { hardware: {} } };

/** @param {Partial<import('../signaling.js').SignalingOptions>} [options] */
const start = (options) => startClient(['config', 'deviceInfo', 'message', 'error', 'lost', 'closed'], options);

/** @param {import('./fakes.js').FakeSocket} socket */
function greet(socket) {
  socket.open();
  socket.says(CONFIG);
  socket.says(DEVICE_INFO);
}

test('connects, and passes messages both ways', () => {
  const { client, socket, events } = start();
  greet(socket());
  socket().says({ message_type: 'device_msg', payload: { type: 'offer' } });
  client.send({ type: 'request-offer' });
  assert.deepEqual(socket().sent, [
    CONNECT,
    { message_type: 'forward', payload: { type: 'request-offer' } },
  ]);
  assert.deepEqual(events.map(([name]) => name), ['config', 'deviceInfo', 'message']);
  assert.deepEqual(events[2]?.[1], { payload: { type: 'offer' } });
});

test('says which paths the server asks for, and that others ask for nothing', () => {
  const { socket, events } = start();
  socket().open();
  for (const policy of ['relay', 'all', 'other', undefined]) socket().says({ ...CONFIG, cuttlebone_ice_transport_policy: policy });
  assert.deepEqual(events.map(([, config]) => config.iceTransportPolicy), ['relay', 'all', 'all', 'all']);
});

test('what is sent before the device is there waits, in order, and no more than may', () => {
  const { client, socket } = start({ maxPending: 2 });
  socket().open();
  client.send(1);
  client.send(2);
  assert.throws(() => client.send(3), SendError);
  socket().says(CONFIG);
  assert.equal(socket().sent.length, 1);
  socket().says(DEVICE_INFO);
  assert.deepEqual(socket().sent.slice(1).map(({ payload }) => payload), [1, 2]);
});

test('what waited for a lost socket is not sent on the next', () => {
  const { client, clock, socket } = start();
  socket().open();
  client.send('old');
  socket().closes(1006);
  clock.fireLast();
  greet(socket());
  assert.deepEqual(socket().sent, [CONNECT]);
});

test('a socket that takes nothing off refuses more', () => {
  const { client, socket } = start({ maxPendingBytes: 1000 });
  greet(socket());
  socket().bufferedAmount = 990;
  assert.throws(() => client.send('x'), SendError);
});

test('delays grow while nothing works, and start anew once it did', () => {
  const { clock, socket, events } = start();
  for (const expected of [1000, 2000, 4000, 8000, 8000]) {
    socket().closes(1006);
    assert.equal(events.at(-1)?.[1].retryInMs, expected);
    clock.fireLast();
  }
  greet(socket());
  socket().closes(1006);
  assert.equal(events.at(-1)?.[1].retryInMs, 1000);
});

test('an overloaded server is left alone for longer', () => {
  const { socket, events } = start();
  socket().closes(1013);
  assert.ok(events.at(-1)?.[1].retryInMs >= 3000);
});

test('the reason of the server is told, and again with the loss', () => {
  const { socket, events } = start();
  socket().open();
  socket().says({ error: "Connection failed: Device not found: 'cvd-1'", cuttlebone_code: 'device_not_found' });
  socket().closes(1008);
  const error = { text: "Connection failed: Device not found: 'cvd-1'", code: 'device_not_found' };
  assert.deepEqual(events[0], ['error', error]);
  assert.deepEqual(events[1]?.[0], 'lost');
  assert.deepEqual(events[1]?.[1].error, error);
});

for (const [code, closeCode] of /** @type {[string, number][]} */ ([['forbidden', 1008], ['invalid_device_id', 1008], ['second_connect', 1008]])) {
  test(`does not come back after ${code}`, () => {
    const { clock, socket, events } = start();
    socket().open();
    socket().says({ error: 'No', cuttlebone_code: code });
    socket().closes(closeCode);
    assert.equal(events.at(-1)?.[0], 'closed');
    assert.deepEqual(clock.delays, []);
  });
}

test('an error that closes nothing ends nothing', () => {
  const { client, socket, events } = start();
  greet(socket());
  socket().says({ error: 'Forward failed: Message too large for this device', cuttlebone_code: 'too_large_for_device' });
  assert.equal(events.at(-1)?.[0], 'error');
  assert.equal(client.ready, true);
});

test('an error that the server went on after is not the reason of a later loss', () => {
  const { socket, events } = start();
  greet(socket());
  socket().says({ error: 'Forward failed: Message too large for this device', cuttlebone_code: 'too_large_for_device' });
  socket().says({ message_type: 'device_msg', payload: 1 });
  socket().closes(1008);
  assert.deepEqual([events.at(-1)?.[0], events.at(-1)?.[1].error], ['closed', null]);
});

test('what is no JSON value is not sent, and ends nothing', () => {
  const { client, socket } = start();
  greet(socket());
  for (const nothing of [undefined, () => {}, Symbol('s')]) assert.throws(() => client.send(nothing), SendError);
  client.send(null);
  assert.deepEqual(socket().sent.slice(1), [{ message_type: 'forward', payload: null }]);
});

test('a socket that does not open in time is given up', () => {
  const { clock, sockets, socket, events } = start({ openTimeoutMs: 7 });
  assert.deepEqual(clock.delays, [7]);
  const first = socket();
  clock.fireLast();
  assert.equal(events.at(-1)?.[0], 'lost');
  clock.fireLast();
  assert.equal(sockets.length, 2);
  first.closes(1006);
  assert.equal(events.filter(([name]) => name === 'lost').length, 1, 'the old socket is not heard any more');
});

test('messages that are no JSON object are reported and otherwise ignored', () => {
  const { socket, events } = start();
  socket().open();
  for (const text of ['[]', 'null', '{', '7']) socket().says(text);
  socket().says({ message_type: 'from_the_future' });
  assert.deepEqual(events.map(([, detail]) => detail.code), Array(4).fill('bad_server_message'));
});

test('close is for good', () => {
  const { client, clock, socket, events } = start();
  greet(socket());
  const last = socket();
  client.close();
  assert.equal(last.closedWith, 1000);
  last.closes(1006);
  assert.deepEqual(events.filter(([name]) => name === 'closed').length, 1);
  assert.deepEqual(clock.delays, []);
  assert.throws(() => client.send(1), SendError);
});

test('until-device comes back while it waits, and not after', () => {
  const { clock, socket, sockets, events } = start({ reconnect: 'until-device' });
  socket().open();
  socket().says(CONFIG);
  socket().closes(1006);
  clock.fireLast();
  assert.equal(sockets.length, 2);
  greet(socket());
  socket().closes(1006);
  assert.equal(events.at(-1)?.[0], 'closed');
});

test('the address keeps the prefix and the security of the page', () => {
  assert.equal(socketUrl('connect_client', 'https://h:1443/lab/a/viewer.html?deviceId=x#y'), 'wss://h:1443/lab/a/connect_client');
  assert.equal(socketUrl('connect_client', 'http://h/'), 'ws://h/connect_client');
});
