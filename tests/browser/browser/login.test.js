/** Signing in to the pages at a real provider of OpenID Connect. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { screenshot } from '../support/browser.js';
import { eachTest } from '../support/each_test.js';
import { waitForFrames, waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { OidcProvider, freePort } from '../support/provider.js';
import { Tokens } from '../support/tokens.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Server} */
let server;
/** @type {OidcProvider} */
let provider;
/** @type {Tokens} */
let tokens;

const each = eachTest((url) => url.startsWith(server.url));

/**
 * A provider; a server that sends browsers there; and a demo device that has a token, where the server speaks no TLS.
 *
 * @param {Record<string, string>} [env]
 */
async function start(env = {}, scheme = 'http') {
  const port = await freePort();
  const root = `${scheme}://127.0.0.1:${port}/`;
  provider = await OidcProvider.start(root, { alice: ['staff', 'users'], bob: ['staff'] });
  each.finally(() => provider.stop());
  tokens = await Tokens.create();
  each.finally(() => tokens.remove());
  const tokenFile = await tokens.addDevice('cam');
  server = await Server.start({ port, env: { ...tokens.env, ...provider.env(root), ...env } });
  each.finally(() => server.stop('SIGKILL'));
  if (scheme !== 'http') return;
  const device = server.device('cvd-1', tokenFile);
  each.finally(() => device.stop('SIGKILL'));
}

/** @param {string} url @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(url, options) {
  const tab = await each.newPage(options, [provider.issuer, server.url]);
  await tab.page.goto(url);
  return tab.page;
}

/** @param {Page} page */
const toProvider = (page) => page.getByRole('link', { name: 'Sign in with the Lab' });

/** @param {Page} page @param {string} name */
async function signIn(page, name) {
  await toProvider(page).click();
  await page.getByLabel('Name').fill(name);
  assert.equal(new URL(page.url()).origin, provider.issuer);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.locator('#who', { hasText: name }).waitFor();
}

/** @param {Page} page @param {string} text */
const said = (page, text) => page.locator('.sign-in .fault', { hasText: text }).waitFor();

/** @param {Page} page */
const kept = async (page) => (await page.context().cookies(server.url)).filter(({ name }) => /cuttlebone/.test(name));

test('somebody of the provider sees the list and a picture, and signs out here and there', async () => {
  await start();
  const page = await open(`${server.url}/`);
  await toProvider(page).waitFor();
  assert.equal(await page.getByLabel('Token').isVisible(), false);
  await screenshot(page, 'login-offered');
  await signIn(page, 'alice');
  assert.equal(page.url(), `${server.url}/`);
  await page.locator('.device').getByText('cvd-1').waitFor();
  const cookies = await kept(page);
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite, secure }) => ({ name, httpOnly, sameSite, secure })),
    [{ name: 'cuttlebone', httpOnly: true, sameSite: 'Strict', secure: false }],
  );
  assert.match(String(cookies[0]?.value), /^cbs_/);

  await page.getByRole('link', { name: 'cvd-1' }).click();
  await waitForPicture(page);
  await waitForFrames(page);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await toProvider(page).waitFor();
  assert.deepEqual(await kept(page), []);
  assert.equal((await page.request.get(`${server.url}/devices`)).status(), 401);

  await page.getByRole('link', { name: 'Sign out of the Lab as well' }).click();
  await page.getByRole('button', { name: /sign me out/i }).click();
  await toProvider(page).waitFor();
  assert.equal(page.url(), `${server.url}/`);
  assert.equal(await page.getByText('Sign out of the Lab as well').isVisible(), false);
  await toProvider(page).click();
  await page.getByLabel('Name').waitFor();
});

test('whose session is over signs in with one click, and goes on with the device', async () => {
  await start({ CUTTLEBONE__OIDC__SESSION_MS: '6000', CUTTLEBONE__TIMEOUTS__PING_MS: '500' });
  const viewer = server.viewer('cvd-1');
  const page = await open(viewer);
  await signIn(page, 'alice');
  assert.equal(page.url(), viewer);
  await waitForPicture(page);

  await page.locator('.sign-in', { hasText: 'You were signed out' }).waitFor();
  await toProvider(page).click();
  await page.locator('#who', { hasText: 'alice' }).waitFor();
  assert.equal(page.url(), viewer);
  await waitForPicture(page);
});

