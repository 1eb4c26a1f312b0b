/** The page with the list of devices. */

import { DeviceList } from './js/device_list.js';
import { socketUrl } from './js/signaling.js';
import { Account } from './account.js';
import { byId, copy, make, setText } from './dom.js';
import { plural } from './format.js';
import { changeLease } from './lease.js';
import { choices, select } from './list_model.js';
import { Rows } from './list_rows.js';
import { SignIn, reason } from './sign_in.js';

/** How long changes are gathered before the list is drawn again: at least so long, and so many times what it took. */
const GATHER_MS = 100;
const GATHER_FACTOR = 4;
const AGE_MS = 10_000;

/** What is shown while the list has not been seen. */
const NONE = new Map();

const query = /** @type {HTMLInputElement} */ (byId('query'));
const group = /** @type {HTMLSelectElement} */ (byId('group'));
const owner = /** @type {HTMLSelectElement} */ (byId('owner'));
const rows = new Rows(byId('devices'), reserve);
const list = new DeviceList({ fetchJson });
const account = new Account();
const signIn = new SignIn(account, byId('title'));
let page = 0;
let loaded = false;
/** The server knows who this is, and does not show the devices. */
let forbidden = false;
/** @type {any} */
let drawing;
let gatherMs = GATHER_MS;

function draw() {
  clearTimeout(drawing);
  drawing = undefined;
  const start = performance.now();
  drawAll();
  gatherMs = Math.max(GATHER_MS, GATHER_FACTOR * (performance.now() - start));
}

function drawAll() {
  const devices = loaded ? list.devices : NONE;
  offer(group, byId('group-field'), 'All groups', choices(devices, 'group_name'));
  offer(owner, byId('owner-field'), 'All owners', choices(devices, 'owner'));
  const view = select(devices, { query: query.value, group: group.value, owner: owner.value, page });
  page = view.page;
  rows.show(view.shown, Date.now(), account.standing);
  byId('filters').hidden = devices.size === 0;
  byId('empty').hidden = !loaded || devices.size > 0;
  byId('nothing').hidden = devices.size === 0 || view.matching > 0;
  setText(byId('count'), loaded ? counted(devices.size, view.matching) : '');
  drawPages(view);
}

/** @param {number} all @param {number} matching */
function counted(all, matching) {
  if (all === 0) return '';
  return matching === all ? `${plural(all, 'device')} connected` : `${matching.toLocaleString('en')} of ${plural(all, 'device')}`;
}

/** @param {ReturnType<typeof select>} view */
function drawPages({ pages, start, shown, matching, page }) {
  byId('pages').hidden = pages === 1;
  const number = (/** @type {number} */ value) => value.toLocaleString('en');
  setText(byId('range'), `${number(start + 1)}–${number(start + shown.length)} of ${number(matching)}`);
  /** @type {HTMLButtonElement} */ (byId('previous')).disabled = page === 0;
  /** @type {HTMLButtonElement} */ (byId('next')).disabled = page === pages - 1;
}

/**
 * Fills a choice; one that would offer nothing is not shown.
 *
 * @param {HTMLSelectElement} element
 * @param {HTMLElement} field
 * @param {string} all
 * @param {string[]} values
 */
function offer(element, field, all, values) {
  const chosen = element.value;
  const offered = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  const key = JSON.stringify(offered);
  field.hidden = offered.length === 0;
  if (element.dataset['offered'] === key) return;
  element.dataset['offered'] = key;
  const options = offered.map((value) => {
    const option = make('option', '', value);
    option.value = value;
    return option;
  });
  const everything = make('option', '', all);
  everything.value = '';
  element.replaceChildren(everything, ...options);
  element.value = chosen;
}

/** @type {import('./list_rows.js').ChangeLease} */
async function reserve(device, step) {
  const outcome = await changeLease(device, step);
  setText(byId('announce'), outcome.text);
  if (!outcome.ok) await account.check();
  // The list itself says what has become of it.
  setTimeout(draw);
  return outcome;
}

