/**
 * The contract of `server_connector.js` with client pages that nobody changes: such a page lives at
 * `PREFIX/devices/ID/files/client.html`, and imports the file from beside its own modules.
 */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage } from '../support/browser.js';
import { startFront } from '../support/front.js';
import { Server } from '../support/processes.js';
import { waitForFrames, waitForPicture } from '../support/picture.js';
import { RawDevice } from '../support/raw_device.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {Awaited<ReturnType<typeof startFront>>} */
let host;
/** @type {Awaited<ReturnType<typeof startFront>>} */
let proxy;
/** @type {Awaited<ReturnType<typeof newPage>>} */
let tab;
/** @type {RawDevice[]} */
let devices = [];

before(async () => {
  browser = await launch();
  server = await Server.start({ env: { CUTTLEBONE__CLIENTS__WAIT_MS: '1000' } });
  host = await startFront(server);
  proxy = await startFront(server, '/lab/devices/');
});
after(async () => {
  await browser.close();
  await host.stop();
  await proxy.stop();
  await server.stop();
});
afterEach(async () => {
  await tab.context.close();
  for (const device of devices) await device.close();
  devices = [];
  assert.deepEqual(tab.faults, []);
});

/** @param {string} id @param {any} [info] */
async function register(id, info) {
  const device = await RawDevice.register(server, id, info);
  devices.push(device);
  return device;
}

/**
 * Opens the page of a device.
 *
 * @param {string} id
 */
async function openDevicePage(id, base = host.url) {
  tab = await newPage(browser);
  const { page } = tab;
  await page.goto(`${base}devices/${encodeURIComponent(id)}/files/client.html`);
  await page.evaluate(async () => {
    const path = './js/server_connector.js';
    Object.assign(window, { connectorModule: await import(new URL(path, location.href).href) });
  });
  return page;
}

/** Does what a client page does when it is loaded, in the page. */
async function connect() {
  const page = /** @type {any} */ (window);
  const connector = await page.connectorModule.createConnector();
  page.connector = connector;
  page.received = [];
  connector.onDeviceMsg((/** @type {any} */ message) => page.received.push(message));
  return connector.requestDevice(page.connectorModule.deviceId());
}

/** @param {Page} page */
const received = (page) => page.evaluate(() => /** @type {any} */ (window).received);

test('exports what pages import', async () => {
  const page = await openDevicePage('cvd-1');
  const kinds = await page.evaluate(async () => {
    const module = /** @type {any} */ (window).connectorModule;
    const connector = await module.createConnector();
    const names = ['onDeviceMsg', 'requestDevice', 'sendToDevice', 'expectMessagesSoon'];
    return {
      exports: Object.keys(module).sort(),
      methods: names.map((name) => typeof connector[name]),
      hint: connector.expectMessagesSoon(5000),
      unready: await connector.sendToDevice({}).then(() => 'sent', () => 'rejected'),
    };
  });
  assert.deepEqual(kinds, {
    exports: ['DeviceDisplaysMessage', 'createConnector', 'createParentController', 'deviceId'],
    methods: Array(4).fill('function'),
    hint: undefined,
    unready: 'rejected',
  });
});

for (const id of ['cvd-1', 'devices', 'files', 'a/b?x#y', '🦑 <b>', '%41']) {
  test(`finds the id ${JSON.stringify(id)} in the path`, async () => {
    const page = await openDevicePage(id);
    assert.equal(await page.evaluate(() => /** @type {any} */ (window).connectorModule.deviceId()), id);
  });
}

test('finds the id in the query of any other page, and misses it where there is none', async () => {
  tab = await newPage(browser);
  const idAt = async (/** @type {string} */ query) => {
    await tab.page.goto(`${server.url}/${query}`);
    return tab.page.evaluate(async () => {
      const path = './js/server_connector.js';
      const { deviceId } = await import(new URL(path, location.href).href);
      try {
        return deviceId();
      } catch (error) {
        return `${error}`;
      }
    });
  };
  assert.equal(await idAt('viewer.html?deviceId=a%2Fb'), 'a/b');
  assert.match(await idAt(''), /names no device/);
});

test('passes messages both ways, in order', async () => {
  const device = await register('cvd-1', { hardware: { a: 1 } });
  const page = await openDevicePage('cvd-1');
  const { deviceInfo, infraConfig } = await page.evaluate(connect);
  assert.deepEqual(deviceInfo, { hardware: { a: 1 } });
  assert.deepEqual([infraConfig.message_type, infraConfig.ice_servers], ['config', []]);
  await page.evaluate(async () => {
    for (let n = 0; n < 20; n += 1) await /** @type {any} */ (window).connector.sendToDevice({ n });
  });
  await until('all of it', () => device.payloads.length === 20);
  assert.deepEqual(device.payloads, Array.from({ length: 20 }, (_, n) => ({ n })));
  device.answer({ type: 'offer' });
  device.answer('second');
  await until('the answers', async () => (await received(page)).length === 2);
  assert.deepEqual(await received(page), [{ type: 'offer' }, 'second']);
});

