/**
 * What stands in front of a server: a reverse proxy that puts a path prefix before it, and on a Cuttlefish host the
 * part that forwards `devices/ID/files/` from the devices, all but the connector, which is the server's.
 */

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

const DEVICE_FILE = /^\/devices\/[^/]+\/files\/(.*)$/;

/**
 * @param {import('./processes.js').Server} server
 * @param {string} [prefix] with a slash at both ends
 */
export async function startFront(server, prefix = '/') {
  const target = { host: '127.0.0.1', port: server.port };
  const inner = (/** @type {string | undefined} */ url) => {
    const path = url?.startsWith(prefix) ? url.slice(prefix.length - 1) : null;
    const file = path && DEVICE_FILE.exec(path)?.[1];
    return file === 'js/server_connector.js' ? '/js/server_connector.js' : path;
  };

  const proxy = createServer((incoming, outgoing) => {
    const path = inner(incoming.url);
    if (!path) return void outgoing.writeHead(404).end();
    if (DEVICE_FILE.test(path)) return void answerAsDevice(path, outgoing);
    const onward = request({ ...target, path, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });

  proxy.on('upgrade', (incoming, socket) => {
    const path = inner(incoming.url);
    if (!path) return void socket.destroy();
    const onward = connect(target, () => {
      const headers = incoming.rawHeaders.flatMap((name, n, all) => (n % 2 ? [] : [`${name}: ${all[n + 1]}`]));
      onward.write([`GET ${path} HTTP/1.1`, ...headers, '', ''].join('\r\n'));
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on('error', () => (onward.destroy(), socket.destroy()));
  });

  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (proxy.address());
  return {
    url: `http://127.0.0.1:${port}${prefix}`,
    stop: async () => {
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}

/**
 * A device has one page, and nothing that belongs to the server.
 *
 * @param {string} path
 * @param {import('node:http').ServerResponse} outgoing
 */
function answerAsDevice(path, outgoing) {
  if (DEVICE_FILE.exec(path)?.[1] !== 'client.html') return outgoing.writeHead(404).end();
  return outgoing.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A page of the device</title>');
}
