/** The page that shows one device. */

import { SignalingClient, socketUrl } from './js/signaling.js';
import { ViewerSession } from './js/viewer_session.js';
import { Account, mayWatch } from './account.js';
import { byId, setText } from './dom.js';
import { explain } from './messages.js';
import { SignIn, reason } from './sign_in.js';
import { Screen } from './viewer_screen.js';
import { showDeviceInfo, showStatistics } from './viewer_stats.js';
import { describe } from './viewer_status.js';
import { Tools } from './viewer_tools.js';

const STATISTICS_MS = 1000;
const COUNTDOWN_MS = 250;
const TOAST_MS = 8000;

/** What the server says when it ends a session for the sake of who it is with. */
const EXPIRED = 'credential_expired';

const deviceId = new URLSearchParams(location.search).get('deviceId') ?? '';
/** Whose device it is, where an operator chose it. */
const tenant = new URLSearchParams(location.search).get('tenant');

const account = new Account();
const signIn = new SignIn(account, byId('stage'));

/** @type {Map<string, Screen>} */
const screens = new Map();

function showName() {
  document.title = deviceId ? `${deviceId} · Cuttlebone` : 'No device chosen · Cuttlebone';
  setText(byId('name'), deviceId);
  setText(byId('device-id'), deviceId || '–');
}

/** @param {SignalingClient} signaling */
function watch(signaling) {
  const session = new ViewerSession(signaling);
  const tools = new Tools(session, screens);
  watchAccess(session, signaling);
  session.on('state', () => showState(session));
  session.on('problem', (problem) => showProblem(session, problem));
  session.on('deviceInfo', ({ deviceInfo }) => {
    showDeviceInfo(deviceInfo);
    tools.onDeviceInfo(deviceInfo);
    shapeScreens(session, deviceInfo);
  });
  session.on('controlOpen', () => tools.onControlOpen());
  session.on('stream', ({ id, stream, kind }) => {
    if (kind === 'audio') tools.onSound(id, stream);
    else screenFor(session, id).show(stream);
  });
  session.on('picture', ({ streams }) => {
    dropScreens(streams);
    tools.dropSounds(streams);
  });
  const retry = () => access() === 'ok' && session.retryNow();
  byId('retry').addEventListener('click', retry);
  addEventListener('online', retry);
  addEventListener('pagehide', () => session.close());
  addEventListener('pageshow', ({ persisted }) => persisted && begin(session));
  setInterval(() => showCountdown(session.state.retryAt), COUNTDOWN_MS);
  setInterval(() => session.stats().then(showStatistics, () => showStatistics(null)), STATISTICS_MS);
  showState(session);
  begin(session);
}

/**
 * Asks first who the server takes this browser for. One that does not answer may still serve it.
 *
 * @param {ViewerSession} session
 */
async function begin(session) {
  await account.check();
  if (access() === 'ok') session.start();
}

/** @returns {import('./viewer_status.js').Access} */
function access() {
  if (account.standing.name === 'out') return 'out';
  return mayWatch(account.standing) ? 'ok' : 'forbidden';
}

/**
 * Follows what the server says on who this is. It is asked when it ended the session for that, and when an attempt came to
 * nothing before the server said a word: a browser does not tell why.
 *
 * @param {ViewerSession} session
 * @param {SignalingClient} signaling
 */
function watchAccess(session, signaling) {
  let heard = false;
  signaling.on('connecting', () => (heard = false));
  signaling.on('config', () => (heard = true));
  signaling.on('lost', () => heard || account.check());
  signaling.on('closed', ({ error }) => error?.code === EXPIRED && begin(session));
  account.on('change', () => {
    if (access() === 'ok') session.start();
    // A picture that goes on is left alone.
    else if (access() === 'out') signaling.close();
    else session.close();
    showState(session);
  });
}

/**
 * @param {ViewerSession} session
 * @param {string} id
 */
function screenFor(session, id) {
  const known = screens.get(id);
  if (known) return known;
  const screen = new Screen(id, session.input, () => showState(session));
  screens.set(id, screen);
  byId('screens').append(screen.element);
  countScreens();
  return screen;
}

/**
 * Takes away the screens whose streams ended with the peer that had them. A device may name its streams anew each time.
 *
 * @param {ReadonlySet<string>} streams that there are now
 */
function dropScreens(streams) {
  removeScreens((id, screen) => !streams.has(id) && screen.hasStream);
}

