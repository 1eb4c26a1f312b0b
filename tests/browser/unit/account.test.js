import assert from 'node:assert/strict';
import { register } from 'node:module';
import { inspect } from 'node:util';
import { test } from 'node:test';

register('../support/as_served.js', import.meta.url);
const { Account, mayWatch } = await import('../../../web/account.js');

const ALICE = { name: 'alice', tenant: 'lab', roles: ['client', 'admin'], expires_at: 1_800_000_000 };
const CANARY = 'cbt_CANARY';

/** @typedef {number | object | Error | Promise<any>} Answer a status, what is answered with 200, or no answer */

/** An account whose server and other pages are the test's. The server answers in the order of `answers`. */
function account() {
  /** @type {{ method: string, url: string, init: RequestInit }[]} */
  const asked = [];
  /** @type {Answer[]} */
  const answers = [];
  const channel = { posted: /** @type {any[]} */ ([]), onmessage: /** @type {any} */ (null), postMessage(/** @type {any} */ data) { this.posted.push(data); } };
  const account = new Account({
    base: 'https://h.example/lab/viewer.html?deviceId=a',
    channel,
    fetch: async (url, init) => {
      asked.push({ method: String(init.method), url, init });
      const answer = await answers.shift();
      if (answer === undefined || answer instanceof Error) throw answer ?? new Error('not asked for');
      return typeof answer === 'number' ? new Response(null, { status: answer }) : Response.json(answer);
    },
  });
  /** @type {string[]} */
  const events = [];
  account.on('change', ({ name }) => events.push(name));
  account.on('over', () => events.push('over'));
  const check = (/** @type {Answer} */ answer) => (answers.push(answer), account.check());
  return { account, asked, answers, channel, events, check };
}

test('the server says who it is, below the prefix of the page', async () => {
  const { account: it, asked, check } = account();
  assert.equal(await check(ALICE), true);
  assert.deepEqual(it.standing, {
    name: 'known',
    who: { name: 'alice', identity: null, tenant: 'lab', roles: ['client', 'admin'], expiresAt: new Date(1_800_000_000_000) },
    ended: false,
  });
  assert.deepEqual(asked.map(({ method, url }) => [method, url]), [['GET', 'https://h.example/lab/api/v1/whoami']]);
});

test('where anybody is served nobody is known, and all is allowed', async () => {
  const { account: it, check } = account();
  await check({ roles: [] });
  assert.deepEqual([it.standing.name, it.standing.who, mayWatch(it.standing)], ['anybody', null, true]);
});

test('a server that does not say changes nothing', async () => {
  const { account: it, check, events } = account();
  for (const answer of [404, 500, 403, new Error('offline')]) assert.equal(await check(answer), false);
  assert.deepEqual([it.standing.name, mayWatch(it.standing)], ['unknown', true]);
  await check(ALICE);
  await check(503);
  assert.deepEqual([it.standing.name, events], ['known', ['known']]);
});

test('nonsense is nobody', async () => {
  for (const said of [[], 'alice', { name: 7, roles: 'x' }]) {
    const { account: it, check } = account();
    await check(/** @type {any} */ (said));
    assert.equal(it.standing.who, null);
  }
});

test('whoever is refused is out, and it is told whether that is an end', async () => {
  const { account: it, check, events } = account();
  await check(401);
  assert.deepEqual([it.standing.name, it.standing.ended], ['out', false]);
  await check(ALICE);
  await check(401);
  await check(401);
  assert.deepEqual([it.standing.name, it.standing.ended], ['out', true]);
  assert.deepEqual(events, ['out', 'known', 'out']);
});

test('only clients and admins may watch', async () => {
  for (const [roles, may] of /** @type {[string[], boolean][]} */ ([[['client'], true], [['admin'], true], [['observer', 'device'], false], [[], false]])) {
    const { account: it, check } = account();
    await check({ ...ALICE, roles });
    assert.equal(mayWatch(it.standing), may, String(roles));
  }
});

test('a token goes into one header of one request, and then the server is asked who it is', async () => {
  const { account: it, asked, answers, channel, events } = account();
  answers.push(204, ALICE);
  assert.equal(await it.signIn(CANARY), 'ok');
  assert.deepEqual(asked.map(({ method, url }) => [method, url]), [
    ['POST', 'https://h.example/lab/api/v1/session'],
    ['GET', 'https://h.example/lab/api/v1/whoami'],
  ]);
  assert.deepEqual([asked[0]?.init.headers, asked[0]?.init.redirect], [{ authorization: `Bearer ${CANARY}` }, 'error']);
  assert.deepEqual([events, channel.posted], [['known'], ['in']]);
  assert.doesNotMatch(inspect([it, it.standing, events, channel.posted, asked[1]], { depth: 9, showHidden: true }), /CANARY/);
});

