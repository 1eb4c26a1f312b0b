import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InputSender, toPicture } from '../input.js';

function sender({ readyState = 'open', bufferedAmount = 0 } = {}) {
  /** @type {any[]} */
  const sent = [];
  const channel = { readyState, bufferedAmount, send: (/** @type {string} */ text) => sent.push(JSON.parse(text)) };
  return { sent, input: new InputSender(() => /** @type {any} */ (channel)) };
}

test('a touch has the shape that devices read', () => {
  const { sent, input } = sender();
  input.touch('display_0', [{ id: 3, x: 10.9, y: 20.1 }, { id: 4, x: 0, y: 1 }], true);
  input.touch('display_0', [{ id: 3, x: 10, y: 20 }], false);
  assert.deepEqual(sent, [
    { type: 'multi-touch', id: [3, 4], x: [10, 0], y: [20, 1], down: 1, device_label: 'display_0' },
    { type: 'multi-touch', id: [3], x: [10], y: [20], down: 0, device_label: 'display_0' },
  ]);
});

test('keys, wheel and a captured mouse have the shapes that devices read', () => {
  const { sent, input } = sender();
  input.key('KeyA', true);
  input.key('KeyA', false);
  input.wheel(-12.7);
  input.mouseMove(3.5, -2.5);
  input.mouseButton(2, true);
  input.mouseWheel(100);
  assert.deepEqual(sent, [
    { type: 'keyboard', keycode: 'KeyA', event_type: 'keydown' },
    { type: 'keyboard', keycode: 'KeyA', event_type: 'keyup' },
    { type: 'wheel', pixels: -12 },
    { type: 'mouseMove', x: 3, y: -2 },
    { type: 'mouseButton', button: 2, down: 1 },
    { type: 'mouseWheel', pixels: 100 },
  ]);
});

test('a channel that is not open takes nothing', () => {
  const { sent, input } = sender({ readyState: 'connecting' });
  assert.equal(input.key('KeyA', true), false);
  assert.deepEqual(sent, []);
});

test('a channel that is behind loses movements and no releases', () => {
  const { sent, input } = sender({ bufferedAmount: 100_000 });
  const pointers = [{ id: 1, x: 1, y: 1 }];
  assert.equal(input.touch('display_0', pointers, true, { moving: true }), false);
  assert.equal(input.touch('display_0', pointers, false), true);
  assert.equal(sent.length, 1);
});

test('points are found in a picture that does not fill its box', () => {
  const picture = { width: 360, height: 640 };
  const wide = { left: 100, top: 50, width: 1000, height: 320 };
  // Half size, 180 wide, in the middle of 1000: it starts at 100 + 410.
  assert.deepEqual(toPicture(wide, picture, { clientX: 510, clientY: 50 }), { x: 0, y: 0, inside: true });
  assert.deepEqual(toPicture(wide, picture, { clientX: 600, clientY: 210 }), { x: 180, y: 320, inside: true });
  assert.deepEqual(toPicture(wide, picture, { clientX: 500, clientY: 60 }), { x: 0, y: 20, inside: false });
  assert.deepEqual(toPicture(wide, picture, { clientX: 9999, clientY: 9999 }), { x: 359, y: 639, inside: false });
});

test('without a picture there is no point', () => {
  assert.equal(toPicture({ left: 0, top: 0, width: 10, height: 10 }, { width: 0, height: 0 }, { clientX: 1, clientY: 1 }), null);
});
