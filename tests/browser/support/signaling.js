/** Watching from outside what the signaling connections of a page do. */

/**
 * Notes the `device_info` of each connection that the page opens from now on: one for each that came to be of use.
 *
 * @param {import('playwright-core').Page} page
 * @returns {any[]}
 */
export function watchSessions(page) {
  /** @type {any[]} */
  const sessions = [];
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const message = JSON.parse(String(payload));
      if (message.message_type === 'device_info') sessions.push(message);
    }),
  );
  return sessions;
}

/**
 * To be called before the page is loaded: keeps its control channels at hand.
 *
 * @param {import('playwright-core').Page} page
 */
export function keepControlChannels(page) {
  return page.addInitScript(() => {
    /** @type {RTCDataChannel[]} */
    const controls = [];
    const Plain = RTCPeerConnection;
    class Watched extends Plain {
      /** @param {RTCConfiguration} config */
      constructor(config) {
        super(config);
        this.addEventListener('datachannel', ({ channel }) => controls.push(channel));
      }
    }
    Object.assign(globalThis, { RTCPeerConnection: Watched, controls });
  });
}

/**
 * Ends the picture at the page's side, as the viewer sees it, so that it has to ask for a new one by the signaling.
 *
 * @param {import('playwright-core').Page} page
 */
export function endPicture(page) {
  return page.evaluate(() => /** @type {any} */ (globalThis).controls.at(-1).close());
}
