import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, refusedByPolicy, screenshot, takeStatuses } from '../support/browser.js';
import { BARS, decodedFrames, difference, framesEachSecond, pictureSize, pixels, waitForFrames, waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { endPicture, keepControlChannels } from '../support/signaling.js';
import { until } from '../support/until.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {Awaited<ReturnType<typeof newPage>>[]} */
let tabs = [];
/** @type {import('../support/processes.js').Program[]} */
let devices = [];

before(async () => {
  browser = await launch();
  server = await Server.start({ env: { CUTTLEBONE__DEVICES__GRACE_MS: '4000' } });
});
after(async () => {
  await browser.close();
  await server.stop();
});
afterEach(async () => {
  const faults = [];
  for (const tab of tabs) {
    faults.push(...tab.faults, ...(await refusedByPolicy(tab.page)));
    await tab.context.close();
  }
  for (const device of devices) await device.stop('SIGKILL');
  tabs = [];
  devices = [];
  assert.deepEqual(faults, []);
});

/** @param {string} id */
async function view(id, on = server) {
  const tab = await newPage(browser);
  tabs.push(tab);
  await tab.page.goto(on.viewer(id));
  return tab.page;
}

/** @param {string} id */
function startDevice(id, on = server) {
  const device = on.device(id);
  devices.push(device);
  return device;
}

/** @param {import('playwright-core').Page} page @param {string | RegExp} text */
const status = (page, text) => page.locator('#status', { hasText: text }).waitFor();

test('shows a picture that goes on and changes', async () => {
  startDevice('cvd-1');
  const page = await view('cvd-1');
  await waitForPicture(page);
  assert.deepEqual(await pictureSize(page), { width: 360, height: 640 });
  const first = await pixels(page, BARS);
  const decoded = await decodedFrames(page);
  const frames = await framesEachSecond(page, 5);
  assert.ok(frames.every((count) => count > 0), `frames in each second: ${frames}`);
  assert.ok((await decodedFrames(page)) > decoded);
  await until('the bars move', async () => difference(first, await pixels(page, BARS)) > 0.05);
  await status(page, 'Connected directly');
});

test('the statistics say how it is going', async () => {
  startDevice('cvd-1');
  const page = await view('cvd-1');
  await waitForPicture(page);
  const number = (/** @type {string} */ id, /** @type {RegExp} */ shape) =>
    until(`${id} is ${shape}`, async () => shape.test(String(await page.locator(`#stat-${id}`).textContent())));
  await number('connection', /^direct$/);
  await number('resolution', /^360 × 640$/);
  await number('fps', /^[1-9]\d*$/);
  await number('bitrate', /^[1-9][\d.]* [kM]bit\/s$/);
  await number('round-trip', /^\d[\d.]* ms$/);
  await number('decoded', /^[1-9]/);
  await number('codec', /^VP8$/);
  await number('remote', /^127\.0\.0\.1:\d+ udp, own address$/);
  await page.getByText('What it says about itself').click();
  assert.match(String(await page.locator('#device-info').textContent()), /"stream_id": "display_0"/);
});

test('a client that comes first waits for the device', async () => {
  const page = await view('late');
  await status(page, 'Waiting for device');
  assert.match(String(await page.locator('#notice-hint').textContent()), /“late”/);
  await screenshot(page, 'viewer-waiting');
  startDevice('late');
  await waitForPicture(page);
  await waitForFrames(page);
});

test('a client that waited in vain goes on waiting', async () => {
  const impatient = await Server.start({ env: { CUTTLEBONE__CLIENTS__WAIT_MS: '300' } });
  try {
    const page = await view('later', impatient);
    await page.getByRole('heading', { name: 'The device is not here yet' }).waitFor();
    startDevice('later', impatient);
    await waitForPicture(page);
  } finally {
    await impatient.stop();
  }
});

test('a device that is killed and started again at once is back in the picture', async () => {
  const device = startDevice('cvd-1');
  const page = await view('cvd-1');
  await waitForPicture(page);
  await takeStatuses(page);
  await device.stop('SIGKILL');
  startDevice('cvd-1');
  await until('a new negotiation', async () => (await takeStatuses(page)).includes('Negotiating'));
  await waitForPicture(page);
  await waitForFrames(page);
});

test('a device that is gone for longer is waited for, and back in the picture', async () => {
  const device = startDevice('cvd-1');
  const page = await view('cvd-1');
  await waitForPicture(page);
  await device.stop('SIGKILL');
  await status(page, 'Waiting for device');
  await screenshot(page, 'viewer-device-gone');
  startDevice('cvd-1');
  await waitForPicture(page);
  await waitForFrames(page);
});

test('a device that names its streams anew for each picture has one screen', async () => {
  startDevice('cvd-1');
  const tab = await newPage(browser);
  tabs.push(tab);
  const { page } = tab;
  await keepControlChannels(page);
  await page.addInitScript(() => {
    /** @type {WeakMap<MediaStream, string>} */
    const names = new WeakMap();
    let count = 0;
    const name = (/** @type {MediaStream} */ stream) => {
      if (!names.has(stream)) names.set(stream, `picture ${(count += 1)}`);
      return names.get(stream);
    };
    Object.defineProperty(MediaStream.prototype, 'id', { get() { return name(this); } });
  });
  await page.goto(server.viewer('cvd-1'));
  const screens = (/** @type {number} */ n) => page.locator(`.screen[aria-label*="picture ${n}"] video.showing`);
  for (const n of [1, 2, 3]) {
    await screens(n).waitFor();
    assert.equal(await page.locator('video').count(), 1);
    await endPicture(page);
  }
});

test('two viewers at once', async () => {
  startDevice('cvd-1');
  const pages = [await view('cvd-1'), await view('cvd-1')];
  for (const page of pages) await waitForPicture(page);
  for (const page of pages) await waitForFrames(page);
  await pages[0]?.close();
  tabs.shift();
  await waitForFrames(/** @type {any} */ (pages[1]));
});

test('the picture outlives the signaling server, and is renewed when it is back', async () => {
  const own = await Server.start();
  const device = startDevice('cvd-1', own);
  const page = await view('cvd-1', own);
  await waitForPicture(page);
  await own.stop('SIGKILL');
  await status(page, 'Signaling away, resuming');
  await waitForFrames(page);
  const again = await Server.start({ port: own.port });
  try {
    await until('a picture for another client', () => new Set(device.pictures).size === 2);
    await waitForPicture(page);
    await waitForFrames(page);
  } finally {
    await again.stop();
  }
});

test('leaving the page tells the device', async () => {
  startDevice('cvd-1');
  const page = await view('cvd-1');
  await waitForPicture(page);
  await page.goto(`${server.url}/`);
  await page.getByText('no viewers').waitFor();
});

test('a page without a device says so', async () => {
  const tab = await newPage(browser);
  tabs.push(tab);
  await tab.page.goto(`${server.url}/viewer.html`);
  await tab.page.getByRole('heading', { name: 'No device chosen' }).waitFor();
  await tab.page.getByRole('link', { name: 'All devices' }).click();
  await tab.page.getByRole('heading', { name: 'Devices' }).waitFor();
});

for (const { code, text, close, title, button } of [
  { code: 'forbidden', text: 'No', close: 1008, title: 'You may not watch this device', button: 'Try again' },
  { code: 'invalid_device_id', text: 'Invalid device id', close: 1008, title: 'This can not be a device id', button: 'Try again' },
  { code: 'too_many_clients', text: 'Too many', close: 1013, title: 'Too many viewers', button: 'Try now' },
  { code: 'from_the_future', text: 'Something <b>new</b>', close: 1011, title: 'The server reports a fault', button: 'Try now' },
  { code: '', text: '', close: 1012, title: 'The server is restarting', button: 'Try now' },
]) {
  test(`says what ${code || close} means, and tries again when told to`, async () => {
    const tab = await newPage(browser);
    tabs.push(tab);
    let tries = 0;
    await tab.page.routeWebSocket('**/connect_client', (socket) => {
      tries += 1;
      socket.onMessage(() => {
        if (text) socket.send(JSON.stringify({ error: text, cuttlebone_code: code }));
        socket.close({ code: close });
      });
    });
    await tab.page.goto(server.viewer('cvd-1'));
    await tab.page.getByRole('heading', { name: title }).waitFor();
    await until('the first try is over', () => tries > 0);
    if (code === 'from_the_future') assert.equal(await tab.page.locator('#notice-said').textContent(), text);
    if (button === 'Try now') assert.match(String(await tab.page.locator('#countdown').textContent()), /^Retrying in \d+ s$/);
    const before = tries;
    await tab.page.getByRole('button', { name: button }).click();
    await until('another try', () => tries > before);
  });
}
