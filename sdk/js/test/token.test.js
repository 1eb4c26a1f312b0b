/** Tokens, as a server made by hand sees them and answers to them. The real thing is tested in `server`. */

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { mock, test } from 'node:test';

import { startClient } from './fakes.js';
import { comesBack, forwards, greet } from './session.js';

const CANARY = "cbt_CANARY!#$%&'*+-.^_`|~";
const EXPIRED = { error: 'Credential expired or revoked', cuttlebone_code: 'credential_expired' };

/** Lets all promises settle. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/**
 * @param {import('../token_socket.js').TokenSource} [token]
 * @param {number | Error | { status: number, who: any }} [answer] to the question what the server thinks of the token
 * @param {Partial<import('../signaling.js').SignalingOptions>} [options]
 */
function start(token, answer = 404, options) {
  /** @type {string[][]} */
  const asked = [];
  /** @param {string} url @param {string} shown */
  const askWho = async (url, shown) => {
    asked.push([url, shown]);
    if (answer instanceof Error) throw answer;
    return typeof answer === 'number' ? { status: answer, who: null } : answer;
  };
  const names = ['connecting', 'deviceInfo', 'resumed', 'error', 'lost', 'closed'];
  const all = startClient(names, { ...(token !== undefined && { token }), askWho, ...options });
  const last = (/** @type {string} */ name) => all.events.findLast((event) => event[0] === name)?.[1];
  const told = () => all.events.map(([name]) => name);
  return { ...all, asked, last, told };
}

/** Gives `t1`, `t2` and so on. */
function counting() {
  let count = 0;
  return async () => `t${(count += 1)}`;
}

test('a token is offered as a subprotocol, after one that the server can choose, and is in no address', () => {
  const { socket } = start(CANARY);
  assert.deepEqual(socket().protocols, ['cuttlebone', `bearer.${CANARY}`]);
  assert.equal(socket().url, 'ws://127.0.0.1/connect_client');
});

test('without a token no subprotocol is offered, and after a failure nothing is asked', async () => {
  const { socket, asked, told } = start();
  assert.deepEqual(socket().protocols, []);
  socket().closes(1006);
  assert.deepEqual(told(), ['connecting', 'lost']);
  await settle();
  assert.deepEqual(asked, []);
});

test('what can not be in a subprotocol is refused at once, and not repeated', () => {
  for (const token of ['', 'CANARY token', 'CANARY,', 'CANARY/', 'CANARY=', 'CANARY"', 'CANARY\n', 'CANARYé', 7, null]) {
    assert.throws(
      () => start(/** @type {any} */ (token)),
      (error) => error instanceof TypeError && /letters, digits/.test(error.message) && !inspect(error.message).includes('CANARY'),
      String(token),
    );
  }
});

/** @param {...string} roles */
const known = (...roles) => ({ status: 200, who: { name: 'alice', roles } });

for (const [answer, code] of /** @type {[any, string][]} */ ([
  [401, 'unauthenticated'],
  [known('device'), 'forbidden'],
  [known('observer', 'device'), 'forbidden'],
  [known(), 'forbidden'],
])) {
  test(`a text that the server answers with ${JSON.stringify(answer)} is the end, and the reason is told`, async () => {
    const { clock, socket, asked, told, last } = start(CANARY, answer);
    socket().closes(1006);
    await settle();
    assert.deepEqual(asked, [['http://127.0.0.1/api/v1/whoami', CANARY]]);
    assert.deepEqual(told(), ['connecting', 'error', 'closed']);
    assert.deepEqual([last('error').code, last('closed').error.code, last('closed').retryInMs], [code, code, null]);
    assert.deepEqual(clock.delays, []);
  });
}

const OTHER_ANSWERS = [
  known('client'),
  known('observer', 'admin'),
  { status: 200, who: { roles: [] } },
  { status: 200, who: { name: 'alice' } },
  { status: 200, who: null },
  { status: 403, who: null },
  { status: 404, who: { name: 'alice', roles: [] } },
  500,
  new Error('no server'),
];

for (const answer of OTHER_ANSWERS) {
  test(`a failure where the server is asked and answers ${inspect(answer).split('\n')[0]} is like any other`, async () => {
    const { socket, asked, told, last } = start(CANARY, answer);
    socket().closes(1006);
    await settle();
    assert.equal(asked.length, 1);
    assert.deepEqual([told(), last('lost').error, last('lost').retryInMs], [['connecting', 'lost'], null, 1000]);
  });
}

test('a socket that was open and closes is not asked about', async () => {
  const { socket, asked, last } = start(CANARY, 401);
  greet(socket(), 'one');
  socket().closes(1006);
  await settle();
  assert.deepEqual([asked, last('lost').resuming], [[], true]);
});

test('the question goes to the server of the socket, below its prefix', async () => {
  const { socket, asked } = start(CANARY, 401, { url: 'wss://h.example:1/lab/connect_client?x=1' });
  socket().closes(1006);
  await settle();
  assert.deepEqual(asked, [['https://h.example:1/lab/api/v1/whoami', CANARY]]);
});

