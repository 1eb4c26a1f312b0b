/** The panel of live numbers. */

import { byId, setText } from './dom.js';
import { bitrate, candidate, milliseconds } from './format.js';

/** @typedef {import('./js/stats.js').Summary} Summary */

/** @param {Summary | null} summary null while nothing is connected */
export function showStatistics(summary) {
  const rows = summary ? describe(summary) : [];
  const values = new Map(rows);
  for (const element of document.querySelectorAll('[id^="stat-"]')) {
    setText(element, values.get(element.id.slice('stat-'.length)) ?? '–');
  }
}

/**
 * @param {Summary} summary
 * @returns {[string, string][]}
 */
function describe({ pictures, pair, ...summary }) {
  const number = (/** @type {number} */ value) => value.toLocaleString('en');
  return [
    ['connection', pair ? (pair.relayed ? 'relayed' : 'direct') : '–'],
    ['resolution', pictures.map(({ width, height }) => `${width} × ${height}`).join(', ') || '–'],
    ['fps', pictures.map(({ fps }) => String(Math.round(fps))).join(', ') || '–'],
    ['bitrate', bitrate(summary.bitsPerSecond)],
    ['round-trip', milliseconds(summary.roundTripMs)],
    ['decoded', number(summary.framesDecoded)],
    ['dropped', number(summary.framesDropped)],
    ['lost', number(summary.packetsLost)],
    ['codec', summary.codec ?? '–'],
    ['local', pair ? candidate(pair.local) : '–'],
    ['remote', pair ? candidate(pair.remote) : '–'],
  ];
}

/**
 * Shows what a device says about itself, as text, in full up to a bound.
 *
 * @param {any} deviceInfo
 */
export function showDeviceInfo(deviceInfo) {
  const MAX_CHARS = 20_000;
  const text = JSON.stringify(deviceInfo, null, 2) ?? 'null';
  setText(byId('device-info'), text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}\n… and ${text.length - MAX_CHARS} more characters` : text);
  byId('info').hidden = false;
}
