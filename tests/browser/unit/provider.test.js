import assert from 'node:assert/strict';
import { register } from 'node:module';
import { test } from 'node:test';

register('../support/as_served.js', import.meta.url);
const { here } = await import('../../../web/provider.js');

test('a page is named as it stands below the root of the pages', () => {
  const at = (/** @type {string} */ url) => here(/** @type {any} */ (new URL(url)));
  assert.equal(at('https://h.example/'), '');
  assert.equal(at('https://h.example/lab/?query=a'), '?query=a');
  assert.equal(at('https://h.example/lab/viewer.html?deviceId=a%2Fb#x'), 'viewer.html?deviceId=a%2Fb');
});
