/** What becomes of a page whose connection to the signaling server breaks, in a real browser (protocol.md 2.6). */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, takeStatuses } from '../support/browser.js';
import { watchViewers } from '../support/device_events.js';
import { startFront } from '../support/front.js';
import { framesWatched, waitForFrames, waitForPicture, watchFrames } from '../support/picture.js';
import { FaultProxy, Server } from '../support/processes.js';
import { RawDevice } from '../support/raw_device.js';
import { endPicture, keepControlChannels, watchSessions } from '../support/signaling.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** With the same key, a server that is started again honours the tokens of the one before. */
const ENV = { CUTTLEBONE__CLIENTS__RESUME_KEY: 'a key for tests, and for tests alone' };
const CUTS = 10;

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {FaultProxy} */
let proxy;
/** @type {Awaited<ReturnType<typeof newPage>>} */
let tab;
/** @type {(() => Promise<void>)[]} */
let cleanups = [];

before(async () => {
  browser = await launch();
});
after(() => browser.close());
afterEach(async () => {
  await tab.context.close();
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
  await server.stop('SIGKILL');
  assert.deepEqual(tab.faults, []);
});

async function startServer() {
  server = await Server.start({ env: ENV });
}

/** @param {NodeJS.Signals} signal how the old process ends */
async function restartServer(signal) {
  const { port } = server;
  await server.stop(signal);
  server = await Server.start({ port, env: ENV });
}

/** @param {number} port what pages reach through the proxy */
async function startProxy(port) {
  proxy = await FaultProxy.start(port);
  cleanups.push(() => proxy.stop());
}

/** A demo device, and a viewer behind the proxy that shows its picture. */
async function startViewer() {
  await startServer();
  await startProxy(server.port);
  const device = server.device('cvd-1');
  cleanups.push(() => device.stop('SIGKILL'));
  tab = await newPage(browser);
  const { page } = tab;
  await keepControlChannels(page);
  const sessions = watchSessions(page);
  await page.goto(`${proxy.url}/viewer.html?deviceId=cvd-1`);
  await waitForPicture(page);
  await waitForFrames(page);
  await takeStatuses(page);
  await watchFrames(page);
  return { page, device, sessions };
}

/** @param {Page} page @param {import('node:test').TestContext} context */
async function assertPictureWentOn(page, context) {
  const { count, longestGap } = await until('enough frames to judge', async () => {
    const frames = await framesWatched(page);
    return frames.count > 30 && frames;
  });
  context.diagnostic(`${count} frames, the longest time without one ${longestGap} ms`);
  assert.ok(longestGap < 1000, `${longestGap} ms without a frame`);
}

/** @param {import('../support/processes.js').Program} device */
function assertOnePicture(device) {
  assert.equal(device.pictures.length, 1);
  assert.ok(!device.log.includes('viewer gone'), device.log);
}

/**
 * Makes the page ask for a new picture, and waits for it: the request, the offer, the answer and the candidates all
 * pass through the signaling.
 *
 * @param {Page} page
 * @param {import('../support/processes.js').Program} device
 */
async function assertSignalingWorks(page, device) {
  const before = device.pictures.length;
  await endPicture(page);
  await until('another picture', () => device.pictures.length > before);
  await waitForPicture(page);
  await waitForFrames(page);
  assert.equal(new Set(device.pictures).size, 1, 'the device sees one client all the time');
}

test(`a picture goes on while the connection is cut ${CUTS} times, and the device notices nothing`, async (context) => {
  const { page, device, sessions } = await startViewer();
  const watch = await watchViewers(server, 'cvd-1');
  cleanups.push(watch.stop);
  for (let cut = 1; cut <= CUTS; cut += 1) {
    await proxy.tell('cut');
    await until('the session goes on', () => sessions.length === 1 + cut);
    if (cut % 2) await waitForFrames(page);
  }
  await page.locator('#status', { hasText: 'Connected directly' }).waitFor();
  await assertPictureWentOn(page, context);
  assert.deepEqual(sessions.slice(1).filter(({ cuttlebone_received }) => cuttlebone_received === undefined), [], 'no count was lost');
  assertOnePicture(device);
  // While the connection is away, nobody is counted as watching.
  assert.deepEqual([Math.max(...watch.viewers), watch.viewers.at(-1)], [1, 1]);
  assert.deepEqual(new Set(await takeStatuses(page)), new Set(['Signaling away, resuming', 'Connected directly']));
  await assertSignalingWorks(page, device);
});

