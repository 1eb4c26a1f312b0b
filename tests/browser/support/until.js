/** Waiting for something to become true, with a limit and a reason. */

const EVERY_MS = 50;

/**
 * @template T
 * @param {string} what for the message when it does not come
 * @param {() => T | Promise<T>} probe
 * @param {number} [withinMs]
 * @returns {Promise<Exclude<T, false | null | undefined>>} the first answer that is true
 */
export async function until(what, probe, withinMs = 20_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value) return /** @type {any} */ (value);
    if (Date.now() > end) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