test('a token that is refused changes nothing', async () => {
  for (const [answer, outcome] of /** @type {[Answer, string][]} */ ([[401, 'refused'], [400, 'no_answer'], [503, 'no_answer'], [new Error('offline'), 'no_answer']])) {
    const { account: it, answers, asked, channel, check, events } = account();
    await check(401);
    answers.push(answer);
    assert.equal(await it.signIn(CANARY), outcome);
    assert.deepEqual([asked.length, events, channel.posted], [2, ['out'], []]);
  }
});

test('what no cookie can hold is not sent', async () => {
  for (const token of ['', 'two words', 'a,b', 'a;b', 'a"b', 'a\\b', 'é', 'a\nb', 'a'.repeat(8193)]) {
    const { account: it, asked } = account();
    assert.equal(await it.signIn(token), 'no_token', token.slice(0, 10));
    assert.equal(asked.length, 0);
  }
  const { account: it, answers } = account();
  answers.push(204, ALICE);
  assert.equal(await it.signIn("cbt_-._~+/=!#$%&'()*:<>?@[]^`{|}"), 'ok');
});

test('a browser that keeps no cookie is found out', async () => {
  const { account: it, answers, channel } = account();
  answers.push(204, 401);
  assert.equal(await it.signIn(CANARY), 'no_cookie');
  assert.deepEqual(channel.posted, []);
});

test('what the server was asked before the token was accepted does not count', async () => {
  const { account: it, answers, events } = account();
  let late = (/** @type {any} */ _answer) => {};
  answers.push(new Promise((resolve) => (late = resolve)), 204, ALICE);
  const early = it.check();
  const signedIn = it.signIn(CANARY);
  await new Promise((resolve) => setImmediate(resolve));
  late(401);
  assert.deepEqual([await signedIn, await early], ['ok', true]);
  assert.deepEqual([it.standing.name, events], ['known', ['out', 'known']]);
});

test('whoever asks while it is being asked gets the same answer', async () => {
  const { account: it, asked, answers } = account();
  answers.push(ALICE);
  assert.deepEqual(await Promise.all([it.check(), it.check()]), [true, true]);
  assert.equal(asked.length, 1);
});

test('signing out ends all pages, and only if it was done', async () => {
  const { account: it, answers, asked, channel, check, events } = account();
  await check(ALICE);
  answers.push(new Error('offline'));
  assert.equal(await it.signOut(), false);
  answers.push(204);
  assert.equal(await it.signOut(), true);
  assert.deepEqual(asked.slice(1).map(({ method, url }) => [method, url]), Array(2).fill(['DELETE', 'https://h.example/lab/api/v1/session']));
  assert.deepEqual([events, channel.posted], [['known', 'over'], ['out']]);
});

test('the other pages follow', async () => {
  const { answers, channel, check, events } = account();
  await check(401);
  answers.push(ALICE);
  channel.onmessage({ data: 'in' });
  await new Promise((resolve) => setImmediate(resolve));
  channel.onmessage({ data: 'out' });
  assert.deepEqual(events, ['out', 'known', 'over']);
});

test('what is shown for one is over when another comes, and goes on for the same', async () => {
  const { check, events } = account();
  await check(ALICE);
  await check(401);
  await check({ ...ALICE, expires_at: 1_900_000_000 });
  assert.deepEqual(events.splice(0), ['known', 'out', 'known']);
  await check({ ...ALICE, tenant: 'other' });
  await check({ ...ALICE, name: 'bob' });
  await check({ ...ALICE, name: 'bob', identity: 'oidc:a#1' });
  await check({ ...ALICE, name: 'bob', identity: 'oidc:a#2' });
  await check({ roles: [] });
  assert.deepEqual(events, ['over', 'over', 'over', 'over', 'over']);
});

test('whether there is a provider is asked until the server has said so', async () => {
  const { account: it, answers, asked } = account();
  answers.push(new Error('offline'), 503, { name: 7 }, { name: 'the Lab' });
  for (const expected of [null, null, null, { name: 'the Lab' }, { name: 'the Lab' }]) assert.deepEqual(await it.provider(), expected);
  assert.deepEqual(new Set(asked.map(({ url }) => url)), new Set(['https://h.example/lab/api/v1/login/provider']));
  assert.equal(asked.length, 4);
  const { account: other, answers: others, asked: once } = account();
  others.push(404);
  assert.deepEqual([await other.provider(), await other.provider(), once.length], [null, null, 1]);
});