for (const [name, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['restarted as planned', 'SIGTERM'], ['killed', 'SIGKILL']])) {
  test(`a picture goes on while the server is ${name}, and is not renewed after it`, async (context) => {
    const { page, device, sessions } = await startViewer();
    await restartServer(signal);
    await until('the session goes on', () => sessions.length === 2);
    await page.locator('#status', { hasText: 'Connected directly' }).waitFor();
    await waitForFrames(page);
    await assertPictureWentOn(page, context);
    assertOnePicture(device);
    await assertSignalingWorks(page, device);
  });
}

/** A page that uses the connector, behind the proxy, and a device that repeats what the page says. */
async function startPage() {
  await startServer();
  const host = await startFront(server);
  cleanups.push(host.stop);
  const port = Number(new URL(host.url).port);
  await startProxy(port);
  /** @type {RawDevice[]} the device, each time it registered */
  const lives = [];
  await keepRegistered(lives);
  tab = await newPage(browser);
  const { page } = tab;
  const sessions = watchSessions(page);
  await page.goto(`${proxy.url}/devices/cvd-1/files/client.html`);
  await page.evaluate(async () => {
    const path = './js/server_connector.js';
    const { createConnector, deviceId } = await import(new URL(path, location.href).href);
    const connector = await createConnector();
    const all = { connector, got: /** @type {any[]} */ ([]), sent: 0, refused: /** @type {string[]} */ ([]), resolved: 0 };
    connector.onDeviceMsg((/** @type {any} */ message) => all.got.push(message));
    await connector.requestDevice(deviceId()).then(() => (all.resolved += 1));
    Object.assign(globalThis, { all });
  });
  return { page, lives, sessions, port };
}

/**
 * Registers the device, and again whenever its connection ends, until the test does.
 *
 * @param {RawDevice[]} lives
 */
async function keepRegistered(lives) {
  let over = false;
  const register = async () => {
    const device = await RawDevice.register(server, 'cvd-1');
    device.onPayload = (payload) => device.answer(payload);
    device.onClose(() => over || again());
    lives.push(device);
  };
  const again = () => until('the device is back', () => over || register().then(() => true, () => false));
  cleanups.push(async () => {
    over = true;
    await lives.at(-1)?.close();
  });
  await register();
}

/** Has the page say a number every few milliseconds, from 0 up. @param {Page} page */
const startTalking = (page) =>
  page.evaluate(() => {
    const { all } = /** @type {any} */ (globalThis);
    all.timer = setInterval(() => {
      all.connector.sendToDevice(all.sent).catch((/** @type {Error} */ error) => all.refused.push(error.message));
      all.sent += 1;
    }, 10);
  });

/** @param {Page} page @returns {Promise<{ sent: number, got: number[], refused: string[], resolved: number }>} */
const stopTalking = (page) =>
  page.evaluate(() => {
    const { all } = /** @type {any} */ (globalThis);
    clearInterval(all.timer);
    return { sent: all.sent, got: all.got, refused: all.refused, resolved: all.resolved };
  });

/** @param {Page} page @returns {Promise<number[]>} */
const got = (page) => page.evaluate(() => /** @type {any} */ (globalThis).all.got);

/** @param {number} count */
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

/** @param {RawDevice[]} lives */
const payloads = (lives) => lives.flatMap((device) => device.payloads);

/** @param {RawDevice[]} lives */
function assertOneClient(lives) {
  const messages = lives.flatMap((device) => device.messages);
  assert.equal(new Set(lives.flatMap((device) => [...device.clients])).size, 1);
  assert.deepEqual(messages.filter(({ message_type }) => !['config', 'client_msg'].includes(message_type)), []);
}

