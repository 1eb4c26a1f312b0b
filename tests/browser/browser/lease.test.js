/** Having a device alone: in the list of devices, and in the viewer of somebody else. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { screenshot } from '../support/browser.js';
import { eachTest } from '../support/each_test.js';
import { waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { Tokens } from '../support/tokens.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Server} */
let server;

const each = eachTest();

/**
 * A server with a demo device, and a page of the list for each who has a token.
 *
 * @template {string} Name
 * @param {Record<Name, string>} roles
 * @returns {Promise<Record<Name, Page>>}
 */
async function pagesOf(roles) {
  const tokens = await Tokens.create();
  each.finally(() => tokens.remove());
  const tokenFile = await tokens.addDevice('cam');
  const pages = /** @type {Record<Name, Page>} */ ({});
  const made = /** @type {Record<Name, string>} */ ({});
  for (const name of /** @type {Name[]} */ (Object.keys(roles))) made[name] = await tokens.add(name, roles[name]);
  server = await Server.start({ env: tokens.env });
  each.finally(() => server.stop('SIGKILL'));
  const device = server.device('cvd-1', tokenFile);
  each.finally(() => device.stop('SIGKILL'));
  for (const name of /** @type {Name[]} */ (Object.keys(roles))) {
    const tab = await each.newPage();
    await tab.page.goto(`${server.url}/`);
    await tab.page.getByLabel('Token').fill(made[name]);
    await tab.page.getByRole('button', { name: 'Sign in' }).click();
    await row(tab.page).waitFor();
    pages[name] = tab.page;
  }
  return pages;
}

/** @param {Page} page */
const row = (page) => page.locator('.device', { has: page.getByText('cvd-1', { exact: true }) });

/** @param {Page} page @param {string} name */
const button = (page, name) => row(page).getByRole('button', { name });

test('a device is reserved, seen to be in use by others, and given back', async () => {
  const { ann, bob, watcher } = await pagesOf({ ann: 'client', bob: 'client', watcher: 'observer' });
  assert.equal(await row(watcher).getByRole('button').count(), 0, 'who only watches has nothing to press');
  await button(ann, 'Reserve').click();
  await row(ann).getByText(/^Yours until \d\d:\d\d/).waitFor();
  await button(ann, 'Release').waitFor();
  for (const page of [bob, watcher]) await row(page).getByText(/^In use by ann until \d\d:\d\d/).waitFor();
  assert.equal(await row(bob).getByRole('button').count(), 0);
  await screenshot(ann, 'list-lease');

  await bob.goto(server.viewer('cvd-1'));
  await bob.getByRole('heading', { name: 'The device is in use' }).waitFor();
  await ann.goto(server.viewer('cvd-1'));
  await waitForPicture(ann);
  await ann.goto(`${server.url}/`);
  await button(ann, 'Release').click();
  await button(ann, 'Reserve').waitFor();
  // The other's viewer comes in by itself.
  await waitForPicture(bob);
});

test('an administrator takes over what others use', async () => {
  const { root, ann } = await pagesOf({ root: 'admin', ann: 'client' });
  await ann.goto(server.viewer('cvd-1'));
  await waitForPicture(ann);
  await row(root).getByText('1 viewer', { exact: true }).waitFor();
  await button(root, 'Reserve').click();
  await row(root).getByText('Others are connected').waitFor();
  await button(root, 'Take over').click();
  await row(root).getByText(/^Yours until/).waitFor();
  await ann.getByRole('heading', { name: 'The device is in use' }).waitFor();
});
