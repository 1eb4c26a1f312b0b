import assert from 'node:assert/strict';
import { test } from 'node:test';

import { watchPage } from '../page_watch.js';

function watched() {
  /** @type {string[]} */
  const calls = [];
  const page = new EventTarget();
  const sight = Object.assign(new EventTarget(), { hidden: false });
  let time = 0;
  const end = watchPage({ retry: () => calls.push('retry'), renew: () => calls.push('renew') }, { page, sight, now: () => time });
  const turn = (/** @type {boolean} */ hidden, /** @type {number} */ at) => {
    time = at;
    sight.hidden = hidden;
    sight.dispatchEvent(new Event('visibilitychange'));
  };
  return { calls, page, turn, end };
}

test('a connection is doubtful when the browser is online again', () => {
  const { calls, page } = watched();
  page.dispatchEvent(new Event('offline'));
  page.dispatchEvent(new Event('online'));
  assert.deepEqual(calls, ['renew']);
});

test('a page that is seen again tries at once, and doubts its connection after a long time', () => {
  const { calls, turn } = watched();
  turn(true, 1000);
  assert.deepEqual(calls, []);
  turn(false, 45_999);
  turn(true, 50_000);
  turn(false, 95_000);
  assert.deepEqual(calls, ['retry', 'renew']);
});

test('ends when told to', () => {
  const { calls, page, turn, end } = watched();
  end();
  page.dispatchEvent(new Event('online'));
  turn(false, 0);
  assert.deepEqual(calls, []);
});

test('does nothing where there is no page', () => {
  watchPage({ retry: () => {}, renew: () => {} })();
});
