/** What the tests of a file share: one Chromium, and for each test the pages that it opens and what it starts. */

import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';

import { launch, newPage, refusedByPolicy } from './browser.js';

/**
 * After each test its pages are closed and must have had no fault, and what it started is stopped. `isOurs` tells by its address whether
 * a page has our content security policy; `more` is what the browser is told besides.
 *
 * @param {(url: string) => boolean} [isOurs]
 * @param {string[]} [more]
 */
export function eachTest(isOurs = () => true, more = []) {
  /** @type {import('playwright-core').Browser} */
  let browser;
  /** @type {Awaited<ReturnType<typeof newPage>>[]} */
  let tabs = [];
  /** @type {(() => Promise<unknown>)[]} */
  let stops = [];
  before(async () => {
    browser = await launch(more);
  });
  after(() => browser.close());
  afterEach(async () => {
    const seen = [];
    for (const { context, page, faults } of tabs) {
      seen.push(...faults, ...(isOurs(page.url()) ? await refusedByPolicy(page) : []));
      await context.close();
    }
    for (const stop of stops.reverse()) await stop();
    [tabs, stops] = [[], []];
    assert.deepEqual(seen, []);
  });
  return {
    /** @param {import('playwright-core').BrowserContextOptions} [options] @param {string[]} [others] */
    async newPage(options, others) {
      const tab = await newPage(browser, options, others);
      tabs.push(tab);
      return tab;
    },
    /** What is done last is undone first. @param {() => Promise<unknown>} stop */
    finally(stop) {
      stops.push(stop);
    },
  };
}
