/**
 * Two moments at which a page should look after its connection instead of waiting: the browser is online again, and the
 * page is seen again.
 *
 * A browser lets no page ping. So a connection that died without a word is noticed only at such a moment, or when
 * something is sent on it, and then only as fast as the system gives up on TCP.
 */

/** The server drops who is silent for so long, and may have dropped a page that was hidden, and its system asleep. */
const LONG_HIDDEN_MS = 45_000;

/**
 * @param {object} calls
 * @param {() => void} calls.retry now is a good moment for a new attempt
 * @param {() => void} calls.renew and a connection that seems to stand may be dead
 * @param {{ page?: EventTarget, sight?: EventTarget & { hidden: boolean }, now?: () => number }} [world]
 * @returns {() => void} ends it
 */
export function watchPage({ retry, renew }, { page = globalThis, sight = globalThis.document, now = Date.now } = {}) {
  let hiddenAt = now();
  const onSight = () => {
    if (sight.hidden) hiddenAt = now();
    else if (now() - hiddenAt >= LONG_HIDDEN_MS) renew();
    else retry();
  };
  // Neither is there outside of a page.
  page.addEventListener?.('online', renew);
  sight?.addEventListener('visibilitychange', onSight);
  return () => {
    page.removeEventListener?.('online', renew);
    sight?.removeEventListener('visibilitychange', onSight);
  };
}
