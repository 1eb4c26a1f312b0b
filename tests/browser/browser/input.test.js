import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, screenshot, sentOn } from '../support/browser.js';
import { COLOURS, onPage, waitForMark, waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { until } from '../support/until.js';

/** @typedef {import('../support/picture.js').Colour} Colour */

const [MAGENTA, YELLOW] = /** @type {[Colour, Colour]} */ (/** @type {unknown} */ (COLOURS));

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {import('../support/processes.js').Program} */
let device;
/** @type {import('playwright-core').BrowserContext[]} */
let contexts = [];

before(async () => {
  browser = await launch();
  server = await Server.start();
});
after(async () => {
  await browser.close();
  await server.stop();
});
afterEach(async () => {
  for (const context of contexts) await context.close();
  contexts = [];
  await device.stop('SIGKILL');
});

/** @param {import('playwright-core').BrowserContextOptions} [options] */
async function view(options) {
  const { page, context } = await newPage(browser, options);
  contexts.push(context);
  await page.goto(server.viewer('cvd-1'));
  await waitForPicture(page);
  return page;
}

/** @param {import('playwright-core').Page} page */
const inputs = (page) => sentOn(page, 'input-channel');

test('a click comes back in the picture', async () => {
  device = server.device('cvd-1');
  const page = await view();
  const at = { x: 120, y: 300 };
  const { x, y } = await onPage(page, at);
  await page.mouse.move(x, y);
  await page.mouse.down();
  await waitForMark(page, at, MAGENTA);
  await page.mouse.up();
  await waitForMark(page, at, MAGENTA);
  const [down, up] = await inputs(page);
  assert.deepEqual(down, { label: 'input-channel', type: 'multi-touch', id: down.id, x: [120], y: [300], down: 1, device_label: 'display_0' });
  assert.deepEqual(up, { ...down, down: 0 });
  await screenshot(page, 'viewer-touched');
});

test('a drag follows, also out of the picture, and is let go', async () => {
  device = server.device('cvd-1');
  const page = await view();
  const [from, to] = [{ x: 60, y: 260 }, { x: 300, y: 380 }];
  const start = await onPage(page, from);
  const end = await onPage(page, to);
  await page.mouse.move(start.x, start.y);
  await page.mouse.down();
  await page.mouse.move(end.x, end.y, { steps: 5 });
  await waitForMark(page, to, MAGENTA);
  await page.mouse.move(end.x + 2000, end.y);
  await page.mouse.up();
  const last = (await inputs(page)).at(-1);
  assert.deepEqual([last.x, last.y, last.down], [[359], [380], 0]);
});

test('a finger on a phone comes back in the picture', async () => {
  device = server.device('cvd-1');
  const page = await view({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const at = { x: 180, y: 320 };
  const { x, y } = await onPage(page, at);
  await page.touchscreen.tap(x, y);
  await waitForMark(page, at, MAGENTA);
  assert.deepEqual((await inputs(page)).map(({ down }) => down), [1, 0]);
});

test('two viewers each have a mark of their own, seen by both', async () => {
  device = server.device('cvd-1');
  const pages = [await view(), await view()];
  const marks = [{ x: 90, y: 300 }, { x: 270, y: 300 }];
  for (const [n, page] of pages.entries()) {
    await page.bringToFront();
    const { x, y } = await onPage(page, /** @type {any} */ (marks[n]));
    await page.mouse.click(x, y);
  }
  for (const page of pages) {
    await page.bringToFront();
    await waitForMark(page, /** @type {any} */ (marks[0]), MAGENTA);
    await waitForMark(page, /** @type {any} */ (marks[1]), YELLOW);
  }
});

test('keys go to the device while its screen has the focus, and none stays down', async () => {
  device = server.device('cvd-1');
  const page = await view();
  await page.keyboard.press('KeyX');
  await page.locator('.screen').focus();
  await page.keyboard.press('KeyA');
  await page.keyboard.press('Space');
  await page.keyboard.down('ShiftLeft');
  await page.getByRole('button', { name: 'Statistics' }).focus();
  const keys = await until('six keys', async () => {
    const sent = await inputs(page);
    return sent.length >= 6 && sent;
  });
  assert.deepEqual(
    keys.map(({ type, keycode, event_type }) => [type, keycode, event_type]),
    ['KeyA', 'Space', 'ShiftLeft'].flatMap((code) => [['keyboard', code, 'keydown'], ['keyboard', code, 'keyup']]),
  );
});

test('the wheel goes to the device while its screen has the focus', async () => {
  device = server.device('cvd-1');
  const page = await view();
  const { x, y } = await onPage(page, { x: 180, y: 300 });
  await page.mouse.move(x, y);
  await page.mouse.wheel(0, 30);
  await page.mouse.click(x, y);
  await page.mouse.wheel(0, 120);
  const wheel = await until('the wheel', async () => (await inputs(page)).filter(({ type }) => type === 'wheel').at(0));
  assert.equal(wheel.pixels, 120);
});

test('a captured mouse sends movements and buttons, and no touches', async () => {
  device = server.device('cvd-1');
  const page = await view();
  await page.getByRole('button', { name: 'Capture mouse' }).click();
  await page.waitForFunction(() => document.pointerLockElement?.className === 'screen');
  const { x, y } = await onPage(page, { x: 180, y: 300 });
  await page.mouse.move(x, y);
  await page.mouse.move(x + 10, y + 20, { steps: 2 });
  await page.mouse.down();
  await page.mouse.up();
  const sent = await until('a button', async () => {
    const messages = await inputs(page);
    return messages.filter(({ type }) => type === 'mouseButton').length === 2 && messages;
  });
  assert.ok(sent.some(({ type }) => type === 'mouseMove'));
  assert.ok(sent.every(({ type }) => type !== 'multi-touch'));
});

test('no button of a captured mouse stays down when the mouse or the focus is gone', async () => {
  device = server.device('cvd-1');
  const page = await view();
  const buttons = async () => (await inputs(page)).filter(({ type }) => type === 'mouseButton').map(({ button, down }) => [button, down]);
  const losses = [() => document.exitPointerLock(), () => /** @type {HTMLElement} */ (document.activeElement).blur()];
  for (const [n, lose] of losses.entries()) {
    await page.getByRole('button', { name: 'Capture mouse' }).click();
    await page.waitForFunction(() => document.pointerLockElement?.className === 'screen');
    await page.mouse.down();
    await until('it is down', async () => (await buttons()).length === 2 * n + 1);
    await page.evaluate(lose);
    await until('it is up', async () => (await buttons()).length === 2 * n + 2);
    await page.mouse.up();
    await page.evaluate(() => document.exitPointerLock());
    await page.waitForFunction(() => document.pointerLockElement === null);
  }
  assert.deepEqual(await buttons(), [[0, 1], [0, 0], [0, 1], [0, 0]]);
});

test('the buttons of the device are pressed and let go, by mouse and by key', async () => {
  device = server.device('cvd-1');
  const page = await view();
  await page.getByRole('button', { name: 'Home' }).click();
  await page.getByRole('button', { name: 'Volume up' }).focus();
  await page.keyboard.press('Enter');
  const sent = await sentOn(page, 'device-control');
  assert.deepEqual(
    sent.map(({ command, button_state }) => `${command} ${button_state}`),
    ['home down', 'home up', 'volumeup down', 'volumeup up'],
  );
});

test('the screen fills the display', async () => {
  device = server.device('cvd-1');
  const page = await view();
  await page.getByRole('button', { name: 'Full screen' }).click();
  await page.waitForFunction(() => document.fullscreenElement?.id === 'stage');
  const { x, y } = await onPage(page, { x: 100, y: 280 });
  await page.mouse.click(x, y);
  await waitForMark(page, { x: 100, y: 280 }, MAGENTA);
});