for (const [body, status, code] of /** @type {[string, number, string][]} */ ([
  ['', 401, 'unauthenticated'],
  ['{"name":"robot","roles":["device"]}', 200, 'forbidden'],
])) test(`the question shows the token in a header, follows no one to another place, and hears ${code}`, async () => {
  const answered = mock.method(globalThis, 'fetch', async () => new Response(body, { status }));
  const { socket, last } = start(CANARY, 0, { askWho: /** @type {any} */ (undefined) });
  socket().closes(1006);
  await settle();
  const [url, options] = /** @type {any} */ (answered.mock.calls[0]).arguments;
  mock.reset();
  assert.equal(url, 'http://127.0.0.1/api/v1/whoami');
  assert.deepEqual([options.headers, options.redirect], [{ authorization: `Bearer ${CANARY}` }, 'error']);
  assert.equal(last('closed').error.code, code);
});

test('a function is asked before each socket, and after a refusal again, with growing delays', async () => {
  const { clock, sockets, socket, last, told } = start(counting(), 401);
  for (const [attempt, delay] of [[1, 1000], [2, 2000], [3, 4000]]) {
    assert.equal(sockets.length, Number(attempt) - 1, 'not before there is a token');
    await settle();
    assert.deepEqual(socket().protocols, ['cuttlebone', `bearer.t${attempt}`]);
    socket().closes(1006);
    await settle();
    assert.deepEqual([last('lost').error.code, last('lost').retryInMs], ['unauthenticated', delay]);
    clock.fireLast();
  }
  await settle();
  greet(socket(), 'one');
  assert.equal(told().at(-1), 'deviceInfo');
});

for (const [how, fail] of /** @type {[string, () => any][]} */ ([
  ['throws', () => { throw new Error('the vault is closed'); }],
  ['rejects', () => Promise.reject(new Error('the vault is closed'))],
])) {
  test(`a function that ${how} is asked again, and its reason is told`, async () => {
    const { sockets, last, told } = start(fail);
    await settle();
    const error = { text: 'There is no token: the vault is closed', code: 'no_token' };
    assert.deepEqual([told(), last('lost').error, last('lost').retryInMs], [['connecting', 'error', 'lost'], error, 1000]);
    assert.equal(sockets.length, 0);
  });
}

test('a function that gives no token is told so, and it is not repeated', async () => {
  for (const nothing of ['CANARY token', undefined, { token: 'CANARY' }]) {
    const { sockets, events, last } = start(() => /** @type {any} */ (nothing));
    await settle();
    assert.equal(last('lost').error.code, 'no_token');
    assert.deepEqual([sockets.length, JSON.stringify(events).includes('CANARY')], [0, false]);
  }
});

test('a session outlives a token that expires and a refusal after it, and loses nothing', async () => {
  const all = start(counting(), 401);
  await settle();
  expires(all);
  await settle();
  assert.deepEqual(all.socket().protocols, ['cuttlebone', 'bearer.t2']);
  all.socket().closes(1006);
  await settle();
  assert.deepEqual([all.last('lost').error.code, all.last('lost').resuming], ['unauthenticated', true]);

  all.clock.fireLast();
  await settle();
  assert.deepEqual(all.socket().protocols, ['cuttlebone', 'bearer.t3']);
  greet(all.socket(), 'two', { cuttlebone_received: 1 });
  assert.equal(all.socket().sent[0].cuttlebone_resume, 'one');
  assert.deepEqual([forwards(all.socket()), all.last('resumed').maybeLost], [[2], false]);
});

/** @param {ReturnType<typeof start>} all in a session, whose connection the server then closes for the token */
function expires(all) {
  greet(all.socket(), 'one');
  all.clock.fireLast();
  all.client.send(1);
  all.socket().says(EXPIRED);
  all.socket().closes(4003);
  const { error, ...rest } = all.last('lost');
  assert.deepEqual([error.code, rest], ['credential_expired', { closeCode: 4003, retryInMs: 0, resuming: true }]);
  all.client.send(2);
  all.clock.fireLast();
}

for (const token of [CANARY, undefined]) {
  test(`a session outlives a close for ${token ? 'a text' : 'the cookie'} that is still good, each time`, async () => {
    const all = start(token, 401);
    expires(all);
    assert.deepEqual(all.socket().protocols, token ? ['cuttlebone', `bearer.${token}`] : []);
    greet(all.socket(), 'two', { cuttlebone_received: 1 });
    assert.equal(all.socket().sent[0].cuttlebone_resume, 'one');
    assert.deepEqual([forwards(all.socket()), all.last('resumed').maybeLost], [[2], false]);
    all.clock.fireLast();
    // Later failures have nothing to do with it.
    for (const code of [1006, 1006]) {
      all.socket().closes(code);
      assert.equal(all.told().at(-1), 'lost');
      all.clock.fireLast();
      greet(all.socket(), 'three', { cuttlebone_received: 2 });
    }
    await settle();
    assert.deepEqual([all.asked, all.told().at(-1)], [[], 'resumed']);
  });
}

