/** Numbers and times in words. */

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

/**
 * How long ago, in the largest unit that is not nothing.
 *
 * @param {number} sinceMs
 * @param {number} nowMs
 */
export function age(sinceMs, nowMs) {
  const seconds = Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  if (seconds < 10) return 'just now';
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return plural(Math.floor(seconds / 86_400), 'day');
}

/**
 * A time of day, and the day where that is another one.
 *
 * @param {number} atMs
 * @param {number} nowMs
 */
export function clock(atMs, nowMs) {
  const at = new Date(atMs);
  const time = at.toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const isToday = at.toDateString() === new Date(nowMs).toDateString();
  return isToday ? time : `${time}, ${at.toLocaleDateString('en', { day: 'numeric', month: 'short' })}`;
}

/** @param {number | null} bitsPerSecond */
export function bitrate(bitsPerSecond) {
  if (bitsPerSecond === null) return '–';
  if (bitsPerSecond < 1000) return `${Math.round(bitsPerSecond)} bit/s`;
  if (bitsPerSecond < 1_000_000) return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
  return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
}

/** @param {number | null} ms */
export function milliseconds(ms) {
  if (ms === null) return '–';
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** @param {{ address: string, port: number, type: string, protocol: string }} candidate */
export function candidate({ address, port, type, protocol }) {
  const host = address.includes(':') ? `[${address}]` : address || 'hidden';
  const kinds = new Map([['host', 'own address'], ['srflx', 'seen by STUN'], ['prflx', 'seen by the peer'], ['relay', 'TURN relay']]);
  return `${host}:${port} ${protocol}, ${kinds.get(type) ?? type}`;
}
