/** Signing in to the pages of a server that wants to know who comes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { screenshot } from '../support/browser.js';
import { eachTest } from '../support/each_test.js';
import { waitForFrames, waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { Tokens } from '../support/tokens.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** Within this time whoever has lost access is asked to sign in. */
const SOON_MS = 5000;

/** @type {Server} */
let server;
/** @type {Tokens} */
let tokens;

const each = eachTest();

/**
 * A server that serves nobody without a token, and a demo device that has one.
 *
 * @template {string} Name
 * @param {Record<Name, string>} roles of those who have a token
 * @returns {Promise<Record<Name, string>>} their tokens
 */
async function startServer(roles, env = {}) {
  tokens = await Tokens.create();
  each.finally(() => tokens.remove());
  const tokenFile = await tokens.addDevice('cam');
  const made = /** @type {Record<Name, string>} */ ({});
  for (const name of /** @type {Name[]} */ (Object.keys(roles))) made[name] = await tokens.add(name, roles[name]);
  server = await Server.start({ env: { ...tokens.env, ...env } });
  each.finally(() => server.stop('SIGKILL'));
  const device = server.device('cvd-1', tokenFile);
  each.finally(() => device.stop('SIGKILL'));
  return made;
}

/** @param {string} url @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(url, options) {
  const tab = await each.newPage(options);
  await tab.page.goto(url);
  return tab.page;
}

/** @param {Page} page */
const form = (page) => page.locator('.sign-in');

/** @param {Page} page @param {string} token */
async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** @param {Page} page @param {string} text */
const status = (page, text) => page.locator('.pill', { hasText: new RegExp(`^${text}$`) }).waitFor();

/**
 * Marks the page, to see later that it was not loaded anew.
 *
 * @param {Page} page
 */
async function mark(page) {
  await page.evaluate(() => Object.assign(globalThis, { marked: true }));
  return () => page.evaluate(() => Object.hasOwn(globalThis, 'marked'));
}

/**
 * Gives alice another token in the place of hers, and measures until the page asks for it.
 *
 * @param {Page} page
 * @param {import('node:test').TestContext} context
 * @returns {Promise<string>} the new one
 */
async function replaceToken(page, context) {
  const token = await tokens.add('alice', 'client');
  await assertFormSoon(page, context);
  return token;
}

/** @param {Page} page @param {import('node:test').TestContext} context */
async function assertFormSoon(page, context) {
  const begun = Date.now();
  await form(page).waitFor();
  const ms = Date.now() - begun;
  context.diagnostic(`the form was there ${ms} ms after the token was taken back`);
  assert.ok(ms < SOON_MS, `${ms} ms`);
}

test('a wrong token is refused, a right one shows the list and the picture, and signing out ends it', async () => {
  const { alice: token } = await startServer({ alice: 'client' });
  const page = await open(`${server.url}/`);
  await form(page).getByText('This server wants to know who you are.').waitFor();
  await status(page, 'Signed out');
  assert.equal(await page.locator('#account').isVisible(), false);
  assert.equal(await page.locator('#empty').isVisible(), false);

  await signIn(page, 'cbt_wrong');
  await form(page).getByText('The server does not accept this token.').waitFor();
  assert.equal(await page.getByLabel('Token').inputValue(), '');
  await signIn(page, 'two words');
  await form(page).getByText('This is no token.').waitFor();

  await signIn(page, token);
  await page.locator('.device').getByText('cvd-1').waitFor();
  await status(page, 'Live');
  assert.equal(await page.locator('#who').textContent(), 'alice');
  assert.equal(await form(page).isVisible(), false);

  await page.getByRole('link', { name: 'cvd-1' }).click();
  await waitForPicture(page);
  await waitForFrames(page);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await form(page).waitFor();
  assert.deepEqual([await page.locator('video').count(), await page.locator('#account').isVisible()], [0, false]);
  await page.goto(`${server.url}/`);
  await form(page).waitFor();
  assert.equal(await page.locator('.device').count(), 0);
});

test('a viewer who signs in goes on with the same device on the same page', async () => {
  const { alice: token } = await startServer({ alice: 'client' });
  const page = await open(server.viewer('cvd-1'));
  await form(page).waitFor();
  await status(page, 'Signed out');
  assert.equal(await page.locator('#notice').isVisible(), false);
  const isSamePage = await mark(page);
  await signIn(page, token);
  await waitForPicture(page);
  assert.deepEqual([page.url(), await isSamePage()], [server.viewer('cvd-1'), true]);
  await page.reload();
  await waitForPicture(page);
});

