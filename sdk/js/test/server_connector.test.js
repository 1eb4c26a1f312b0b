import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';

import { FakeServer } from './fake_server.js';

/** @type {FakeServer} */
let server;

/** A page, as far as the connector looks at it. */
Object.assign(globalThis, {
  location: new URL('http://127.0.0.1/viewer.html?deviceId=cvd-1'),
  WebSocket: class {
    /** @param {string} url */
    constructor(url) {
      return server.open(url);
    }
  },
});
const { createConnector, deviceId } = await import('../server_connector.js');

afterEach(() => mock.reset());

async function connected() {
  server = new FakeServer();
  mock.timers.enable({ apis: ['setTimeout'] });
  const connector = await createConnector();
  /** @type {any[]} */
  const got = [];
  connector.onDeviceMsg((message) => got.push(message));
  let resolved = 0;
  const asked = connector.requestDevice('cvd-1').then(() => (resolved += 1));
  settle();
  await asked;
  return { connector, got, resolved: () => resolved };
}

/** Lets everything arrive, and every delay pass. */
function settle() {
  for (let turn = 0; turn < 20; turn += 1) {
    while (server.step());
    mock.timers.tick(1000);
  }
}

test('a path with a host in it names neither a device nor where the other modules are', () => {
  const page = globalThis.location;
  /** @param {string} path */
  const idAt = (path) => {
    Object.assign(globalThis, { location: new URL(`http://127.0.0.1${path}`) });
    return deviceId();
  };
  try {
    for (const path of ['/devices/a/files/x.html', '/lab/devices/a/files/devices/b/files/x.html']) assert.equal(idAt(path), 'a');
    for (const path of ['//evil.example/devices/a/files/x.html', '/lab//devices/a/files/x.html']) {
      assert.throws(() => idAt(path), /names no device/, path);
    }
  } finally {
    Object.assign(globalThis, { location: page });
  }
});

const atDevice = () => server.device.map(({ payload }) => payload.n);

test('a page notices nothing of a connection that breaks, at any point', async () => {
  for (let cut = 0; cut < 14; cut += 1) {
    const { connector, got, resolved } = await connected();
    server.answers = ({ n }) => [{ type: 'answer', n }];
    for (const n of [1, 2, 3]) await connector.sendToDevice({ n });
    for (let step = 0; step < cut; step += 1) server.step();
    server.cut();
    for (const n of [4, 5]) await connector.sendToDevice({ n });
    settle();
    assert.deepEqual(atDevice(), [1, 2, 3, 4, 5], `cut at ${cut}`);
    assert.deepEqual(got.map(({ n }) => n), [1, 2, 3, 4, 5], `cut at ${cut}`);
    assert.equal(resolved(), 1);
    mock.timers.reset();
  }
});

test('what is no JSON value is refused, and what follows is sent', async () => {
  const { connector } = await connected();
  await assert.rejects(connector.sendToDevice(undefined), { name: 'SendError' });
  await connector.sendToDevice({ n: 1 });
  settle();
  assert.deepEqual(atDevice(), [1]);
  mock.timers.reset();
});

test('a page notices nothing of a planned restart', async () => {
  const { connector, got } = await connected();
  server.answers = ({ n }) => [{ type: 'answer', n }];
  for (const n of [1, 2]) await connector.sendToDevice({ n });
  server.step();
  server.drain();
  await connector.sendToDevice({ n: 3 });
  settle();
  assert.deepEqual([atDevice(), got.map(({ n }) => n)], [[1, 2, 3], [1, 2, 3]]);
});

test('a page can send on after the server was killed', async () => {
  const warn = mock.method(console, 'warn', () => {});
  const { connector } = await connected();
  server.kill();
  await connector.sendToDevice({ n: 1 });
  settle();
  assert.deepEqual(atDevice(), [1]);
  assert.equal(warn.mock.callCount(), 1, 'who reads the console is told that something may be lost');
});

test('in a new session nothing of an old negotiation reaches the device, until the page asks for a new offer', async () => {
  const { connector, resolved } = await connected();
  server.hasKey = false;
  server.kill();
  await connector.sendToDevice({ type: 'ice-candidate', n: 1 });
  settle();
  const refused = { message: 'The device knows this page no longer', code: 'cannot_resume' };
  await assert.rejects(connector.sendToDevice({ type: 'ice-candidate', n: 2 }), refused);
  await assert.rejects(connector.sendToDevice(null), refused);
  await connector.sendToDevice({ type: 'request-offer', n: 3 });
  await connector.sendToDevice({ type: 'answer', n: 4 });
  settle();
  assert.deepEqual([atDevice(), resolved()], [[3, 4], 1]);
});
