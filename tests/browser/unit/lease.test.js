import assert from 'node:assert/strict';
import { register } from 'node:module';
import { test } from 'node:test';

register('../support/as_served.js', import.meta.url);
const { changeLease, leaseStep, leaseText } = await import('../../../web/lease.js');

/** @typedef {import('../../../web/account.js').Standing} Standing */

/** @param {string} name @param {string[]} roles @returns {Standing} */
const known = (name, ...roles) => ({
  name: 'known',
  who: { name, identity: null, tenant: null, roles, expiresAt: null },
  ended: false,
});

/** @type {Standing} */
const ANYBODY = { name: 'anybody', who: null, ended: false };

/** @param {Partial<import('../../../web/js/device_list.js').Device>} fields */
const device = (fields = {}) => ({ device_id: 'cvd-1', group_name: '', owner: '', name: '', adb_port: 0, ...fields });
const leased = (holder = 'ann') => device({ cuttlebone_lease: { holder, until_ms: Date.UTC(2026, 0, 2, 12) } });

test('what somebody may do depends on who has the device and on their roles', () => {
  const ann = known('ann', 'client');
  const bob = known('bob', 'client');
  const root = known('root', 'admin');
  for (const [shown, standing, inUse, expected] of /** @type {const} */ ([
    [device(), ann, false, 'take'],
    [device(), ann, true, null],
    [device(), root, false, 'take'],
    [device(), root, true, 'force'],
    [leased(), ann, false, 'release'],
    [leased(), bob, false, null],
    [leased(), root, false, 'force'],
    [device(), known('w', 'observer'), false, null],
    [device(), ANYBODY, false, null],
    [leased(), ANYBODY, false, null],
  ])) {
    assert.equal(leaseStep(shown, standing, inUse), expected);
  }
});

test('who has a device is said in words, with the day where it is another one', () => {
  const now = new Date(2026, 0, 2, 9, 0).getTime();
  const until = new Date(2026, 0, 2, 14, 5).getTime();
  const shown = device({ cuttlebone_lease: { holder: 'ann', until_ms: until } });
  assert.equal(leaseText(device(), ANYBODY, now), '');
  assert.equal(leaseText(shown, known('ann', 'client'), now), 'Yours until 14:05');
  assert.equal(leaseText(shown, known('bob', 'client'), now), 'In use by ann until 14:05');
  assert.equal(leaseText(shown, ANYBODY, now - 86_400_000), 'In use by ann until 14:05, Jan 2');
});

test('the server is asked for what is meant, and its answer is said in words', async () => {
  /** @type {[string, string][]} */
  const asked = [];
  const answer = (/** @type {number} */ status, /** @type {string} */ code) => async (/** @type {string} */ url, /** @type {RequestInit} */ init) => {
    asked.push([String(init.method), url]);
    return new Response(status === 204 ? null : JSON.stringify({ cuttlebone_code: code }), { status });
  };
  const odd = device({ device_id: 'lab7/a?b', cuttlebone_tenant: 'lab' });
  assert.deepEqual(await changeLease(device(), 'take', answer(200, '')), { ok: true, inUse: false, text: 'cvd-1 is yours' });
  assert.deepEqual(await changeLease(device(), 'release', answer(204, '')), { ok: true, inUse: false, text: 'cvd-1 is free' });
  const refused = await changeLease(odd, 'force', answer(409, 'device_in_use'));
  assert.deepEqual(refused, { ok: false, inUse: true, text: 'Others are connected' });
  assert.deepEqual(asked, [
    ['POST', 'api/v1/devices/cvd-1/lease?'],
    ['DELETE', 'api/v1/devices/cvd-1/lease?'],
    ['POST', 'api/v1/devices/lab7%2Fa%3Fb/lease?force=true&tenant=lab'],
  ]);
  assert.equal((await changeLease(device(), 'take', answer(500, 'x'))).text, 'That did not work');
  const failed = await changeLease(device(), 'take', () => Promise.reject(new TypeError('no network')));
  assert.equal(failed.text, 'The server did not answer');
});