test('an observer sees the list, and not the picture', async () => {
  const { eve: token } = await startServer({ eve: 'observer' });
  const page = await open(`${server.url}/`);
  await signIn(page, token);
  await page.locator('.device').getByText('cvd-1').waitFor();
  let sockets = 0;
  page.on('websocket', () => (sockets += 1));
  await page.getByRole('link', { name: 'cvd-1' }).click();
  await page.getByRole('heading', { name: 'You may not watch this device' }).waitFor();
  await status(page, 'Not allowed');
  assert.deepEqual([await page.locator('#retry').isVisible(), sockets], [false, 0]);
  await screenshot(page, 'viewer-not-allowed');
  await page.getByRole('link', { name: 'All devices' }).click();
  await page.locator('.device').getByText('cvd-1').waitFor();
});

test('a token of a device shows no devices', async () => {
  const { robot: token } = await startServer({ robot: 'device' });
  const tab = await each.newPage();
  const { page } = tab;
  await page.clock.install();
  await page.goto(`${server.url}/`);
  await signIn(page, token);
  await page.getByRole('heading', { name: 'You may not see the devices' }).waitFor();
  await status(page, 'Not allowed');
  let asked = 0;
  page.on('request', () => (asked += 1));
  await page.clock.fastForward(60_000);
  await page.evaluate(() => fetch('favicon.svg').then((answer) => answer.text()));
  assert.equal(asked, 1, 'nothing but the picture that is asked for here');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await form(page).waitFor();
});

test('a picture goes on beside the form when access is taken back, and is a new one after signing in', async (context) => {
  const { alice } = await startServer({ alice: 'client' }, { CUTTLEBONE__CLIENTS__GRACE_MS: '20000' });
  const page = await open(server.viewer('cvd-1'));
  await signIn(page, alice);
  await waitForPicture(page);
  const isSamePage = await mark(page);
  const next = await replaceToken(page, context);
  await status(page, 'Signed out');
  await form(page).getByText('The picture goes on').waitFor();
  await waitForFrames(page);
  await screenshot(page, 'viewer-signed-out');
  await signIn(page, next);
  await waitForPicture(page);
  await waitForFrames(page);
  assert.equal(await isSamePage(), true);
});

test('a picture that ends while its viewer is signed out leaves the form alone', async (context) => {
  const { alice } = await startServer({ alice: 'client' }, { CUTTLEBONE__CLIENTS__GRACE_MS: '1000' });
  const page = await open(server.viewer('cvd-1'));
  await signIn(page, alice);
  await waitForPicture(page);
  const next = await replaceToken(page, context);
  await until('the picture is gone', async () => (await page.locator('video').count()) === 0);
  await form(page).getByText(/^You were signed out: your access has expired or was taken back\.$/).waitFor();
  assert.equal(await page.locator('#notice').isVisible(), false);
  await signIn(page, next);
  await waitForPicture(page);
});

test('a viewer whose access was taken back while the server was away is asked to sign in', async () => {
  const { alice } = await startServer({ alice: 'client' });
  const page = await open(server.viewer('cvd-1'));
  await signIn(page, alice);
  await waitForPicture(page);
  const { port } = server;
  await server.stop('SIGKILL');
  await tokens.takeBack('alice');
  await status(page, 'Signaling away, resuming');
  server = await Server.start({ port, env: tokens.env });
  await form(page).waitFor();
  await status(page, 'Signed out');
});

test('the list is gone when access is taken back, and back after signing in', async (context) => {
  const { alice } = await startServer({ alice: 'client' });
  const page = await open(`${server.url}/`);
  await signIn(page, alice);
  await page.locator('.device').getByText('cvd-1').waitFor();
  const isSamePage = await mark(page);
  const next = await replaceToken(page, context);
  await form(page).getByText('You were signed out').waitFor();
  assert.deepEqual([await page.locator('.device').count(), await page.locator('#count').textContent()], [0, '']);
  await signIn(page, next);
  await page.locator('.device').getByText('cvd-1').waitFor();
  assert.equal(await isSamePage(), true);
});

test('what is shown for one is not left for another', async (context) => {
  const { alice } = await startServer({ alice: 'client' });
  const page = await open(`${server.url}/`);
  await signIn(page, alice);
  await page.locator('.device').getByText('cvd-1').waitFor();
  const isSamePage = await mark(page);
  const bob = await tokens.add('bob', 'observer');
  await tokens.takeBack('alice');
  await assertFormSoon(page, context);
  await signIn(page, bob);
  await page.locator('#who', { hasText: 'bob' }).waitFor();
  await page.locator('.device').getByText('cvd-1').waitFor();
  assert.equal(await isSamePage(), false);
});

test('all pages of a browser sign in and out together', async () => {
  const { alice: token } = await startServer({ alice: 'client' });
  const list = await open(`${server.url}/`);
  const viewer = await list.context().newPage();
  await viewer.goto(server.viewer('cvd-1'));
  await form(viewer).waitFor();
  await signIn(list, token);
  await viewer.bringToFront();
  await waitForPicture(viewer);
  await viewer.getByRole('button', { name: 'Sign out' }).click();
  await form(list).waitFor();
  await form(viewer).waitFor();
});

