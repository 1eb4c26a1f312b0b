/** A client in a session that can be resumed, as tests of that begin. */

import { startClient } from './fakes.js';

export const CONFIG = { message_type: 'config', ice_servers: [] };

/** @param {string} token @param {object} [counts] */
export const deviceInfo = (token, counts) => ({ message_type: 'device_info', device_info: {}, cuttlebone_resume: token, ...counts });

/** @param {any} payload */
export const deviceMsg = (payload) => ({ message_type: 'device_msg', payload });

/** @param {Partial<import('../signaling.js').SignalingOptions>} [options] */
export function start(options) {
  const all = startClient(['connecting', 'deviceInfo', 'resumed', 'message', 'lost', 'closed'], options);
  const names = () => all.events.map(([name]) => name);
  const last = (/** @type {string} */ name) => all.events.findLast((event) => event[0] === name)?.[1];
  return { ...all, names, last };
}

/** @param {import('./fakes.js').FakeSocket} socket @param {string} token @param {object} [counts] */
export function greet(socket, token, counts) {
  socket.open();
  socket.says(CONFIG);
  socket.says(deviceInfo(token, counts));
}

/** @param {Partial<import('../signaling.js').SignalingOptions>} [options] a session whose connection has stood for a while */
export function steady(options) {
  const all = start(options);
  greet(all.socket(), 'one');
  all.clock.fireLast();
  return all;
}

/** @param {ReturnType<typeof start>} all @param {string} token @param {object} [counts] */
export function comesBack({ clock, socket }, token, counts) {
  clock.fireLast();
  greet(socket(), token, counts);
}

/** @param {import('./fakes.js').FakeSocket} socket what was sent after the connect */
export const forwards = (socket) => socket.sent.slice(1).map(({ payload }) => payload);
