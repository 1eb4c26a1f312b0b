import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, newPage, refusedByPolicy, screenshot, sentOn } from '../support/browser.js';
import { waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { RawDevice } from '../support/raw_device.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {{ stop(signal?: any): Promise<void> }} */
let demo;
/** @type {RawDevice[]} */
let others = [];
/** @type {Awaited<ReturnType<typeof newPage>>} */
let tab;

before(async () => {
  browser = await launch();
  server = await Server.start();
  demo = server.device('cvd-1');
  for (const id of ['cvd-2', 'lobby-kiosk', 'a-device-with-a-name-that-is-much-longer-than-any-column-could-be-on-a-phone']) {
    others.push(await RawDevice.register(server, id));
  }
});
after(async () => {
  await browser.close();
  for (const device of others) await device.close();
  await demo.stop('SIGKILL');
  await server.stop();
});
afterEach(async () => {
  assert.deepEqual([tab.faults, await refusedByPolicy(tab.page)], [[], []]);
  await tab.context.close();
});

/** @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(path = '/', options = undefined) {
  tab = await newPage(browser, options);
  await tab.page.goto(server.url + path);
  return tab.page;
}

/**
 * How bright the ground of the page is, 0 to 255.
 *
 * @param {Page} page
 */
function brightness(page) {
  return page.evaluate(() => {
    const context = /** @type {any} */ (new OffscreenCanvas(1, 1).getContext('2d'));
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, 1, 1);
    return Math.max(...context.getImageData(0, 0, 1, 1).data.slice(0, 3));
  });
}

/** @param {Page} page */
function sidewaysScroll(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

const SIZES = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } };

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const [size, options] of Object.entries(SIZES)) {
    test(`the list, ${colorScheme}, on a ${size}`, async () => {
      const page = await open('/', { colorScheme, ...options });
      await page.getByText('4 devices connected').first().waitFor();
      assert.equal((await brightness(page)) > 128, colorScheme === 'light');
      assert.equal(await sidewaysScroll(page), 0);
      await screenshot(page, `list-${colorScheme}-${size}`);
    });

    test(`the viewer, ${colorScheme}, on a ${size}`, async () => {
      const page = await open('/viewer.html?deviceId=cvd-1', { colorScheme, ...options });
      await waitForPicture(page);
      await until('the bitrate is known', async () => /^[1-9].*bit/.test(String(await page.locator('#stat-bitrate').textContent())));
      assert.equal((await brightness(page)) > 128, colorScheme === 'light');
      assert.equal(await sidewaysScroll(page), 0);
      const box = await page.locator('video.showing').boundingBox();
      const { width, height } = options.viewport;
      assert.ok(box && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height, JSON.stringify(box));
      assert.ok(box.height > height / 2, `the picture is ${box.height} high`);
      await screenshot(page, `viewer-${colorScheme}-${size}`);
    });
  }
}

test('the theme is switched by hand, and stays', async () => {
  const page = await open('/', { colorScheme: 'light' });
  await page.getByRole('button', { name: 'Switch to the dark theme' }).click();
  assert.ok((await brightness(page)) < 128);
  await page.goto(server.viewer('cvd-1'));
  assert.ok((await brightness(page)) < 128);
  await page.getByRole('button', { name: 'Switch to the light theme' }).click();
  assert.ok((await brightness(page)) > 128);
  await page.reload();
  assert.ok((await brightness(page)) > 128);
});

/**
 * Presses Tab until what has the focus reads so, and checks on the way that the focus can be seen.
 *
 * @param {Page} page
 * @param {RegExp} name
 */
async function tabTo(page, name) {
  /** @type {string[]} */
  const passed = [];
  while (passed.length < 40) {
    await page.keyboard.press('Tab');
    const { label, visible } = await page.evaluate(() => {
      const element = /** @type {HTMLElement} */ (document.activeElement);
      const shown = element.closest('.device') ?? element;
      return { label: element.getAttribute('aria-label') ?? element.textContent?.trim() ?? '', visible: getComputedStyle(shown).outlineStyle !== 'none' };
    });
    assert.ok(visible, `the focus can not be seen on "${label}"`);
    if (name.test(label)) return;
    passed.push(label);
  }
  assert.fail(`not reached: ${name}; passed ${passed.join(', ')}`);
}

test('a keyboard alone is enough', async () => {
  const page = await open();
  await page.locator('.device').first().waitFor();
  await tabTo(page, /^Skip to the devices$/);
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'cvd-1', 'the second device');
  await page.keyboard.press('Enter');
  await waitForPicture(page);
  await tabTo(page, /^Skip to the screen$/);
  await page.keyboard.press('Enter');
  await tabTo(page, /^Screen display_0/);
  await page.keyboard.press('KeyA');
  await until('the key', async () => (await sentOn(page, 'input-channel')).length === 2);
  await screenshot(page, 'viewer-focus');
  await tabTo(page, /^Statistics$/);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#panel').isVisible(), false);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#panel').isVisible(), true);
  await tabTo(page, /^What it says about itself$/);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#device-info').isVisible(), true);
});

test('what changes is announced, and numbers that tick are not', async () => {
  const page = await open('/viewer.html?deviceId=cvd-1');
  await waitForPicture(page);
  await page.locator('[role=status]', { hasText: /^Connected directly$/ }).waitFor({ state: 'attached' });
  const live = await page.locator('[role=status], [aria-live]').evaluateAll((elements) => elements.map(({ id }) => id));
  assert.deepEqual(live, ['announce']);
});

test('every button and field has a name, and every page one heading of the first order', async () => {
  for (const path of ['/', '/viewer.html?deviceId=cvd-1']) {
    const page = await open(path);
    await page.locator('h1').first().waitFor();
    const { nameless, headings, language } = await page.evaluate(() => ({
      // A button of a lease gets its name when there is something for it to do, and is hidden until then.
      nameless: [...document.querySelectorAll('button:not([hidden]), a, input, select')]
        .filter((element) => !element.textContent?.trim() && !element.getAttribute('aria-label') && !element.closest('label'))
        .map(({ id, outerHTML }) => id || outerHTML),
      headings: document.querySelectorAll('h1').length,
      language: document.documentElement.lang,
    }));
    assert.deepEqual([nameless.filter((id) => id !== 'retry'), headings, language], [[], 1, 'en'], path);
    if (path === '/') await tab.context.close();
  }
});
