import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { KNOWN_CODES, explain } from '../../../web/messages.js';

/** @param {string} path */
const source = (path) => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8');

test('every refusal of the server has a message', async () => {
  const codes = [...(await source('crates/proto/src/reject.rs')).matchAll(/=> \("([a-z0-9_]+)", "/g)].map(([, code]) => String(code));
  assert.ok(codes.length >= 30, `only ${codes.length} codes were found`);
  assert.deepEqual(codes.filter((code) => !KNOWN_CODES.has(code)), []);
});

test('every close code of the server has a message', async () => {
  const codes = [...(await source('crates/proto/src/close_code.rs')).matchAll(/= (\d{4}),/g)].map(([, code]) => Number(code));
  assert.ok(codes.length >= 10, `only ${codes.length} codes were found`);
  const { title: unknown } = explain({ code: 'signaling_closed', text: null, closeCode: 1006 });
  const without = codes.filter((closeCode) => explain({ code: 'signaling_closed', text: null, closeCode }).title === unknown);
  assert.deepEqual(without, []);
});

test('every way in which a peer can die has a message', async () => {
  const [, union] = /@typedef \{('no_offer'[^}]*)\} Death/.exec(await source('sdk/js/peer.js')) ?? [];
  const deaths = [...(union ?? '').matchAll(/'(\w+)'/g)].map(([, death]) => String(death));
  assert.ok(deaths.length >= 5);
  assert.deepEqual(deaths.filter((death) => !KNOWN_CODES.has(death)), []);
});

test('what is not known is said in the words of the server', () => {
  assert.deepEqual(explain({ code: 'from_the_future', text: 'Something new' }).said, 'Something new');
  assert.equal(explain({ code: 'device_error', text: 'no encoder' }).said, 'no encoder');
  assert.equal(explain({ code: 'forbidden', text: 'whatever' }).said, null);
});