function drawSoon() {
  drawing ??= setTimeout(draw, gatherMs);
}

/** @param {number} to */
function turnTo(to) {
  page = to;
  draw();
  byId('devices').focus();
  scrollTo({ top: 0 });
}

function showLink() {
  const link = byId('link');
  const told = loaded || list.state === 'offline' ? list.state : 'connecting';
  const state = isOut() ? 'out' : forbidden ? 'forbidden' : told;
  const [tone, text] = {
    connecting: ['busy', 'Connecting'],
    live: ['good', 'Live'],
    polling: ['warn', 'Updated every 5 s'],
    offline: ['bad', 'Server not reachable'],
    out: ['warn', 'Signed out'],
    forbidden: ['bad', 'Not allowed'],
  }[state] ?? ['busy', ''];
  link.dataset['tone'] = tone;
  setText(link, text ?? '');
  setText(byId('announce'), `List of devices: ${text}`);
}

function showCommands() {
  const base = new URL('.', document.baseURI).href.replace(/\/$/, '');
  const register = socketUrl('register_device');
  const message = '{"message_type":"register","device_id":"my-device","device_info":{}}';
  setText(byId('command-demo'), `cuttlebone device --server ${base} --id my-device`);
  setText(byId('command-websocat'), `echo '${message}' | websocat --no-close ${register}`);
  setText(byId('command-url'), register);
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('[data-copy]'))) {
    const source = byId(button.dataset['copy'] ?? '');
    button.addEventListener('click', async () => {
      const copied = await copy(source.textContent ?? '', source);
      setText(button, copied ? 'Copied' : 'Selected');
      setText(byId('announce'), copied ? 'Copied' : 'Selected, ready to be copied');
    });
  }
}

function listen() {
  list.on('change', () => {
    drawSoon();
    if (loaded) return;
    loaded = true;
    showLink();
  });
  list.on('state', (state) => {
    showLink();
    // A stream ends also when its reader may not see the list any more.
    if (state === 'offline') account.check();
  });
  account.on('change', follow);
  for (const filter of [query, group, owner]) {
    filter.addEventListener('input', () => {
      page = 0;
      draw();
    });
  }
  byId('clear').addEventListener('click', () => {
    query.value = group.value = owner.value = '';
    draw();
    query.focus();
  });
  byId('previous').addEventListener('click', () => turnTo(page - 1));
  byId('next').addEventListener('click', () => turnTo(page + 1));
  setInterval(drawSoon, AGE_MS);
}

/** Does what the server's word on who this is asks for. */
function follow() {
  clear(false);
  if (isOut()) {
    signIn.show(reason(account.standing, false));
  } else {
    signIn.hide();
    rest();
  }
}

function isOut() {
  return account.standing.name === 'out';
}

/**
 * Shows nothing of the list until it begins anew.
 *
 * @param {boolean} isForbidden
 */
function clear(isForbidden) {
  forbidden = isForbidden;
  byId('forbidden').hidden = !forbidden;
  loaded = false;
  list.stop();
  draw();
  showLink();
}

/** @param {string} url */
async function fetchJson(url) {
  const answer = await fetch(url, { cache: 'no-store' });
  if (answer.status === 401) await account.check();
  if (answer.status === 403) clear(true);
  if (!answer.ok) throw new Error(`The server answered ${answer.status}`);
  return answer.json();
}

/** A page that nobody looks at gives its event stream back: browsers open only six connections to a server. */
async function rest() {
  if (document.hidden) list.stop();
  else if (account.standing.name === 'unknown') await account.check();
  if (!document.hidden && !isOut() && !forbidden) list.start();
}

byId('sign-in').replaceWith(signIn.element);
showCommands();
listen();
document.addEventListener('visibilitychange', rest);
rest();