test(`a page with the connector loses and doubles nothing while its connection is cut ${CUTS} times`, async () => {
  const { page, lives, sessions } = await startPage();
  await proxy.tell('delay 15');
  await startTalking(page);
  // At any byte, up and down, and at no byte in particular.
  for (let cut = 1; cut <= CUTS; cut += 1) {
    const where = ['cut', `cut-after up ${cut * 37}`, `cut-after down ${cut * 53}`][cut % 3];
    await proxy.tell(String(where));
    await until(`${where}, and the session goes on`, () => sessions.length === 1 + cut);
  }
  const { sent, refused, resolved } = await stopTalking(page);
  await until('everything', async () => (await got(page)).length >= sent);
  assert.deepEqual([refused, resolved], [[], 1]);
  assert.deepEqual(await got(page), upTo(sent));
  assert.deepEqual(payloads(lives), upTo(sent));
  assertOneClient(lives);
});

test('a page with the connector loses and doubles nothing when it gives up a connection that only hangs', async () => {
  const { page, lives, sessions } = await startPage();
  await startTalking(page);
  for (let turn = 1; turn <= 5; turn += 1) {
    await proxy.tell('stall');
    const said = await page.evaluate(() => /** @type {any} */ (globalThis).all.sent);
    await until('more was said', () => page.evaluate((said) => /** @type {any} */ (globalThis).all.sent > said + 5, said));
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await proxy.tell('clear');
    await until('the session goes on over another', () => sessions.length === 1 + turn);
  }
  const { sent, refused } = await stopTalking(page);
  await until('everything', async () => (await got(page)).length >= sent);
  assert.deepEqual([await got(page), payloads(lives), refused], [upTo(sent), upTo(sent), []]);
  assertOneClient(lives);
});

test('a page with the connector talks on over the old connection while no new one can be opened', async () => {
  const { page, lives, sessions, port } = await startPage();
  const shut = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  cleanups.push(async () => void shut.close());
  await once(shut, 'listening');
  let tries = 0;
  page.on('websocket', () => (tries += 1));
  await startTalking(page);
  await proxy.tell(`to 127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (shut.address()).port}`);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('a try', () => tries === 1);
  const before = (await got(page)).length;
  await until('answers come on', async () => (await got(page)).length > before + 50);
  assert.equal(sessions.length, 1);
  await proxy.tell(`to 127.0.0.1:${port}`);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('the session goes on over another', () => sessions.length === 2);
  const { sent, refused } = await stopTalking(page);
  await until('everything', async () => (await got(page)).length >= sent);
  assert.deepEqual([await got(page), payloads(lives), refused], [upTo(sent), upTo(sent), []]);
  assertOneClient(lives);
});

test('a page with the connector loses and doubles nothing in a planned restart', async () => {
  const { page, lives, sessions } = await startPage();
  await startTalking(page);
  await until('the talk is under way', async () => (await got(page)).length > 20);
  await restartServer('SIGTERM');
  await until('the session goes on', () => sessions.length === 2);
  const { sent, refused } = await stopTalking(page);
  await until('everything', async () => (await got(page)).at(-1) === sent - 1);
  assert.deepEqual([await got(page), payloads(lives), refused], [upTo(sent), upTo(sent), []]);
  assertOneClient(lives);
});

test('a page with the connector talks on after the server was killed', async () => {
  const { page, lives, sessions } = await startPage();
  await startTalking(page);
  await until('the talk is under way', async () => (await got(page)).length > 20);
  await restartServer('SIGKILL');
  await until('the session goes on', () => sessions.length === 2);
  const { sent, refused, resolved } = await stopTalking(page);
  await until('the last', () => payloads(lives).at(-1) === sent - 1);
  await until('its answer', async () => (await got(page)).at(-1) === sent - 1);
  const order = payloads(lives);
  assert.deepEqual(order, [...new Set(order)].sort((a, b) => a - b), 'each at most once, and in order');
  assert.deepEqual([refused, resolved], [[], 1]);
  assertOneClient(lives);
});
