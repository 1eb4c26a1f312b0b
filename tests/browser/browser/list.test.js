import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, refusedByPolicy, screenshot } from '../support/browser.js';
import { Server } from '../support/processes.js';
import { RawDevice } from '../support/raw_device.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {Awaited<ReturnType<typeof newPage>>} */
let tab;
/** @type {RawDevice[]} */
let devices = [];

before(async () => {
  browser = await launch();
  server = await Server.start();
});
after(async () => {
  await browser.close();
  await server.stop();
});
afterEach(async () => {
  const faults = [...tab.faults, ...(await refusedByPolicy(tab.page))];
  await tab.context.close();
  for (const device of devices) await device.close();
  devices = [];
  assert.deepEqual(faults, []);
});

async function open() {
  tab = await newPage(browser);
  await tab.page.goto(`${server.url}/`);
  return tab.page;
}

/** @param {string} id @param {any} [info] */
async function register(id, info) {
  const device = await RawDevice.register(server, id, info);
  devices.push(device);
  return device;
}

/** @param {import('playwright-core').Page} page @param {string} text */
const row = (page, text) => page.locator('.device', { has: page.getByText(text, { exact: true }) });

test('an empty list tells how to connect a device, and fills by itself', async () => {
  const page = await open();
  await page.getByText('No device is connected yet').waitFor();
  assert.equal(await page.locator('#command-demo').textContent(), `cuttlebone device --server ${server.url} --id my-device`);
  assert.match(String(await page.locator('#command-websocat').textContent()), new RegExp(`^echo '.*' \\| websocat .* ${server.socketUrl}/register_device$`));
  await screenshot(page, 'list-empty');
  const device = await register('cvd-1');
  await row(page, 'cvd-1').waitFor();
  assert.equal(await page.locator('#empty').isVisible(), false);
  await device.close();
  await page.getByText('No device is connected yet').waitFor();
});

test('the demo device is listed with its viewers and since when', async () => {
  const demo = server.device('cvd-1');
  try {
    const page = await open();
    await row(page, 'cvd-1').getByText('no viewers').waitFor();
    const since = await row(page, 'cvd-1').locator('time').getAttribute('datetime');
    assert.ok(Math.abs(Date.now() - Date.parse(String(since))) < 60_000, `since ${since}`);
    const viewer = await tab.context.newPage();
    await viewer.goto(server.viewer('cvd-1'));
    await page.bringToFront();
    await row(page, 'cvd-1').getByText('1 viewer', { exact: true }).waitFor();
    await viewer.close();
    await row(page, 'cvd-1').getByText('no viewers').waitFor();
  } finally {
    await demo.stop();
  }
});

test('the search finds, and says when it does not', async () => {
  for (const id of ['kiosk-1', 'kiosk-2', 'robot-1']) await register(id);
  const page = await open();
  await page.getByText('3 devices connected').waitFor();
  await page.getByLabel('Search').fill('KIOSK');
  await page.getByText('2 of 3 devices').waitFor();
  assert.equal(await page.locator('.device').count(), 2);
  await page.getByLabel('Search').fill('nothing like it');
  await page.getByRole('button', { name: 'Clear the search' }).click();
  await page.getByText('3 devices connected').waitFor();
});

test('groups and owners filter', async () => {
  tab = await newPage(browser);
  const entry = (/** @type {any} */ fields) => ({ group_name: '', owner: '', name: '', adb_port: 0, cuttlebone_viewers: 0, ...fields });
  const list = [entry({ device_id: 'a', group_name: 'lab', owner: 'anna' }), entry({ device_id: 'b', group_name: 'hall', name: 'Door' })];
  // Groups and owners come from hosts that register beforehand, so here the server's answers are played.
  await tab.page.route('**/events', (route) => route.fulfill({ contentType: 'text/event-stream', body: `event: snapshot\ndata: ${JSON.stringify(list)}\n\n` }));
  await tab.page.goto(`${server.url}/`);
  await tab.page.getByLabel('Group').selectOption('lab');
  await tab.page.getByText('1 of 2 devices').waitFor();
  assert.equal(await row(tab.page, 'a').isVisible(), true);
  await tab.page.getByLabel('Group').selectOption('All groups');
  await tab.page.getByLabel('Owner').selectOption('anna');
  await tab.page.getByText('1 of 2 devices').waitFor();
});

test('a hundred to a page', async () => {
  await Promise.all(Array.from({ length: 120 }, (_, n) => register(`d-${n}`)));
  const page = await open();
  await page.getByText('1–100 of 120').waitFor();
  assert.equal(await page.locator('.device').count(), 100);
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('101–120 of 120').waitFor();
  assert.equal(await page.locator('.device').count(), 20);
  assert.equal(await page.getByRole('button', { name: 'Next' }).isDisabled(), true);
});

test('a row keeps the focus while the list moves around it', async () => {
  await register('m');
  const page = await open();
  await row(page, 'm').getByRole('link').focus();
  await register('a');
  await row(page, 'a').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'm');
});

test('a page that is opened in the background asks for nothing until it is seen', async () => {
  await register('cvd-1');
  tab = await newPage(browser);
  await tab.page.addInitScript(() => {
    Object.assign(globalThis, { behind: true });
    Object.defineProperty(document, 'hidden', { get: () => /** @type {any} */ (globalThis).behind });
  });
  let asked = 0;
  await tab.page.route('**/events', (route) => {
    asked += 1;
    return route.continue();
  });
  await tab.page.goto(`${server.url}/`);
  await tab.page.evaluate(() => fetch('favicon.svg').then((answer) => answer.text()));
  assert.equal(asked, 0);
  await tab.page.evaluate(() => {
    Object.assign(globalThis, { behind: false });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await row(tab.page, 'cvd-1').waitFor();
});

test('without the event stream the list is asked for', async () => {
  await register('polled');
  tab = await newPage(browser);
  await tab.page.route('**/events', (route) => route.fulfill({ status: 503 }));
  await tab.page.goto(`${server.url}/`);
  await row(tab.page, 'polled').waitFor();
  await tab.page.getByText('Updated every 5 s', { exact: true }).waitFor();
});

test('a server that goes away and comes back is followed', async () => {
  const own = await Server.start();
  tab = await newPage(browser);
  await tab.page.goto(`${own.url}/`);
  await tab.page.getByText('Live', { exact: true }).waitFor();
  await own.stop('SIGKILL');
  await tab.page.getByText('Server not reachable', { exact: true }).waitFor();
  const again = await Server.start({ port: own.port });
  try {
    await tab.page.getByText('Live', { exact: true }).waitFor();
    devices.push(await RawDevice.register(again, 'after'));
    await row(tab.page, 'after').waitFor();
  } finally {
    await again.stop();
  }
});