/** @param {(id: string, screen: Screen) => boolean} isGone */
function removeScreens(isGone) {
  for (const [id, screen] of screens) {
    if (!isGone(id, screen)) continue;
    screens.delete(id);
    screen.remove();
  }
  countScreens();
}

function countScreens() {
  for (const { element } of screens.values()) element.style.setProperty('--count', String(screens.size));
}

/**
 * Gives the screens their shape before the first picture. Those of displays that there are no more, and that have none, go.
 *
 * @param {ViewerSession} session
 * @param {any} deviceInfo
 */
function shapeScreens(session, deviceInfo) {
  const described = Array.isArray(deviceInfo?.displays) ? deviceInfo.displays.slice(0, 16) : [];
  const displays = described.filter((/** @type {any} */ display) => isDisplayName(display?.stream_id));
  const names = new Set(displays.map((/** @type {any} */ { stream_id: id }) => id));
  removeScreens((id, screen) => !names.has(id) && !screen.hasStream);
  for (const display of displays) {
    const { x_res: width, y_res: height } = display;
    const screen = screenFor(session, display.stream_id);
    if (typeof width === 'number' && typeof height === 'number') screen.shape(width, height);
  }
}

/** @param {unknown} name */
function isDisplayName(name) {
  return typeof name === 'string' && /^display_\d+$/.test(name);
}

/** @param {ViewerSession} session */
function showState(session) {
  const { state } = session;
  const isOut = access() === 'out';
  if (isOut && state.name !== 'connected') dropScreens(new Set());
  const hasPicture = [...screens.values()].some((screen) => screen.hasPicture);
  const words = describe(state, { deviceId, hasPicture, access: access() });
  const pill = byId('status');
  pill.dataset['tone'] = words.tone;
  setText(pill, words.label);
  setText(byId('announce'), words.notice ? `${words.label}. ${words.title}` : words.label);
  byId('stage').dataset['stale'] = String(state.name !== 'connected');
  showNotice(words);
  showCountdown(state.retryAt);
  showSignIn(isOut, hasPicture);
}

/**
 * @param {boolean} isOut
 * @param {boolean} hasPicture
 */
function showSignIn(isOut, hasPicture) {
  signIn.element.dataset['beside'] = String(hasPicture);
  if (!isOut) return signIn.hide();
  byId('toast').hidden = true;
  signIn.show(reason(account.standing, hasPicture));
}

/** @param {import('./viewer_status.js').Words} words */
function showNotice(words) {
  const notice = byId('notice');
  notice.hidden = !words.notice;
  if (words.notice) byId('toast').hidden = true;
  notice.dataset['tone'] = words.tone;
  setText(byId('notice-title'), words.title);
  setText(byId('notice-hint'), words.hint);
  byId('notice-said').hidden = !words.said;
  setText(byId('notice-said'), words.said ?? '');
  byId('retry').hidden = !words.action;
  setText(byId('retry'), words.action ?? '');
}

/** @param {number | null} retryAt */
function showCountdown(retryAt) {
  const seconds = retryAt === null ? null : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  setText(byId('countdown'), seconds === null ? '' : `Retrying in ${seconds} s`);
}

/** @type {any} */
let toastTimer;

/**
 * While there is a picture the notice is not in its way, so what goes wrong is said below.
 *
 * @param {ViewerSession} session
 * @param {import('./js/viewer_session.js').Problem} problem
 */
function showProblem(session, problem) {
  if (session.state.name !== 'connected' || problem.code === EXPIRED) return;
  const { title, hint, said } = explain(problem);
  const toast = byId('toast');
  setText(toast, `${title}. ${said ?? hint}`);
  setText(byId('announce'), title);
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.hidden = true), TOAST_MS);
}

function showNoDevice() {
  const { title, hint } = explain({ code: 'missing_device_id', text: null });
  showNotice({ tone: 'bad', label: title, title, hint, said: null, notice: true, action: null });
  byId('status').dataset['tone'] = 'bad';
  setText(byId('status'), title);
  setText(byId('announce'), title);
}

showName();
byId('sign-in').replaceWith(signIn.element);
if (deviceId) watch(new SignalingClient({ deviceId, url: socketUrl(tenant === null ? 'connect_client' : `connect_client?tenant=${encodeURIComponent(tenant)}`) }));
else showNoDevice();