test('a sign-out that the server does not answer is not called one', async () => {
  const { alice } = await startServer({ alice: 'client' });
  const page = await open(`${server.url}/`);
  await signIn(page, alice);
  await page.locator('.device').getByText('cvd-1').waitFor();
  await page.route('**/session', (route) => route.abort());
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('Still signed in: no answer').waitFor();
});

test('a server that serves anybody asks nobody, and names nobody', async () => {
  server = await Server.start();
  each.finally(() => server.stop());
  for (const url of [`${server.url}/`, server.viewer('cvd-1')]) {
    const page = await open(url);
    await page.locator('.pill', { hasText: /^(Live|Waiting for device)$/ }).waitFor();
    assert.deepEqual([await form(page).isVisible(), await page.locator('#account').isVisible()], [false, false]);
  }
});

test('a keyboard alone is enough to sign in', async () => {
  const { alice: token } = await startServer({ alice: 'client' });
  for (const url of [`${server.url}/`, server.viewer('cvd-1')]) {
    const page = await open(url);
    await form(page).waitFor();
    await page.keyboard.insertText('cbt_wrong');
    await page.keyboard.press('Enter');
    await form(page).getByText('The server does not accept this token.').waitFor();
    await page.keyboard.insertText(token);
    await page.keyboard.press('Enter');
    await page.locator('#who', { hasText: 'alice' }).waitFor();
    assert.notEqual(await page.evaluate(() => document.activeElement?.id ?? ''), '', 'the focus is not lost with the form');
  }
});

/**
 * All that a page and its storage hold, as text.
 *
 * @param {Page} page
 */
function everything(page) {
  return page.evaluate(() => {
    const fields = [...document.querySelectorAll('input')].map(({ value }) => value);
    const loaded = performance.getEntries().map(({ name }) => name);
    const { localStorage, sessionStorage, location, history, document: { cookie, documentElement, title } } = globalThis;
    return JSON.stringify([documentElement.outerHTML, title, fields, loaded, localStorage, sessionStorage, location.href, history.state, cookie]);
  });
}

test('a token is in the cookie and in its one header, and nowhere else', async () => {
  const { alice: token } = await startServer({ alice: 'client' });
  const secret = token.slice(4);
  const tab = await each.newPage();
  const { page } = tab;
  /** @type {string[]} */
  const seen = [];
  /** @type {string[]} */
  const carriers = [];
  page.on('console', (message) => seen.push(message.text()));
  page.on('request', (request) => {
    seen.push(request.url(), String(request.postData()));
    if (request.headers()['authorization']?.includes(secret)) carriers.push(`${request.method()} ${new URL(request.url()).pathname}`);
  });
  page.on('response', (response) => seen.push(JSON.stringify(response.headers())));
  page.on('websocket', (socket) => {
    seen.push(socket.url());
    socket.on('framesent', ({ payload }) => seen.push(String(payload)));
    socket.on('framereceived', ({ payload }) => seen.push(String(payload)));
  });
  await page.goto(`${server.url}/`);
  await signIn(page, `${secret}wrong`);
  await form(page).getByText('The server does not accept this token.').waitFor();
  seen.push(await everything(page));
  await signIn(page, token);
  await page.locator('.device').getByText('cvd-1').waitFor();
  seen.push(await everything(page));
  await page.getByRole('link', { name: 'cvd-1' }).click();
  await waitForPicture(page);
  seen.push(await everything(page));
  const cookies = await tab.context.cookies();
  assert.deepEqual(cookies.map(({ name, value, httpOnly, sameSite, expires }) => [name, value, httpOnly, sameSite, expires]), [['cuttlebone', token, true, 'Strict', -1]]);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await form(page).waitFor();
  seen.push(await everything(page));
  assert.deepEqual(await tab.context.cookies(), []);
  assert.deepEqual(seen.filter((text) => text.includes(secret)), []);
  assert.deepEqual(carriers, Array(2).fill('POST /api/v1/session'));
});

const SIZES = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } };

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const [size, options] of Object.entries(SIZES)) {
    test(`the form and the name, ${colorScheme}, on a ${size}`, async () => {
      const name = 'someone-whose-name-is-longer-than-any-bar-of-a-phone';
      const { [name]: token } = await startServer({ [name]: 'client' });
      for (const [kind, url] of [['list', `${server.url}/`], ['viewer', server.viewer('cvd-1')]]) {
        const page = await open(String(url), { colorScheme, ...options });
        const sidewaysScroll = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        await form(page).waitFor();
        assert.equal(await sidewaysScroll(), 0);
        await screenshot(page, `sign-in-${kind}-${colorScheme}-${size}`);
        await signIn(page, token);
        await page.locator('#who', { hasText: name }).waitFor();
        if (kind === 'viewer') await waitForPicture(page);
        else await page.locator('.device').getByText('cvd-1').waitFor();
        assert.equal(await sidewaysScroll(), 0);
        await page.getByRole('button', { name: 'Sign out' }).click({ trial: true });
        await screenshot(page, `signed-in-${kind}-${colorScheme}-${size}`);
      }
    });
  }
}