test('an account without a role is told so, with its name, and may sign out', async () => {
  await start();
  const page = await open(`${server.url}/`);
  await signIn(page, 'bob');
  await page.getByRole('heading', { name: 'You may not see the devices' }).waitFor();
  await screenshot(page, 'login-without-a-role');
  await page.goto(server.viewer('cvd-1'));
  await page.getByRole('heading', { name: 'You may not watch this device' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await toProvider(page).waitFor();
});

test('what goes wrong is said in words of ours, and a token signs in all the same', async () => {
  await start({ CUTTLEBONE__OIDC__METADATA_MS: '1000' });
  const token = await tokens.add('carol', 'client');
  const page = await open(server.viewer('cvd-1'));
  await toProvider(page).click();
  await page.getByRole('button', { name: 'Refuse' }).click();
  await said(page, 'the Lab did not let you');
  assert.equal(page.url(), server.viewer('cvd-1'));
  assert.equal(await page.evaluate(() => 'P' in globalThis), false);

  await provider.stop();
  await until('what the provider said of itself is believed no longer', async () => {
    await toProvider(page).click();
    await page.waitForLoadState();
    return page.url().startsWith(server.url) || void (await page.goto(server.viewer('cvd-1')));
  });
  await said(page, 'this server can’t reach the Lab');
  await page.reload();
  await toProvider(page).waitFor();
  assert.equal(await page.locator('.sign-in .provider .fault').isVisible(), false);

  await page.goto(`${server.url}/#login=constructor`);
  await toProvider(page).waitFor();
  assert.equal(await page.locator('.sign-in .provider .fault').isVisible(), false);
  assert.equal(page.url(), `${server.url}/`);

  await page.getByText('With a token').click();
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.device').getByText('cvd-1').waitFor();
});

test('nothing that signs somebody in is in the log, however much it tells', async () => {
  await start({ CUTTLEBONE__LOG__LEVEL: 'trace' });
  const page = await open(`${server.url}/`);
  /** @type {string[]} */
  const secrets = [];
  page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (!pathname.endsWith('/callback')) return;
    for (const name of ['code', 'state']) secrets.push(String(searchParams.get(name)));
  });
  page.on('response', async (response) => {
    const cookies = (await response.headersArray()).filter(({ name }) => name.toLowerCase() === 'set-cookie');
    for (const { value } of cookies) secrets.push(...(/^[^=]+=([^;]{20,})/.exec(value)?.slice(1) ?? []));
  });
  await signIn(page, 'alice');
  const told = await until('the log tells who signed in', () => server.log.includes('oidc:') && server.log);
  secrets.push(...(await kept(page)).map(({ value }) => value));
  assert.ok(secrets.length >= 5, `${secrets.length} secrets`);
  for (const secret of secrets) assert.equal(told.includes(secret), false, secret.slice(0, 6));
});

test('over TLS the cookies are of this host only', async () => {
  const state = await mkdtemp(join(tmpdir(), 'cuttlebone-login-'));
  each.finally(() => rm(state, { recursive: true }));
  await start({ CUTTLEBONE__TLS__MODE: 'self-signed', CUTTLEBONE__TLS__STATE_DIR: state }, 'https');
  const page = await open(`${server.url}/`, { ignoreHTTPSErrors: true });
  await signIn(page, 'alice');
  await page.locator('.pill', { hasText: /^Live$/ }).waitFor();
  const cookies = await kept(page);
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite, secure }) => ({ name, httpOnly, sameSite, secure })),
    [{ name: '__Host-Http-cuttlebone', httpOnly: true, sameSite: 'Strict', secure: true }],
  );
  // A script puts none in its place, and none beside it: this one could be that of a neighbour on another port.
  await page.evaluate(() => {
    for (const more of ['', '; Partitioned', '; Max-Age=0']) {
      document.cookie = `__Host-Http-cuttlebone=another; Secure; Path=/; SameSite=None${more}`;
    }
  });
  assert.deepEqual(await kept(page), cookies);
  const opened = page.waitForEvent('websocket');
  await page.goto(server.viewer('cvd-1'));
  assert.match((await opened).url(), /^wss:/);
  await page.locator('.pill', { hasText: 'Waiting' }).waitFor();
});
