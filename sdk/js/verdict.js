/** What an error or a close of the server says about another attempt. */

/** @typedef {import('./signaling.js').ServerError} ServerError */

/** Error codes after which another attempt would fare no better. */
const FINAL_CODES = new Set(['invalid_device_id', 'missing_device_id']);

/** Error codes about the token, after which another attempt fares better with another token only. */
const TOKEN_CODES = new Set(['forbidden', 'unauthenticated']);

/**
 * The close code of a credential that has expired or was revoked, or is good for something else now. It may be good still, or
 * again: the next attempt tells.
 */
export const EXPIRED_CLOSE = 4003;

/** Close codes after which another attempt would fare no better: binary, not UTF-8, policy. */
const FINAL_CLOSES = new Set([1003, 1007, 1008]);

/** Error codes that pass with time, whatever the close code says. */
const PASSING_CODES = new Set([
  'credential_expired',
  'device_disconnected',
  'device_leased',
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
 * @param {boolean} renewable whether the next token may be another one
 */
export function isFinal(error, closeCode, renewable) {
  if (error?.code && TOKEN_CODES.has(error.code)) return !renewable;
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
