/** The numbers of viewers that a server tells to those who watch its list of devices. */

import { once } from 'node:events';
import { get } from 'node:http';

/**
 * @param {import('./processes.js').Server} server
 * @param {string} deviceId
 */
export async function watchViewers(server, deviceId) {
  /** @type {number[]} */
  const viewers = [];
  const request = get(`${server.url}/api/v1/devices/events`);
  const [answer] = await once(request, 'response');
  answer.setEncoding('utf8');
  answer.on('error', () => {});
  let text = '';
  answer.on('data', (/** @type {string} */ part) => {
    const blocks = `${text}${part}`.split('\n\n');
    text = String(blocks.pop());
    for (const block of blocks) {
      const [, data] = /^event: *viewers\ndata: *(.*)/m.exec(block) ?? [];
      const event = data && JSON.parse(data);
      if (event?.device_id === deviceId) viewers.push(event.cuttlebone_viewers);
    }
  });
  return { viewers, stop: async () => void request.destroy() };
}
