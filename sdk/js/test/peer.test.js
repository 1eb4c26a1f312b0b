import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { CLIENT_CHANNELS, Peer, endOf, readCandidate } from '../peer.js';
import { FakePeerConnection, sdp } from './fake_peer_connection.js';
import { record } from './fakes.js';

function start() {
  const pc = new FakePeerConnection({});
  /** @type {any[]} */
  const sent = [];
  const peer = new Peer(/** @type {any} */ (pc), (payload) => sent.push(payload));
  return { pc, peer, sent, events: record(peer, 'connected', 'dead', 'silence', 'stream', 'controlOpen', 'fault') };
}

const FLAT = { type: 'ice-candidate', candidate: 'candidate:1', mid: '0', mLineIndex: 0 };

test('makes the channels of a Cuttlefish client, asks and answers', async () => {
  const { pc, peer, sent } = start();
  assert.deepEqual([...pc.channels.keys()], CLIENT_CHANNELS);
  peer.request([{ urls: ['stun:127.0.0.1'] }]);
  await peer.onPayload({ type: 'offer', sdp: sdp('AA') });
  assert.deepEqual(sent, [
    { type: 'request-offer', ice_servers: [{ urls: ['stun:127.0.0.1'] }] },
    { type: 'answer', sdp: 'ours' },
  ]);
  peer.close();
});

test('candidates that come before the offer wait for it', async () => {
  const { pc, peer } = start();
  peer.onPayload(FLAT);
  peer.onPayload({ type: 'ice-candidate', candidate: { candidate: 'candidate:2', sdpMid: '0' } });
  await peer.onPayload({ type: 'offer', sdp: sdp('AA') });
  await peer.onPayload({ ...FLAT, candidate: 'candidate:3' });
  assert.deepEqual(pc.candidates.map(({ candidate }) => candidate), ['candidate:1', 'candidate:2', 'candidate:3']);
  peer.close();
});

test('no more early candidates are kept than may', async () => {
  const { pc, peer } = start();
  for (let n = 0; n < 1000; n += 1) peer.onPayload(FLAT);
  await peer.onPayload({ type: 'offer', sdp: sdp('AA') });
  assert.equal(pc.candidates.length, 256);
  peer.close();
});

test('candidates are read in both shapes and sent nested', () => {
  assert.deepEqual(readCandidate(FLAT), { candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0 });
  assert.deepEqual(readCandidate({ candidate: { candidate: 'c', sdpMid: '1' } }), { candidate: 'c', sdpMid: '1' });
  assert.equal(readCandidate({ candidate: null }), null);
  assert.equal(readCandidate({}), null);
  const { pc, peer, sent } = start();
  pc.onicecandidate({ candidate: { candidate: '', toJSON: () => ({}) } });
  pc.onicecandidate({ candidate: null });
  pc.onicecandidate({ candidate: { candidate: 'c', toJSON: () => ({ candidate: 'c', sdpMid: '0' }) } });
  assert.deepEqual(sent, [{ type: 'ice-candidate', candidate: { candidate: 'c', sdpMid: '0' } }]);
  peer.close();
});

test('a device that makes no offer is given up', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { pc, peer, events } = start();
  peer.request([]);
  mock.timers.tick(15_000);
  assert.deepEqual(events, [['dead', { reason: 'no_offer', text: null }]]);
  assert.equal(pc.closed, true);
  mock.timers.reset();
});

test('a path that is not found in time is given up, one that was found is not', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  for (const found of [false, true]) {
    const { pc, peer, events } = start();
    await peer.onPayload({ type: 'offer', sdp: sdp('AA') });
    if (found) pc.becomes('connected');
    mock.timers.tick(20_000);
    assert.deepEqual(events[0], found ? ['connected', {}] : ['dead', { reason: 'no_path', text: null }]);
    assert.equal(events.length, 1);
    peer.close();
  }
  mock.timers.reset();
});

test('a short silence is forgiven, a long one is not', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { pc, events } = start();
  pc.becomes('connected');
  pc.becomes('disconnected');
  mock.timers.tick(1999);
  pc.becomes('connected');
  mock.timers.tick(60_000);
  assert.deepEqual(events, [['connected', {}], ['silence', { silent: true }], ['silence', { silent: false }]]);
  pc.becomes('disconnected');
  mock.timers.tick(2000);
  assert.deepEqual(events.at(-1), ['dead', { reason: 'path_lost', text: null }]);
  mock.timers.reset();
});

test('the end of the control channel is the end', () => {
  const { pc, events } = start();
  pc.becomes('connected');
  const control = pc.opensControl();
  assert.deepEqual(events[1], ['controlOpen', {}]);
  control.onclose();
  assert.deepEqual(events[2], ['dead', { reason: 'device_left', text: null }]);
});

for (const [payload, reason] of /** @type {[any, string][]} */ ([
  [{ type: 'offer', sdp: 'broken' }, 'bad_offer'],
  [{ type: 'error', error: 'no encoder' }, 'device_error'],
])) {
  test(`dies once of ${reason}`, async () => {
    const { peer, events } = start();
    await peer.onPayload(payload);
    await peer.onPayload(payload);
    peer.close();
    assert.deepEqual(events.map(([name, detail]) => [name, detail.reason]), [['dead', reason]]);
  });
}

test('a connection that stands outlives a fault that the device reports, and an answer nobody asked for', async () => {
  const { pc, peer, events } = start();
  await peer.onPayload({ type: 'offer', sdp: sdp('AA') });
  pc.becomes('connected');
  await peer.onPayload({ type: 'error', error: 'no encoder' });
  await peer.onPayload({ type: 'answer', sdp: 'broken' });
  assert.deepEqual(events, [['connected', {}], ['fault', { text: 'no encoder' }]]);
  peer.close();
});

test('payloads of any shape are survived', async () => {
  const { peer, events } = start();
  for (const payload of [null, 7, 'x', [], {}, { type: 'unknown' }, { type: 'ice-candidate' }]) await peer.onPayload(payload);
  assert.deepEqual(events, []);
  peer.close();
});

test('the end that is closed by this side tells nobody', () => {
  const { pc, peer, events } = start();
  peer.close();
  assert.deepEqual([pc.closed, events], [true, []]);
});

test('who made a description is read wherever it stands', () => {
  assert.equal(endOf('v=0\r\no=- 17 2 IN IP4 0.0.0.0\r\nm=video\r\na=fingerprint:sha-256 ab:cd\r\n'), 'AB:CD 17');
  assert.equal(endOf('v=0\r\na=fingerprint:sha-256 ab:cd\r\n'), 'AB:CD ');
  assert.equal(endOf('v=0\r\no=- 17 2 IN IP4 0.0.0.0\r\n'), null);
});
