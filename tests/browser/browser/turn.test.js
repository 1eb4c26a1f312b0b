import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { screenshot } from '../support/browser.js';
import { Coturn, HAS_IPV6, SECRET } from '../support/coturn.js';
import { eachTest } from '../support/each_test.js';
import { waitForFrames, waitForPicture } from '../support/picture.js';
import { Server } from '../support/processes.js';
import { ALLOWED, TurnClient, credentialOf } from '../support/turn_client.js';
import { until } from '../support/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Coturn} */
let relay;

// No authority vouches for the relay.
const each = eachTest(() => true, ['--ignore-certificate-errors']);

before(async () => {
  relay = await Coturn.open();
});
after(() => relay.stop());

/** @param {string} secret */
async function start(secret, url = relay.url) {
  const servers = `[{urls = ["stun:127.0.0.1:${relay.port}", "${url}"], secrets = ["${secret}"]}]`;
  const server = await Server.start({ env: { CUTTLEBONE__ICE__SERVERS: servers, CUTTLEBONE__ICE__PRIVACY: 'relay-only' } });
  each.finally(() => server.stop('SIGKILL'));
  return server;
}

/** @param {Server} server */
async function view(server) {
  const device = server.device('cvd-1');
  each.finally(() => device.stop('SIGKILL'));
  const tab = await each.newPage();
  await tab.page.addInitScript(() => {
    /** @type {RTCPeerConnection[]} */
    const peers = [];
    const Plain = RTCPeerConnection;
    class Watched extends Plain {
      /** @param {RTCConfiguration} config */
      constructor(config) {
        super(config);
        peers.push(this);
      }
    }
    Object.assign(globalThis, { RTCPeerConnection: Watched, peers });
  });
  const heard = hear(tab.page);
  await tab.page.goto(server.viewer('cvd-1'));
  return { page: tab.page, ...heard };
}

/**
 * What the page says and is told by its signaling.
 *
 * @param {Page} page
 */
function hear(page) {
  /** @type {any[]} */
  const configs = [];
  /** @type {string[]} */
  const sent = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => sent.push(String(payload)));
    socket.on('framereceived', ({ payload }) => {
      const message = JSON.parse(String(payload));
      if (message.message_type === 'config') configs.push({ ...message, cameAt: Date.now() / 1000 });
    });
  });
  return { configs, sent };
}

/**
 * Both ends of the path that the newest peer of a page uses.
 *
 * @param {Page} page
 * @returns {Promise<{ local: any, remote: any }>}
 */
function path(page) {
  return page.evaluate(async () => {
    const pc = /** @type {any} */ (globalThis).peers.at(-1);
    const stats = [...(await pc.getStats()).values()];
    const of = (/** @type {string} */ id) => stats.find((entry) => entry.id === id);
    const pair = of(stats.find(({ type }) => type === 'transport').selectedCandidatePairId);
    return { local: of(pair.localCandidateId), remote: of(pair.remoteCandidateId) };
  });
}

/** The login of the last relay of a config. */
const login = (/** @type {any} */ config) => config.ice_servers.at(-1);

/** @param {{ username: string, credential: string }} login */
async function allocate(login, port = relay.port) {
  const client = new TurnClient(port, login);
  try {
    return await client.allocate();
  } finally {
    client.close();
  }
}