test('a text that has expired is the end when it is not let in', async () => {
  const all = start(CANARY, 401);
  expires(all);
  all.socket().closes(1006);
  await settle();
  assert.deepEqual([all.told().at(-1), all.last('closed').error.code, all.client.inSession], ['closed', 'unauthenticated', false]);
  assert.deepEqual(all.clock.delays, []);
});

test('a text that has expired is shown again if the server is away meanwhile', async () => {
  const all = start(CANARY, new Error('no server'));
  expires(all);
  all.socket().closes(1006);
  await settle();
  assert.deepEqual([all.told().at(-1), all.last('lost').resuming], ['lost', true]);
});

test('a page whose cookie has expired has one more attempt, and is told why that is the end', async () => {
  const all = start();
  expires(all);
  all.socket().closes(1006);
  assert.deepEqual([all.told().at(-1), all.last('closed').error.code, all.client.inSession], ['closed', 'credential_expired', false]);
  assert.deepEqual([all.clock.delays, all.asked], [[], []]);
  // Whoever starts it then starts with what the browser has by then.
  all.client.start();
  all.socket().closes(1006);
  assert.equal(all.told().at(-1), 'lost');
});

test('a page whose attempt after an expiry got no answer at all tries again', () => {
  const all = start();
  expires(all);
  all.clock.fireLast();
  assert.deepEqual([all.told().at(-1), all.last('lost').closeCode, all.last('lost').resuming], ['lost', null, true]);
});

test('a client that is closed while its token is fetched opens nothing and says nothing more', async () => {
  const { client, sockets, told } = start(counting());
  client.close();
  await settle();
  assert.deepEqual([sockets.length, told()], [0, ['connecting', 'closed']]);
});

test('a client that is closed while its socket opens does not ask why it did not', async () => {
  const { client, socket, asked, told } = start(CANARY, 401);
  client.close();
  socket().closes(1006);
  await settle();
  assert.deepEqual([asked, told()], [[], ['connecting', 'closed']]);
});

test('a page that is online again waits for the token that is being fetched', async () => {
  const { sockets, socket, page } = start(counting());
  page().renew();
  await settle();
  assert.deepEqual([sockets.length, socket().protocols], [1, ['cuttlebone', 'bearer.t1']]);
});

test('a client that is closed while the server is asked says nothing more', async () => {
  const { client, socket, told } = start(CANARY, 401);
  socket().closes(1006);
  client.close();
  await settle();
  assert.deepEqual(told(), ['connecting', 'closed']);
});

test('a token that does not come in time is given up with its socket, and opens none when it comes late', async () => {
  /** @type {((token: string) => void)[]} */
  const waiting = [];
  const { clock, sockets, socket, last } = start(() => new Promise((resolve) => waiting.push(resolve)), 404, { openTimeoutMs: 7 });
  await settle();
  assert.deepEqual(clock.delays, [7]);
  clock.fireLast();
  assert.deepEqual([last('lost').closeCode, last('lost').retryInMs], [null, 1000]);
  clock.fireLast();
  await settle();
  for (const resolve of waiting) resolve(`t${waiting.indexOf(resolve)}`);
  await settle();
  assert.deepEqual([sockets.length, socket().protocols], [1, ['cuttlebone', 'bearer.t1']]);
});

test('a connection that may be dead is in use until there is a fresh token and a new one is open', async () => {
  const all = start(counting());
  await settle();
  const old = all.socket();
  greet(old, 'one');
  all.page().renew();
  assert.equal(all.sockets.length, 1);
  await settle();
  assert.deepEqual([all.socket().protocols, all.client.ready], [['cuttlebone', 'bearer.t2'], true]);
  all.client.send(1);
  assert.deepEqual(forwards(old), [1]);
  greet(all.socket(), 'two', { cuttlebone_received: 1 });
  assert.deepEqual([old.closedWith, all.told().at(-1)], [1000, 'resumed']);
});

test('a planned restart goes on with the next token', async () => {
  const all = start(counting());
  await settle();
  greet(all.socket(), 'one');
  all.clock.fireLast();
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 0 });
  all.socket().closes(1012);
  all.clock.fireLast();
  await settle();
  assert.deepEqual(all.socket().protocols, ['cuttlebone', 'bearer.t2']);
  greet(all.socket(), 'two', { cuttlebone_received: 0 });
  assert.equal(all.told().at(-1), 'resumed');
});

test('the token is in no event and in nothing that is printed', async () => {
  const all = start(CANARY, 401);
  comesBackOnce(all);
  all.socket().closes(1006);
  await settle();
  all.clock.fireLast();
  all.socket().closes(1006);
  await settle();
  assert.ok(all.told().includes('closed'));
  assert.doesNotMatch(inspect([all.client, all.events], { depth: 9 }) + JSON.stringify(all.events), /CANARY/);
});

/** @param {ReturnType<typeof start>} all */
function comesBackOnce(all) {
  greet(all.socket(), 'one');
  all.socket().closes(1006);
  comesBack(/** @type {any} */ (all), 'two', { cuttlebone_received: 0 });
}
