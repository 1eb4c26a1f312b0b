/** The page that shows one device. */

import { SignalingClient } from './js/signaling.js';
import { ViewerSession } from './js/viewer_session.js';
import { byId, setText } from './dom.js';
import { explain } from './messages.js';
import { Screen } from './viewer_screen.js';
import { showDeviceInfo, showStatistics } from './viewer_stats.js';
import { describe } from './viewer_status.js';
import { Tools } from './viewer_tools.js';

const STATISTICS_MS = 1000;
const COUNTDOWN_MS = 250;
const TOAST_MS = 8000;

const deviceId = new URLSearchParams(location.search).get('deviceId') ?? '';

/** @type {Map<string, Screen>} */
const screens = new Map();

function showName() {
  document.title = deviceId ? `${deviceId} · Cuttlebone` : 'No device chosen · Cuttlebone';
  setText(byId('name'), deviceId);
  setText(byId('device-id'), deviceId || '–');
}

/** @param {ViewerSession} session */
function watch(session) {
  const tools = new Tools(session, screens);
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
  byId('retry').addEventListener('click', () => session.retryNow());
  addEventListener('online', () => session.retryNow());
  addEventListener('pagehide', () => session.close());
  addEventListener('pageshow', ({ persisted }) => persisted && session.start());
  setInterval(() => showCountdown(session.state.retryAt), COUNTDOWN_MS);
  setInterval(() => session.stats().then(showStatistics, () => showStatistics(null)), STATISTICS_MS);
  showState(session);
  session.start();
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
  for (const [id, screen] of screens) {
    if (streams.has(id) || !screen.hasStream) continue;
    screens.delete(id);
    screen.remove();
  }
  countScreens();
}

function countScreens() {
  for (const { element } of screens.values()) element.style.setProperty('--count', String(screens.size));
}

/**
 * Gives the screens their shape before the first picture.
 *
 * @param {ViewerSession} session
 * @param {any} deviceInfo
 */
function shapeScreens(session, deviceInfo) {
  const displays = Array.isArray(deviceInfo?.displays) ? deviceInfo.displays.slice(0, 16) : [];
  for (const display of displays) {
    if (!isDisplayName(display?.stream_id)) continue;
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
  const hasPicture = [...screens.values()].some((screen) => screen.hasPicture);
  const words = describe(state, { deviceId, hasPicture });
  const pill = byId('status');
  pill.dataset['tone'] = words.tone;
  setText(pill, words.label);
  setText(byId('announce'), words.notice ? `${words.label}. ${words.title}` : words.label);
  byId('stage').dataset['stale'] = String(state.name !== 'connected');
  showNotice(words);
  showCountdown(state.retryAt);
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
  if (session.state.name !== 'connected') return;
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
if (deviceId) watch(new ViewerSession(new SignalingClient({ deviceId })));
else showNoDevice();
