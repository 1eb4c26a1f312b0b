import assert from 'node:assert/strict';
import { test } from 'node:test';

import { age, bitrate, candidate, milliseconds, plural } from '../../../web/format.js';
import { details, reason } from '../../../web/sign_in.js';
import { describe } from '../../../web/viewer_status.js';

/**
 * @param {Partial<import('../../../web/viewer_status.js').State>} state
 * @param {import('../../../web/viewer_status.js').Access} [access]
 */
function words(state, hasPicture = true, access = 'ok') {
  /** @type {import('../../../web/viewer_status.js').State} */
  const plain = { name: 'idle', signaling: 'ok', interrupted: false, relayed: null, retryAt: null, problem: null };
  return describe({ ...plain, ...state }, { deviceId: 'cvd-1', hasPicture, access });
}

test('every state has its words', () => {
  assert.equal(words({ name: 'connecting' }).label, 'Connecting');
  assert.equal(words({ name: 'waiting' }).label, 'Waiting for device');
  assert.equal(words({ name: 'negotiating' }).label, 'Negotiating');
  assert.equal(words({ name: 'connected', relayed: false }).label, 'Connected directly');
  assert.equal(words({ name: 'connected', relayed: true }).label, 'Connected, relayed');
  assert.equal(words({ name: 'connected', signaling: 'lost' }).label, 'Signaling lost, retrying');
  assert.equal(words({ name: 'connected', signaling: 'away' }).label, 'Signaling away, resuming');
  assert.equal(words({ name: 'connected', signaling: 'closed' }).label, 'Signaling ended');
  assert.equal(words({ name: 'connected', interrupted: true }).label, 'Picture interrupted');
  assert.equal(words({ name: 'lost' }).label, 'Connection lost');
  assert.equal(words({ name: 'retrying' }).label, 'No picture');
  assert.equal(words({ name: 'failed', problem: { code: 'forbidden', text: 'x' } }).label, 'Stopped');
  assert.equal(words({ name: 'closed' }).label, 'Closed');
});

test('the notice leaves a picture alone, and says why there is none', () => {
  assert.equal(words({ name: 'connected' }).notice, false);
  assert.equal(words({ name: 'connected' }, false).title, 'Waiting for the first picture');
  assert.equal(words({ name: 'retrying', problem: { code: 'no_path', text: null } }).title, 'No path to the device');
});

test('a session that is being resumed beside its picture is no alarm', () => {
  const { tone, notice } = words({ name: 'connected', signaling: 'away' });
  assert.deepEqual([tone, notice], ['busy', false]);
  assert.equal(words({ name: 'connected', signaling: 'waiting' }).tone, 'warn');
});

test('whoever is signed out is told so beside a picture that goes on, and never by the notice', () => {
  for (const name of /** @type {const} */ (['connected', 'failed', 'closed', 'connecting'])) {
    const { label, notice, action } = words({ name, signaling: 'closed' }, name === 'connected', 'out');
    assert.deepEqual([label, notice, action], ['Signed out', false, null]);
  }
});

test('whoever may not watch is told so, and not to try again', () => {
  const { label, title, notice, action } = words({ name: 'closed' }, false, 'forbidden');
  assert.deepEqual([label, title, notice, action], ['Not allowed', 'You may not watch this device', true, null]);
});

test('a device that did not come is waited for, not an error', () => {
  const { label, tone, action } = words({ name: 'lost', problem: { code: 'device_not_found', text: 'x' } });
  assert.deepEqual([label, tone, action], ['Waiting for device', 'busy', 'Try now']);
});

test('a device that has left is waited for', () => {
  const { label, hint } = words({ name: 'waiting', problem: { code: 'device_disconnected', text: 'Device disconnected' } });
  assert.equal(label, 'Waiting for device');
  assert.match(hint, /“cvd-1” has left/);
});

test('the form says why it is there', () => {
  const out = { name: /** @type {const} */ ('out'), who: null, ended: false };
  assert.match(reason(out, false), /wants to know who you are/);
  assert.match(reason({ ...out, ended: true }, false), /^You were signed out: [^.]*\.$/);
  assert.match(reason({ ...out, ended: true }, true), /^You were signed out: .*The picture goes on/);
});

test('what is known of somebody is one line', () => {
  const alice = { name: 'alice', identity: null, tenant: 'lab', roles: ['client', 'admin'], expiresAt: null };
  assert.equal(details(alice), 'client, admin');
  assert.match(details({ ...alice, roles: [], expiresAt: new Date(1_800_000_000_000) }), /^no role, until .*2027/);
  assert.equal(details({ ...alice, expiresAt: new Date(NaN) }), 'client, admin');
});

test('ages', () => {
  const minute = 60_000;
  const said = [0, 9000, 59_000, minute, 90 * minute, 30 * 60 * minute, 72 * 60 * minute, -5000].map((ms) => age(0, ms));
  assert.deepEqual(said, ['just now', 'just now', '59 s', '1 min', '1 h', '1 day', '3 days', 'just now']);
});

test('amounts', () => {
  assert.deepEqual([null, 12, 12_345, 1_234_567].map(bitrate), ['–', '12 bit/s', '12 kbit/s', '1.2 Mbit/s']);
  assert.deepEqual([null, 0.44, 12.6].map(milliseconds), ['–', '0.4 ms', '13 ms']);
  assert.deepEqual([plural(1, 'device'), plural(5000, 'device')], ['1 device', '5,000 devices']);
});

test('candidates', () => {
  const plain = { port: 9, protocol: 'udp', type: 'host' };
  assert.equal(candidate({ ...plain, address: '192.0.2.1' }), '192.0.2.1:9 udp, own address');
  assert.equal(candidate({ ...plain, address: '2001:db8::1', type: 'relay' }), '[2001:db8::1]:9 udp, TURN relay');
  assert.equal(candidate({ ...plain, address: '' }), 'hidden:9 udp, own address');
});
