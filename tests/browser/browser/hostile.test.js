import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, refusedByPolicy, screenshot } from '../support/browser.js';
import { Server } from '../support/processes.js';
import { RawDevice } from '../support/raw_device.js';
import { until } from '../support/until.js';

const IDS = [
  '<img src=x onerror=window.P=1>',
  '"><svg onload=window.P=1>',
  "'><script>window.P=1</script>",
  'javascript:window.P=1',
  '</title><b>bold</b>',
  '🦑 tinten\u202efisch 日本語',
  '__proto__',
  'constructor',
  'toString',
  'a/b?x#y&deviceId=z',
  '../../etc/passwd',
  '%3Cb%3E',
];

/** What throws where it is made a text or a number. */
const NO_TEXT = { toString: 1, valueOf: 1 };

const INFO = {
  display: '</script><script>window.P=1</script>',
  '<img src=x onerror=window.P=1>': '"\'><svg onload=window.P=1>🦑',
  displays: [{ stream_id: '<b>', x_res: '1;}', y_res: -1 }, null, 7, { stream_id: NO_TEXT }, { stream_id: 'display_1', x_res: NO_TEXT, y_res: NO_TEXT }],
  custom_control_panel_buttons: [{ command: 'x', title: '<img src=x onerror=window.P=1>' }, null, 'y', { command: 'x', title: NO_TEXT }, { command: NO_TEXT }],
  hardware: null,
};

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {Awaited<ReturnType<typeof newPage>>} */
let tab;
/** @type {Map<string, RawDevice>} */
const devices = new Map();

before(async () => {
  browser = await launch();
  server = await Server.start();
  for (const id of IDS) devices.set(id, await RawDevice.register(server, id, INFO));
});
after(async () => {
  await browser.close();
  for (const device of devices.values()) await device.close();
  await server.stop();
});
afterEach(async () => {
  assert.equal(await tab.page.evaluate(() => /** @type {any} */ (window).P), undefined);
  assert.deepEqual([tab.faults, await refusedByPolicy(tab.page)], [[], []]);
  await tab.context.close();
});

test('every id is listed as text', async () => {
  tab = await newPage(browser);
  await tab.page.goto(`${server.url}/`);
  await tab.page.getByText(`${IDS.length} devices connected`, { exact: true }).first().waitFor();
  const names = await tab.page.locator('.device .name').allTextContents();
  assert.deepEqual(names.sort(), [...IDS].sort());
  assert.equal(await tab.page.locator('.devices img, .devices svg, .devices script, .devices b').count(), 0);
  await screenshot(tab.page, 'list-hostile');
});

for (const id of IDS) {
  test(`a viewer of ${JSON.stringify(id)} reaches it, and shows all it says as text`, async () => {
    tab = await newPage(browser);
    const { page } = tab;
    await page.goto(`${server.url}/`);
    const device = /** @type {RawDevice} */ (devices.get(id));
    await page.locator('.device', { has: page.getByText(id, { exact: true }) }).getByRole('link').click();
    await until('the request for an offer', () => device.payloads.some(({ type }) => type === 'request-offer'));
    assert.equal(new URL(page.url()).origin, server.url);
    assert.equal(await page.locator('#name').textContent(), id);
    assert.equal(await page.locator('#device-id').textContent(), id);
    assert.equal(await page.title(), `${id} · Cuttlebone`);
    await page.getByText('What it says about itself').click();
    assert.deepEqual(JSON.parse(String(await page.locator('#device-info').textContent())), INFO);
    await page.locator('#status', { hasText: 'Negotiating' }).waitFor();
    if (id === IDS[0]) await screenshot(page, 'viewer-hostile');
  });
}

test('what a device answers is only ever data', async () => {
  tab = await newPage(browser);
  const id = String(IDS[0]);
  const device = /** @type {RawDevice} */ (devices.get(id));
  const before = device.payloads.length;
  await tab.page.goto(server.viewer(id));
  await until('a request', () => device.payloads.length > before);
  for (const payload of [null, 7, [], { type: 'offer' }, { type: 'offer', sdp: NO_TEXT }, { type: NO_TEXT }, { type: '__proto__' }, { type: 'ice-candidate', candidate: { candidate: 'x' } }]) device.answer(payload);
  device.answer({ type: 'error', error: '<img src=x onerror=window.P=1>' });
  await tab.page.locator('#status', { hasText: 'No picture' }).waitFor();
  await until('another request', () => device.payloads.length > before + 1);
  device.answer({ type: 'error', error: '<img src=x onerror=window.P=1>' });
  await tab.page.locator('#notice-said', { hasText: '<img src=x onerror=window.P=1>' }).waitFor();
});

test('a device that describes other displays each time it comes has the screens of the last', async () => {
  tab = await newPage(browser);
  const shown = () => tab.page.locator('#screens > *').count();
  for (const round of [1, 2, 3]) {
    const displays = [0, 1].map((at) => ({ stream_id: `display_${round * 10 + at}`, x_res: 8, y_res: 8 }));
    const device = await RawDevice.register(server, 'restless', { displays });
    if (round === 1) await tab.page.goto(server.viewer('restless'));
    await until('its request', () => device.payloads.length > 0);
    await until('two screens', async () => (await shown()) === 2);
    await device.close();
  }
});