test('keeps what comes before anybody listens, in order', async () => {
  const device = await register('cvd-1');
  const page = await openDevicePage('cvd-1');
  let arrived = 0;
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => (arrived += Number(String(payload).includes('device_msg')))));
  await page.evaluate(async () => {
    const all = /** @type {any} */ (window);
    all.connector = await all.connectorModule.createConnector();
    await all.connector.requestDevice('cvd-1');
    await all.connector.sendToDevice('hello');
  });
  await until('the greeting', () => device.payloads.length === 1);
  for (let n = 0; n < 5; n += 1) device.answer(n);
  await until('five messages at the browser', () => arrived === 5);
  await page.evaluate(() => {
    const all = /** @type {any} */ (window);
    all.received = [];
    all.connector.onDeviceMsg((/** @type {any} */ message) => all.received.push(message));
  });
  await until('all of it', async () => (await received(page)).length === 5);
  assert.deepEqual(await received(page), [0, 1, 2, 3, 4]);
});

test('keeps no more than it may, and then lets go', async () => {
  const device = await register('cvd-1');
  const page = await openDevicePage('cvd-1');
  await page.evaluate(async () => {
    const all = /** @type {any} */ (window);
    all.connector = await all.connectorModule.createConnector();
    await all.connector.requestDevice('cvd-1');
    await all.connector.sendToDevice('hello');
  });
  await until('the greeting', () => device.payloads.length === 1);
  for (let n = 0; n < 400; n += 1) device.answer(n);
  await until('the connection is closed', () =>
    page.evaluate(() => /** @type {any} */ (window).connector.sendToDevice('x').then(() => false, () => true)),
  );
});

test('waits for a device that comes later', async () => {
  const page = await openDevicePage('late');
  const opened = page.waitForEvent('websocket');
  const answer = page.evaluate(connect);
  await opened;
  await register('late', { late: true });
  assert.deepEqual((await answer).deviceInfo, { late: true });
});

test('rejects with the reason of the server', async () => {
  const page = await openDevicePage('never');
  const reason = await page.evaluate(async (source) => {
    try {
      await eval(`(${source})`)();
      return null;
    } catch (error) {
      return { text: /** @type {Error} */ (error).message, code: /** @type {any} */ (error).code };
    }
  }, connect.toString());
  assert.deepEqual(reason, { text: "Connection failed: Device not found: 'never'", code: 'device_not_found' });
});

test('sending rejects once the device has left', async () => {
  const device = await register('cvd-1');
  const page = await openDevicePage('cvd-1');
  await page.evaluate(connect);
  await device.close();
  await until('a rejection', () =>
    page.evaluate(() => /** @type {any} */ (window).connector.sendToDevice('x').then(() => false, (/** @type {Error} */ error) => error.message)),
  );
});

test('below a path prefix the connector, the list and the viewer all work', async () => {
  const device = await register('cvd-1', { prefix: true });
  const page = await openDevicePage('cvd-1', proxy.url);
  assert.deepEqual((await page.evaluate(connect)).deviceInfo, { prefix: true });
  await device.close();
  const demo = server.device('demo');
  try {
    await page.goto(proxy.url);
    await page.getByRole('link', { name: 'demo' }).click();
    await waitForPicture(page);
    await waitForFrames(page);
    assert.ok(page.url().startsWith(`${proxy.url}viewer.html`), page.url());
  } finally {
    await demo.stop('SIGKILL');
  }
});

test('tells the page that frames it about the displays', async () => {
  const page = await openDevicePage('cvd-1');
  const told = await page.evaluate(async () => {
    const frame = document.createElement('iframe');
    frame.src = location.href;
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    document.body.append(frame);
    await loaded;
    const heard = new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data), { once: true }));
    const child = /** @type {any} */ (frame.contentWindow);
    await child.eval(`import('./js/server_connector.js').then(({ createParentController }) => {
      const message = createParentController().createDeviceDisplaysMessage(90);
      message.addDisplay('display_0', 360, 640);
      message.addDisplay('display_1', 100, 200);
      message.send();
    })`);
    return heard;
  });
  assert.deepEqual(told, {
    type: 'displays_info',
    payload: {
      device_id: 'cvd-1',
      rotation: 90,
      displays: [{ display_id: 'display_0', width: 360, height: 640 }, { display_id: 'display_1', width: 100, height: 200 }],
    },
  });
});

test('a page that is not framed tells nobody', async () => {
  const page = await openDevicePage('cvd-1');
  const heard = await page.evaluate(async () => {
    /** @type {any[]} */
    const messages = [];
    addEventListener('message', ({ data }) => messages.push(data));
    /** @type {any} */ (window).connectorModule.createParentController().createDeviceDisplaysMessage(0).send();
    postMessage('last');
    await new Promise((resolve) => addEventListener('message', resolve, { once: true }));
    return messages;
  });
  assert.deepEqual(heard, ['last']);
});
