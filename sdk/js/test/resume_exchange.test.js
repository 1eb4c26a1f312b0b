/** A session that is disturbed at every point of an exchange: what must not be lost or doubled is not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SignalingClient } from '../signaling.js';
import { FakeServer } from './fake_server.js';
import { Clock } from './fakes.js';

/**
 * An exchange in which each side has something under way at any moment, disturbed as `disturb` says before each step.
 *
 * @param {(step: number, server: FakeServer, client: SignalingClient) => void} disturb
 */
function exchange(disturb) {
  const clock = new Clock();
  const server = new FakeServer();
  server.answers = (payload) => (payload.startsWith('ask') ? [`${payload} yes`, `${payload} and`] : []);
  const client = new SignalingClient({
    deviceId: 'cvd-1',
    url: 'ws://127.0.0.1/connect_client',
    open: /** @type {any} */ (server.open),
    setTimer: clock.setTimer,
    clearTimer: clock.clearTimer,
  });
  /** @type {string[]} */
  const got = [];
  let maybeLost = false;
  let sessions = 0;
  client.on('deviceInfo', () => {
    sessions += 1;
    for (const n of [1, 2, 3]) client.send(`ask ${n}`);
  });
  client.on('message', ({ payload }) => {
    got.push(payload);
    if (payload.endsWith('yes')) client.send(`thanks for ${payload}`);
  });
  client.on('resumed', (event) => (maybeLost ||= event.maybeLost));
  client.start();
  let steps = 0;
  for (;;) {
    disturb(steps, server, client);
    steps += 1;
    if (server.step()) continue;
    if (clock.delays.length === 0) break;
    clock.fireLast();
  }
  return { steps, got, device: server.device, maybeLost, sessions, held: server.sessions };
}

const CALM = exchange(() => {});
const SENT = CALM.device.map(({ payload }) => payload);

/** @param {ReturnType<typeof exchange>} run @param {string} when */
function assertWhole({ got, device, sessions, held }, when) {
  assert.deepEqual(got, CALM.got, `to the client, ${when}`);
  assert.deepEqual(device.map(({ payload }) => payload), SENT, `to the device, ${when}`);
  assert.deepEqual([new Set(device.map(({ from }) => from)).size, sessions, held], [1, 1, 1], `one client, ${when}`);
}

test('the exchange is one that has something to lose', () => {
  assert.deepEqual(CALM.got, ['ask 1 yes', 'ask 1 and', 'ask 2 yes', 'ask 2 and', 'ask 3 yes', 'ask 3 and']);
  assert.deepEqual(SENT.slice(3), ['thanks for ask 1 yes', 'thanks for ask 2 yes', 'thanks for ask 3 yes']);
});

test('a cut at any two points of an exchange loses and doubles nothing', () => {
  for (let first = 4; first < CALM.steps; first += 1) {
    for (let second = first; second < CALM.steps + 12; second += 1) {
      const run = exchange((step, server) => {
        if (step === first || step === second) server.cut();
      });
      assertWhole(run, `cut at ${first} and ${second}`);
      assert.equal(run.maybeLost, false);
    }
  }
});

test('going over to another connection at any point, and a cut at any later one, lose and double nothing', () => {
  for (let first = 4; first < CALM.steps; first += 1) {
    for (let second = first; second < CALM.steps + 12; second += 1) {
      const run = exchange((step, server, client) => {
        if (step === first) client.renew();
        if (step === second) server.cut();
      });
      assertWhole(run, `renewed at ${first}, cut at ${second}`);
      assert.equal(run.maybeLost, false);
    }
  }
});

test('going over to another connection at any two points loses and doubles nothing', () => {
  for (let first = 4; first < CALM.steps; first += 1) {
    for (let second = first; second < CALM.steps + 12; second += 1) {
      const run = exchange((step, _server, client) => {
        if (step === first || step === second) client.renew();
      });
      assertWhole(run, `renewed at ${first} and ${second}`);
      assert.equal(run.maybeLost, false);
    }
  }
});

test('a cut before the session has begun begins it again', () => {
  for (const cutAt of [0, 1, 2, 3]) {
    const { got, device } = exchange((step, server) => {
      if (step === cutAt) server.cut();
    });
    assert.deepEqual(got, CALM.got);
    assert.deepEqual(device.map(({ payload }) => payload), SENT);
  }
});

test('a planned restart at any point, and a cut at any later one, lose and double nothing where the client was told', () => {
  for (let restart = 4; restart < CALM.steps; restart += 1) {
    for (let cut = restart; cut < CALM.steps + 12; cut += 1) {
      let told = true;
      let asked = false;
      const run = exchange((step, server) => {
        if (step === restart) server.drain();
        if (step !== cut) return;
        told = server.last?.session !== null || !server.last?.stands || server.last.sent.length === 1;
        asked = server.last?.stands === true && server.last.sent.length === 1;
        server.cut();
      });
      if (told) assertWhole(run, `restart at ${restart}, cut at ${cut}`);
      if (told && !asked) assert.equal(run.maybeLost, false, `restart at ${restart}, cut at ${cut}`);
      assertInOrder(run.device.map(({ payload }) => payload), SENT);
      assertInOrder(run.got, CALM.got);
    }
  }
});

test('a killed server at any point doubles nothing, and the application is told', () => {
  for (let kill = 4; kill < CALM.steps; kill += 1) {
    const run = exchange((step, server) => {
      if (step === kill) server.kill();
    });
    assert.equal(run.maybeLost, true);
    assertInOrder(run.device.map(({ payload }) => payload), SENT);
    assertInOrder(run.got, CALM.got);
    assert.equal(new Set(run.device.map(({ from }) => from)).size <= 1, true);
  }
});

test('a server that was killed and has no key begins new sessions, at any point', () => {
  for (let kill = 4; kill < CALM.steps; kill += 1) {
    const run = exchange((step, server) => {
      server.hasKey = false;
      if (step === kill) server.kill();
    });
    assert.equal(run.sessions, 2);
    const last = run.device.filter(({ from }) => from === 2).map(({ payload }) => payload);
    assert.deepEqual(last, SENT, 'the new client has said all that the application said after it was told');
  }
});

/** @param {string[]} some @param {string[]} all whether `some` are of `all`, in their order, each once */
function assertInOrder(some, all) {
  const left = [...all];
  for (const one of some) {
    const at = left.indexOf(one);
    assert.ok(at >= 0, `${one} came twice or out of order in ${some}`);
    left.splice(0, at + 1);
  }
}
