/** One Chromium for a file of tests, and pages in it that report what no test should see. */

import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const SCREENSHOTS = fileURLToPath(new URL('../../../target/browser/', import.meta.url));
const EXECUTABLE = process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium';
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @param {string[]} [more] */
export function launch(more = []) {
  return chromium.launch({ executablePath: EXECUTABLE, args: [...ARGS, ...more] });
}

/**
 * A page in a context of its own. `others` are beginnings of addresses that it may ask besides this machine's. `faults` holds exceptions, also those of listeners, refusals of the content security
 * policy, and requests to other hosts.
 *
 * @param {import('playwright-core').Browser} browser
 * @param {import('playwright-core').BrowserContextOptions} [options]
 * @param {string[]} [others]
 */
export async function newPage(browser, options, others = []) {
  const context = await browser.newContext(options);
  await context.addInitScript(watchThePage);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  /** @type {string[]} */
  const faults = [];
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (/content security policy|trusted/i.test(message.text())) faults.push(`policy: ${message.text()}`);
    if (/^A listener of/.test(message.text())) faults.push(`exception: ${message.text()}`);
  });
  page.on('request', (request) => {
    const isOwn = /^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url());
    if (!isOwn && !others.some((other) => request.url().startsWith(other))) faults.push(`foreign request: ${request.url()}`);
  });
  return { context, page, faults };
}

/**
 * Runs in each page before its own scripts: notes what it sends on data channels, what the policy refuses, and each
 * state that it shows, however short.
 */
function watchThePage() {
  const seen = { sent: /** @type {any[]} */ ([]), refused: /** @type {string[]} */ ([]), statuses: /** @type {string[]} */ ([]) };
  Object.assign(globalThis, { seen });
  document.addEventListener('DOMContentLoaded', () => {
    const status = document.querySelector('#status');
    if (!status) return;
    const note = () => seen.statuses.push(String(status.textContent));
    new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
  });
  document.addEventListener('securitypolicyviolation', (event) => seen.refused.push(event.violatedDirective));
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (/** @type {any} */ data) {
    if (typeof data === 'string') seen.sent.push({ label: this.label, ...JSON.parse(data) });
    send.call(this, data);
  };
}

/**
 * What the page sent on a data channel so far.
 *
 * @param {import('playwright-core').Page} page
 * @param {string} label
 * @returns {Promise<any[]>}
 */
export function sentOn(page, label) {
  return page.evaluate((label) => /** @type {any} */ (globalThis).seen.sent.filter((/** @type {any} */ message) => message.label === label), label);
}

/**
 * The states that a viewer page has shown since it was loaded or this was last asked for.
 *
 * @param {import('playwright-core').Page} page
 * @returns {Promise<string[]>}
 */
export function takeStatuses(page) {
  return page.evaluate(() => /** @type {any} */ (globalThis).seen.statuses.splice(0));
}

/**
 * @param {import('playwright-core').Page} page
 * @returns {Promise<string[]>}
 */
export function refusedByPolicy(page) {
  return page.evaluate(() => /** @type {any} */ (globalThis).seen.refused);
}

/**
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
export async function screenshot(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
}
