/** What the viewer says about the state of its session. Pure: state in, words out. */

import { explain } from './messages.js';

/** @typedef {import('./js/viewer_session.js').State} State */

/**
 * @typedef {object} Words
 * @property {'good' | 'warn' | 'bad' | 'busy'} tone
 * @property {string} label two or three words, always to be seen
 * @property {string} title of the notice
 * @property {string} hint
 * @property {string | null} said by the other side, word for word
 * @property {boolean} notice whether the notice is shown over the picture
 * @property {'Try now' | 'Try again' | null} action
 */

/**
 * What the server says on who watches. out: it wants to know who it is, and the page asks in place of the notice;
 * forbidden: it knows, and does not let them.
 *
 * @typedef {'ok' | 'out' | 'forbidden'} Access
 */

/** Problems that only a device that was there can have had. */
const WAS_HERE = new Set(['device_disconnected', 'device_left', 'path_lost']);

/**
 * What is said beside a picture that goes on, by the state of the signaling.
 *
 * @type {Partial<Record<State['signaling'], [Words['tone'], string]>>}
 */
const BESIDE_PICTURE = {
  away: ['busy', 'Signaling away, resuming'],
  waiting: ['warn', 'Signaling lost, retrying'],
  lost: ['warn', 'Signaling lost, retrying'],
  closed: ['warn', 'Signaling ended'],
};

/**
 * @param {State} state
 * @param {{ deviceId: string, hasPicture: boolean, access: Access }} page
 * @returns {Words}
 */
export function describe(state, page) {
  switch (page.access) {
    case 'out':
      return { ...words('warn', 'Signed out', '', ''), notice: false };
    case 'forbidden':
      return { ...words('bad', 'Not allowed', '', ''), ...explain({ code: 'forbidden', text: null }) };
    default:
      return describeSession(state, page);
  }
}

/**
 * @param {State} state
 * @param {{ deviceId: string, hasPicture: boolean }} page
 * @returns {Words}
 */
function describeSession(state, page) {
  switch (state.name) {
    case 'connected':
      return state.interrupted ? interrupted() : connected(state, page.hasPicture);
    case 'waiting':
      return waiting(page.deviceId, state.problem);
    case 'negotiating':
      return withProblem(state, words('busy', 'Negotiating', 'Looking for a path', 'The device is here. This browser and the device are agreeing on how the picture travels.'));
    case 'lost':
      return lost(state, page.deviceId);
    case 'retrying':
      return { ...problemWords(state, 'warn', 'No picture'), action: 'Try now' };
    case 'failed':
      return { ...problemWords(state, 'bad', 'Stopped'), action: 'Try again' };
    case 'closed':
      return { ...words('bad', 'Closed', 'The session was ended', ''), action: 'Try again' };
    default:
      return words('busy', 'Connecting', 'Connecting', 'Reaching the signaling server.');
  }
}

/**
 * @param {State} state
 * @param {boolean} hasPicture
 * @returns {Words}
 */
function connected(state, hasPicture) {
  const how = state.relayed === null ? 'Connected' : state.relayed ? 'Connected, relayed' : 'Connected directly';
  const [tone, label] = BESIDE_PICTURE[state.signaling] ?? ['good', how];
  const first = words(
    tone,
    label,
    'Waiting for the first picture',
    'The connection stands, but the device has not sent a picture yet. Its screen may be off.',
  );
  return { ...first, notice: !hasPicture };
}

function interrupted() {
  return { ...words('warn', 'Picture interrupted', '', ''), notice: false };
}

/**
 * @param {string} deviceId
 * @param {State['problem']} problem
 */
function waiting(deviceId, problem) {
  const hint =
    problem && WAS_HERE.has(problem.code)
      ? `“${deviceId}” has left or fell silent. The picture returns by itself when it does.`
      : `No device “${deviceId}” is connected right now. The picture starts by itself when it comes.`;
  return words('busy', 'Waiting for device', 'Waiting for the device', hint);
}

/**
 * @param {State} state
 * @param {string} deviceId
 * @returns {Words}
 */
function lost(state, deviceId) {
  const code = state.problem?.code;
  if (code === 'device_not_found') return { ...waiting(deviceId, null), title: 'The device is not here yet', action: 'Try now' };
  return { ...problemWords(state, 'warn', code === 'device_disconnected' ? 'Device left' : 'Connection lost'), action: 'Try now' };
}

/**
 * @param {State} state
 * @param {'warn' | 'bad'} tone
 * @param {string} label
 */
function problemWords(state, tone, label) {
  return withProblem(state, words(tone, label, label, ''));
}

/**
 * @param {State} state
 * @param {Words} plain
 * @returns {Words}
 */
function withProblem({ problem }, plain) {
  return problem ? { ...plain, ...explain(problem) } : plain;
}

/**
 * @param {Words['tone']} tone
 * @param {string} label
 * @param {string} title
 * @param {string} hint
 * @returns {Words}
 */
function words(tone, label, title, hint) {
  return { tone, label, title, hint, said: null, notice: true, action: null };
}