test('with relay-only, the picture comes through the relay and nothing says where the browser is', async () => {
  const server = await start(SECRET);
  const { page, configs, sent } = await view(server);
  await waitForPicture(page);
  await waitForFrames(page);
  await page.locator('#status', { hasText: 'Connected, relayed' }).waitFor();
  await screenshot(page, 'viewer-relayed');

  const { local, remote } = await path(page);
  assert.deepEqual([local.candidateType, local.relayProtocol, local.address], ['relay', 'udp', '127.0.0.1']);
  // The device has no relay of its own: its end is the address that it has on this machine.
  assert.deepEqual([remote.candidateType, remote.address], ['host', '127.0.0.1']);

  const urls = configs.flatMap(({ ice_servers }) => ice_servers.flatMap((/** @type {any} */ { urls }) => urls));
  assert.deepEqual([...new Set(urls)], [relay.url]);
  assert.ok(configs.every((config) => config.cuttlebone_ice_transport_policy === 'relay'));
  const candidates = sent.flatMap((text) => text.match(/candidate:[^"\\]*? typ \w+/g) ?? []);
  assert.ok(candidates.length > 0 && candidates.every((candidate) => candidate.endsWith(' typ relay')), candidates.join('\n'));

  // Whoever runs both can tell from one log line of each whom the relay served.
  const name = login(configs.at(-1)).username.split(':')[1];
  assert.match(relay.log, new RegExp(`user <\\d+:${name}>.*ALLOCATE processed, success`));
  assert.match(server.log, new RegExp(`client attached.*turn_user\\W+${name}|turn_user\\W+${name}.*client attached`));
  assert.ok(!server.log.includes(SECRET) && !server.log.includes(login(configs.at(-1)).credential));
});

for (const protocol of /** @type {const} */ (['tcp', 'tls'])) {
  test(`the picture comes through a relay that is reached by ${protocol} alone`, async () => {
    const { page } = await view(await start(SECRET, relay.streams[protocol]));
    await waitForPicture(page);
    await waitForFrames(page);
    const { local } = await path(page);
    assert.deepEqual([local.candidateType, local.relayProtocol, local.url], ['relay', protocol, relay.streams[protocol]]);
  });
}

test('two browsers that use relays only reach each other through two allocations', async () => {
  const server = await start(SECRET);
  const tab = await each.newPage();
  await tab.page.goto(server.url);
  const types = await tab.page.evaluate(async () => {
    const { ice_servers: iceServers } = await (await fetch('infra_config')).json();
    const [a, b] = [0, 1].map(() => new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay' }));
    if (!a || !b) throw new Error('two');
    a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
    b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
    const open = new Promise((resolve) => (a.createDataChannel('x').onopen = resolve));
    await a.setLocalDescription();
    if (a.localDescription) await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription();
    if (b.localDescription) await a.setRemoteDescription(b.localDescription);
    await open;
    const stats = [...(await a.getStats()).values()];
    const pair = stats.find(({ id }) => id === stats.find(({ type }) => type === 'transport').selectedCandidatePairId);
    return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.find((entry) => entry.id === id).candidateType);
  });
  assert.deepEqual(types, ['relay', 'relay']);
});

test('a credential made with another secret, or that has expired, is refused, and there is no picture', async () => {
  const server = await start(`${SECRET}-and-wrong`);
  const { page, configs } = await view(server);
  const config = await until('a config with a relay', () => configs.find(({ ice_servers }) => ice_servers.length > 0));
  assert.equal(await allocate(login(config)), 401);
  await page.getByRole('heading', { name: 'No path to the device' }).waitFor({ timeout: 60_000 });

  const now = Math.floor(Date.now() / 1000);
  for (const [expiry, expected] of [[now + 60, ALLOWED], [now - 1, 401]]) {
    const username = `${expiry}:somebody`;
    assert.equal(await allocate({ username, credential: credentialOf(SECRET, username) }), expected, username);
  }
});

test('a relay that is in use goes on when its credential has expired', async () => {
  const expiry = Math.floor(Date.now() / 1000) + 2;
  const username = `${expiry}:somebody`;
  const client = new TurnClient(relay.port, { username, credential: credentialOf(SECRET, username) });
  try {
    assert.equal(await client.allocate(), ALLOWED);
    // The clock of coturn goes by the second, and may be late.
    await until('it has expired', () => Date.now() / 1000 > expiry + 3);
    assert.equal(await allocate({ username, credential: credentialOf(SECRET, username) }), 401);
    assert.equal(await client.permit('127.0.0.1'), ALLOWED);
  } finally {
    client.close();
  }
});

test('a session outlives its first credential by a pushed config', async () => {
  const server = await Server.shortLived(relay.url, SECRET, 16);
  each.finally(() => server.stop('SIGKILL'));
  const { page, configs } = await view(server);
  await waitForPicture(page);
  const first = login(configs.at(-1));
  assert.equal(await allocate(first), ALLOWED);
  const next = await until('another credential', () => login(configs.at(-1)).username !== first.username && configs.at(-1));
  const second = login(next);
  const expiry = Number(first.username.split(':')[0]);
  assert.ok(next.cameAt < expiry, 'it came before the first had expired');
  await until('the first has expired', () => Date.now() / 1000 > expiry + 1);
  assert.equal(await allocate(first), 401);
  assert.equal(await allocate(login(configs.at(-1))), ALLOWED);
  assert.notEqual(second.credential, first.credential);
  await waitForFrames(page);

  // A peer that is made now uses what came last.
  const configured = await page.evaluate(() => {
    const pc = /** @type {RTCPeerConnection} */ (/** @type {any} */ (globalThis).peers.at(-1));
    return pc.getConfiguration().iceServers?.at(-1)?.username;
  });
  assert.equal(configured, login(configs.at(-1)).username);
});

/**
 * What the configuration that is there to be copied says of each peer.
 *
 * @param {boolean} isIpv6
 * @param {string[]} inside
 * @param {string[]} outside
 */
async function assertPeers(isIpv6, inside, outside) {
  const shipped = await Coturn.shipped();
  try {
    assert.doesNotMatch(shipped.log, /bad configuration|unknown/i);
    const username = `${Math.floor(Date.now() / 1000) + 60}:somebody`;
    const client = new TurnClient(shipped.port, { username, credential: credentialOf(SECRET, username) }, isIpv6);
    try {
      assert.equal(await client.allocate(), ALLOWED);
      for (const address of inside) assert.equal(await client.permit(address), 403, address);
      for (const address of outside) assert.equal(await client.permit(address), ALLOWED, address);
    } finally {
      client.close();
    }
  } finally {
    await shipped.stop();
  }
}

test('the configuration that is there to be copied is taken, and sends nothing into the networks around it', async () => {
  const inside = [
    '0.0.0.1', '10.0.0.1', '10.255.255.254', '100.64.0.1', '100.127.255.254', '127.0.0.1', '127.255.255.254',
    '169.254.169.254', '172.16.0.1', '172.31.255.254', '192.168.0.1', '192.168.255.254', '224.0.0.1', '255.255.255.255',
    '192.0.0.1', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '240.0.0.1',
  ];
  await assertPeers(false, inside, ['1.1.1.1', '9.255.255.255', '100.128.0.1', '172.32.0.1']);
});

test('it sends nothing into those of IPv6 either', { skip: !HAS_IPV6 && 'no address of IPv6 here' }, async () => {
  const inside = [
    '::', '::1', '::ffff:a00:1', '::ffff:7f00:1', '::ffff:0:a00:1', '64:ff9b::a00:1', '64:ff9b:1::1',
    '2001::1', '2002:a00:1::1', '100::1', '2001:1::1', '2001:2::1', '2001:db8::1', '3fff::1', '5f00::1', 'fc00::1',
    'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'fe80::1', 'febf::1', 'fec0::1', 'feff::1', 'ff02::1', 'ff0e::1',
  ];
  await assertPeers(true, inside, ['2606:4700:4700::1111', '2a00:1450::1', '2003::1', 'fbff::1']);
});

test('the copied configuration bounds the relays of one connection, however often its credential is renewed', async () => {
  const shipped = await Coturn.shipped();
  /** @type {TurnClient[]} */
  const clients = [];
  const next = (/** @type {string} */ name) => {
    const username = `${Math.floor(Date.now() / 1000) + 60 + clients.length}:${name}`;
    const client = new TurnClient(shipped.port, { username, credential: credentialOf(SECRET, username) });
    clients.push(client);
    return client.allocate();
  };
  try {
    for (let n = 0; n < 12; n += 1) assert.equal(await next('one'), ALLOWED);
    assert.equal(await next('one'), 486);
    assert.equal(await next('two'), ALLOWED);
  } finally {
    for (const client of clients) client.close();
    await shipped.stop();
  }
});
