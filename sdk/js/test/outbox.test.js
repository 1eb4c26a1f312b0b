import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Outbox } from '../outbox.js';

/** @param {Outbox} outbox */
function takeAll(outbox) {
  const taken = [];
  for (let text = outbox.next(); text !== undefined; text = outbox.next()) taken.push(text);
  return taken;
}

/** @param {Outbox} outbox @param {string[]} texts */
const addAll = (outbox, texts) => texts.map((text) => outbox.add(text));

test('gives back what it was given, in order, once', () => {
  const outbox = new Outbox(9, 99);
  addAll(outbox, ['a', 'b']);
  assert.deepEqual(takeAll(outbox), ['a', 'b']);
  assert.deepEqual(takeAll(outbox), []);
  outbox.add('c');
  assert.deepEqual(takeAll(outbox), ['c']);
});

test('refuses what is beyond its bounds, and has room again when something was taken', () => {
  const outbox = new Outbox(2, 10);
  assert.deepEqual(addAll(outbox, ['1234567', '1234', '123', '']), [true, false, true, false]);
  outbox.next();
  assert.deepEqual(addAll(outbox, ['1234567', '']), [true, false]);
});

test('what the other side has not got waits again, before what waits', () => {
  const outbox = new Outbox(9, 99);
  addAll(outbox, ['a', 'b', 'c']);
  takeAll(outbox);
  outbox.add('d');
  assert.equal(outbox.rewind(1), true);
  assert.deepEqual(takeAll(outbox), ['b', 'c', 'd']);
  assert.equal(outbox.rewind(4), true);
  assert.deepEqual(takeAll(outbox), []);
});

test('what waits again counts towards the bounds', () => {
  const outbox = new Outbox(9, 10);
  addAll(outbox, ['1234567']);
  takeAll(outbox);
  outbox.rewind(0);
  assert.deepEqual(addAll(outbox, ['1234', '123']), [false, true]);
});

test('keeps the newest of what was sent, and says when older is asked for', () => {
  const outbox = new Outbox(2, 99);
  for (const text of ['a', 'b', 'c']) {
    outbox.add(text);
    outbox.next();
  }
  assert.equal(outbox.rewind(1), true);
  assert.deepEqual(takeAll(outbox), ['b', 'c']);
  assert.equal(outbox.rewind(0), false);
  assert.deepEqual(takeAll(outbox), ['b', 'c']);
  assert.equal(outbox.rewind(1), true, 'it counts as the other side does');
  assert.deepEqual(takeAll(outbox), ['c']);
});

test('keeps no more characters than it may', () => {
  const outbox = new Outbox(9, 10);
  for (const text of ['123456', '1234', '123']) {
    outbox.add(text);
    outbox.next();
  }
  assert.equal(outbox.rewind(0), false);
  assert.deepEqual(takeAll(outbox), ['1234', '123']);
});

test('a count of more than was sent is false, and holds', () => {
  const outbox = new Outbox(9, 99);
  addAll(outbox, ['a']);
  takeAll(outbox);
  outbox.add('b');
  assert.equal(outbox.rewind(5), false);
  assert.deepEqual(takeAll(outbox), ['b']);
  assert.equal(outbox.rewind(6), true);
  assert.deepEqual(takeAll(outbox), []);
});

test('counts from 0 again with what waits, or with nothing', () => {
  const outbox = new Outbox(9, 99);
  addAll(outbox, ['a', 'b']);
  outbox.next();
  outbox.restart();
  assert.deepEqual(takeAll(outbox), ['b']);
  assert.equal(outbox.rewind(0), true);
  outbox.clear();
  assert.deepEqual([takeAll(outbox), outbox.rewind(0), outbox.add('x'.repeat(99))], [[], true, true]);
});
