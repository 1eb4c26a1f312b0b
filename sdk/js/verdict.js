/** What an error or a close of the server says about another attempt. */

/** @typedef {import('./signaling.js').ServerError} ServerError */

/** Error codes after which another attempt would fare no better. */
const FINAL_CODES = new Set(['forbidden', 'unauthorized', 'invalid_device_id', 'missing_device_id']);

/** Close codes after which another attempt would fare no better: binary, not UTF-8, policy, credential expired. */
const FINAL_CLOSES = new Set([1003, 1007, 1008, 4003]);

/** Error codes that pass with time, whatever the close code says. */
const PASSING_CODES = new Set([
  'device_disconnected',
  'device_not_found',
  'device_too_slow',
  'internal_error',
  'no_first_message',
  'overloaded',
  'rate_limited',
  'too_many_clients',
  'too_many_waiting',
  'too_slow',
  'unfinished_message',
]);

/** How long to stay away at least, by close code: overloaded, rate limited. */
const FLOOR_MS = new Map([[1013, 3000], [4029, 5000]]);

/**
 * Whether another attempt would fare no better.
 *
 * @param {ServerError | null} error
 * @param {number | null} closeCode
 */
export function isFinal(error, closeCode) {
  if (error?.code && FINAL_CODES.has(error.code)) return true;
  if (error?.code && PASSING_CODES.has(error.code)) return false;
  return FINAL_CLOSES.has(closeCode ?? 0);
}

/**
 * The least delay that the server asks for.
 *
 * @param {number | null} closeCode
 */
export function floorOf(closeCode) {
  return FLOOR_MS.get(closeCode ?? 0) ?? 0;
}
