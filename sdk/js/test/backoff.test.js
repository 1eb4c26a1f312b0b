import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Backoff } from '../backoff.js';

test('a delay is between half of and the whole of its ceiling', () => {
  for (const [random, factor] of /** @type {[number, number][]} */ ([[0, 0.5], [1, 1]])) {
    const backoff = new Backoff({ minMs: 100, maxMs: 400, random: () => random });
    assert.deepEqual([1, 2, 3, 4].map(() => backoff.next()), [100, 200, 400, 400].map((ceiling) => ceiling * factor));
  }
});

test('a floor is never undercut', () => {
  const backoff = new Backoff({ minMs: 100, maxMs: 400, random: () => 0 });
  assert.equal(backoff.next(3000), 3000);
});

test('thousands of failures do not overflow', () => {
  const backoff = new Backoff({ minMs: 500, maxMs: 15_000 });
  for (let attempt = 0; attempt < 5000; attempt += 1) assert.ok(backoff.next() <= 15_000);
});
