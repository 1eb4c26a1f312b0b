import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Backoff } from '../backoff.js';
import { Emitter } from '../emitter.js';
import { ViewerSession } from '../viewer_session.js';
import { FakePeerConnection, sdp } from './fake_peer_connection.js';

/** @extends {Emitter<Record<string, any>>} */
class FakeSignaling extends Emitter {
  /** @type {any[]} */
  sent = [];
  starts = 0;
  retries = 0;
  renewals = 0;

  start() {
    this.starts += 1;
    this.emit('connecting', { resuming: false });
  }

  renew() {
    this.renewals += 1;
    this.emit('connecting', { resuming: true });
  }

  retryNow() {
    this.retries += 1;
  }

  /** @param {any} payload */
  send(payload) {
    this.sent.push(payload);
  }

  close() {
    this.tells('closed', { error: null, closeCode: 1000, retryInMs: null });
  }

  /** @param {string} name @param {any} detail */
  tells(name, detail) {
    this.emit(name, detail);
  }

  breaks() {
    this.tells('lost', { error: null, closeCode: 1006, retryInMs: 0, resuming: true });
  }

  /** @param {boolean} [maybeLost] */
  resumes(maybeLost = false) {
    this.tells('connecting', { resuming: true });
    this.tells('config', { iceServers: [{ urls: ['stun:127.0.0.1'] }], iceTransportPolicy: 'all', raw: {} });
    this.tells('resumed', { deviceInfo: {}, maybeLost });
  }

  deviceArrives() {
    this.tells('config', { iceServers: [{ urls: ['stun:127.0.0.1'] }], iceTransportPolicy: 'all', raw: {} });
    this.tells('deviceInfo', { deviceInfo: {} });
  }

  /** @param {string} fingerprint @param {number} [session] */
  async offers(fingerprint, session) {
    this.tells('message', { payload: { type: 'offer', sdp: sdp(fingerprint, session) } });
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  }
}

/** @param {import('../viewer_session.js').ViewerOptions} [options] */
function start(options) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const signaling = new FakeSignaling();
  /** @type {FakePeerConnection[]} */
  const pcs = [];
  const session = new ViewerSession(/** @type {any} */ (signaling), {
    newPeerConnection: (config) => /** @type {any} */ (pcs[pcs.push(new FakePeerConnection(config)) - 1]),
    backoff: new Backoff({ minMs: 1000, maxMs: 4000, random: () => 1 }),
    ...options,
  });
  const pc = () => /** @type {FakePeerConnection} */ (pcs.at(-1));
  const requests = () => signaling.sent.filter(({ type }) => type === 'request-offer').length;
  /** @type {string[]} */
  const names = [];
  session.on('state', ({ name }) => names.at(-1) !== name && names.push(name));
  session.start();
  return { signaling, session, pcs, pc, requests, names };
}

async function connected() {
  const all = start();
  all.signaling.deviceArrives();
  await all.signaling.offers('AA');
  all.pc().becomes('connected');
  return all;
}

/** @param {string} name @param {() => Promise<void>} body */
function timed(name, body) {
  test(name, async () => {
    try {
      await body();
    } finally {
      mock.timers.reset();
    }
  });
}

timed('goes from connecting by waiting and negotiating to connected', async () => {
  const { names, pc } = await connected();
  assert.deepEqual(names, ['connecting', 'waiting', 'negotiating', 'connected']);
  assert.deepEqual(pc().config.iceServers, [{ urls: ['stun:127.0.0.1'] }]);
});

timed('keeps the picture when signaling is lost', async () => {
  const { session, signaling, pc } = await connected();
  signaling.tells('lost', { error: null, closeCode: 1006, retryInMs: 500, resuming: false });
  assert.equal(session.state.name, 'connected');
  assert.equal(session.state.signaling, 'lost');
  assert.equal(session.state.retryAt, Date.now() + 500);
  assert.equal(session.state.problem?.code, 'signaling_lost');
  assert.equal(pc().closed, false);
});

timed('makes a new picture beside the old when a new session begins', async () => {
  const { session, signaling, pcs, pc, requests } = await connected();
  signaling.tells('lost', { error: null, closeCode: 1006, retryInMs: 500, resuming: false });
  signaling.tells('connecting', { resuming: false });
  signaling.deviceArrives();
  assert.equal(requests(), 2);
  assert.deepEqual([pcs.length, pcs[0]?.closed, session.state.name], [2, false, 'connected']);
  await signaling.offers('BB');
  pc().becomes('connected');
  assert.deepEqual([pcs[0]?.closed, session.state.name, session.state.problem], [true, 'connected', null]);
});

timed('nothing of the old peer reaches the device in a new session', async () => {
  const { signaling, pcs, pc } = await connected();
  const old = pc();
  const candidate = { candidate: 'c', toJSON: () => ({ candidate: 'c' }) };
  old.onicecandidate({ candidate });
  assert.equal(signaling.sent.at(-1).type, 'ice-candidate');
  const before = signaling.sent.length;
  signaling.tells('lost', { error: null, closeCode: 1001, retryInMs: 500, resuming: false });
  signaling.tells('connecting', { resuming: false });
  old.onicecandidate({ candidate });
  signaling.deviceArrives();
  old.onicecandidate({ candidate });
  await signaling.offers('AA');
  assert.deepEqual(signaling.sent.slice(before).map(({ type }) => type), ['request-offer', 'answer']);
  assert.equal(pcs[1]?.remoteDescription?.type, 'offer', 'an offer is to the new peer, whoever made it');
  pc().onicecandidate({ candidate });
  assert.equal(signaling.sent.length, before + 3);
});

timed('in a resumed session the old peer goes on talking', async () => {
  const { signaling, pc } = await connected();
  signaling.breaks();
  const before = signaling.sent.length;
  pc().onicecandidate({ candidate: { candidate: 'c', toJSON: () => ({ candidate: 'c' }) } });
  signaling.resumes();
  await signaling.offers('AA');
  assert.deepEqual(signaling.sent.slice(before).map(({ type }) => type), ['ice-candidate', 'answer']);
});

timed('leaves the picture alone while signaling is away, and after it', async () => {
  const { session, signaling, pcs, pc, requests } = await connected();
  /** @type {any[]} */
  const problems = [];
  session.on('problem', (problem) => problems.push(problem));
  for (const maybeLost of [false, true]) {
    signaling.breaks();
    assert.deepEqual([session.state.name, session.state.signaling, session.state.problem], ['connected', 'away', null]);
    signaling.tells('lost', { error: null, closeCode: null, retryInMs: 700, resuming: true });
    assert.deepEqual([session.state.signaling, session.state.retryAt], ['away', Date.now() + 700]);
    signaling.resumes(maybeLost);
    assert.deepEqual([session.state.name, session.state.signaling, session.state.retryAt], ['connected', 'ok', null]);
  }
  assert.deepEqual([pcs.length, pc().closed, requests(), problems], [1, false, 1, []]);
});

timed('what the server said against an attempt is forgotten when it is back', async () => {
  const { session, signaling } = await connected();
  const error = { text: 'Busy', code: 'overloaded' };
  signaling.tells('error', error);
  signaling.tells('lost', { error, closeCode: 1013, retryInMs: 3000, resuming: true });
  assert.equal(session.state.problem?.code, 'overloaded');
  signaling.resumes();
  assert.equal(session.state.problem, null);
});

timed('a negotiation goes on over a broken connection', async () => {
  const { session, signaling, pcs, pc, requests, names } = start();
  signaling.deviceArrives();
  signaling.breaks();
  assert.deepEqual([session.state.name, session.state.signaling], ['negotiating', 'away']);
  signaling.resumes();
  await signaling.offers('AA');
  signaling.breaks();
  pc().becomes('connected');
  assert.deepEqual([session.state.name, session.state.signaling], ['connected', 'away']);
  signaling.resumes();
  assert.deepEqual([pcs.length, requests(), names], [1, 1, ['connecting', 'waiting', 'negotiating', 'connected']]);
});

timed('a negotiation of which something may be lost is begun again', async () => {
  const { session, signaling, pcs, requests } = start();
  signaling.deviceArrives();
  await signaling.offers('AA');
  signaling.breaks();
  signaling.resumes(true);
  assert.deepEqual([pcs.length, pcs[0]?.closed, requests(), session.state.name], [2, true, 2, 'negotiating']);
});

timed('a token that the server lets in again has not expired, though there is no picture yet', async () => {
  for (const resuming of [true, false]) {
    const { session, signaling } = start();
    signaling.deviceArrives();
    const error = { text: 'Credential expired or revoked', code: 'credential_expired' };
    signaling.tells('error', error);
    signaling.tells('lost', { error, closeCode: 4003, retryInMs: 0, resuming });
    assert.deepEqual(session.state.problem, error);
    signaling.tells('connecting', { resuming });
    assert.deepEqual(session.state.problem, error);
    if (resuming) signaling.resumes();
    else signaling.deviceArrives();
    assert.deepEqual([session.state.name, session.state.problem], ['negotiating', null]);
    mock.timers.reset();
  }
});

timed('a picture that dies while signaling is away is asked for as soon as it is back', async () => {
  const { session, signaling, pcs, pc, requests } = await connected();
  signaling.breaks();
  pc().becomes('failed');
  assert.deepEqual([session.state.name, session.state.problem?.code, requests()], ['lost', 'path_lost', 1]);
  session.retryNow();
  assert.equal(signaling.retries, 1);
  signaling.resumes();
  assert.deepEqual([session.state.name, requests(), pcs.length], ['negotiating', 2, 2]);
});

timed('a try that was put off is made as soon as signaling is back', async () => {
  const { session, signaling, requests } = start();
  signaling.deviceArrives();
  mock.timers.tick(15_000);
  assert.equal(session.state.name, 'retrying');
  signaling.breaks();
  assert.deepEqual([session.state.name, session.state.problem?.code], ['lost', 'signaling_lost']);
  signaling.resumes();
  assert.deepEqual([session.state.name, requests()], ['negotiating', 2]);
  mock.timers.tick(5000);
  assert.equal(requests(), 2, 'and not again when its time comes');
});

timed('a device that does not answer is asked over another connection', async () => {
  const { session, signaling, requests } = start();
  signaling.deviceArrives();
  mock.timers.tick(15_000);
  mock.timers.tick(1000);
  assert.deepEqual([signaling.renewals, requests(), session.state.name], [1, 2, 'negotiating']);
  signaling.resumes();
  assert.equal(requests(), 2);
});

timed('a session that can not be resumed makes a new picture beside the old', async () => {
  const { session, signaling, pcs, pc, requests } = await connected();
  signaling.breaks();
  signaling.tells('connecting', { resuming: true });
  const error = { text: 'Session cannot be resumed', code: 'cannot_resume' };
  signaling.tells('error', error);
  signaling.tells('lost', { error, closeCode: 1008, retryInMs: 0, resuming: false });
  assert.deepEqual([session.state.name, session.state.signaling, session.state.problem?.code], ['connected', 'lost', 'cannot_resume']);
  signaling.tells('connecting', { resuming: false });
  signaling.deviceArrives();
  assert.deepEqual([requests(), pcs.length, pcs[0]?.closed], [2, 2, false]);
  await signaling.offers('BB');
  pc().becomes('connected');
  assert.deepEqual([pcs[0]?.closed, session.state.name, session.state.problem], [true, 'connected', null]);
});

timed('a picture that dies is asked for again at once', async () => {
  const { session, pcs, pc, requests } = await connected();
  mock.timers.tick(1000);
  pc().becomes('failed');
  assert.deepEqual([session.state.name, session.state.problem?.code, requests(), pcs.length], ['negotiating', 'path_lost', 2, 2]);
});

timed('pictures that die as soon as they connect are asked for again after a growing delay, until one stands', async () => {
  const { session, signaling, pc, requests } = await connected();
  for (const delay of [1000, 2000, 4000, 4000]) {
    const before = requests();
    mock.timers.tick(999);
    pc().becomes('failed');
    assert.deepEqual([session.state.name, session.state.retryAt], ['retrying', Date.now() + delay]);
    mock.timers.tick(delay);
    assert.equal(requests(), before + 1);
    await signaling.offers('AA');
    pc().becomes('connected');
  }
  mock.timers.tick(1000);
  pc().becomes('failed');
  assert.equal(session.state.name, 'negotiating');
  await signaling.offers('AA');
  pc().becomes('connected');
  pc().becomes('failed');
  assert.equal(session.state.retryAt, Date.now() + 1000);
});

timed('each peer that takes the place of another says which streams there are now', async () => {
  const { session, signaling, pc } = start();
  /** @type {string[][]} */
  const pictures = [];
  session.on('picture', ({ streams }) => pictures.push([...streams]));
  signaling.deviceArrives();
  for (const end of ['AA', 'BB']) {
    await signaling.offers(end);
    pc().adds(`picture of ${end}`);
    pc().becomes('connected');
  }
  assert.deepEqual(pictures, [['picture of AA'], ['picture of BB']]);
});

timed('streams are those of the peer that is connected, and however many a device names, there is an end', async () => {
  const { session, signaling, pcs, pc } = start();
  /** @type {string[]} */
  const streams = [];
  session.on('stream', ({ id }) => streams.push(id));
  signaling.deviceArrives();
  await signaling.offers('AA');
  for (let number = 0; number < 1000; number += 1) pc().adds(`AA ${number}`);
  await signaling.offers('BB');
  pcs[1].adds('BB');
  assert.deepEqual(streams, [], 'nobody is connected');
  pcs[1].becomes('connected');
  assert.deepEqual(streams, ['BB']);
  for (let number = 0; number < 1000; number += 1) pcs[1].adds(`BB ${number}`);
  assert.deepEqual([streams.length, streams.at(-1)], [32, 'BB 30']);
  pcs[1].adds('BB');
  assert.equal(streams.at(-1), 'BB', 'one that is known may come anew');
});

timed('a fault that the device reports while there is a picture is told, and no more', async () => {
  const { session, signaling, pcs, pc } = await connected();
  /** @type {any[]} */
  const problems = [];
  session.on('problem', (problem) => problems.push(problem));
  await signaling.offers('AA');
  signaling.tells('message', { payload: { type: 'error', error: 'no encoder' } });
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  assert.deepEqual(problems, [{ code: 'device_error', text: 'no encoder' }]);
  assert.deepEqual([session.state.name, session.state.problem, pcs.length, pc().closed], ['connected', null, 1, false]);
});

timed('a short silence is told, and forgotten when it is over', async () => {
  const { session, pc } = await connected();
  pc().becomes('disconnected');
  assert.deepEqual([session.state.name, session.state.interrupted], ['connected', true]);
  pc().becomes('connected');
  assert.deepEqual([session.state.name, session.state.interrupted], ['connected', false]);
});

timed('a picture that dies without signaling waits for it', async () => {
  const { session, signaling, pc, requests } = await connected();
  signaling.tells('lost', { error: null, closeCode: 1006, retryInMs: 500, resuming: false });
  pc().becomes('failed');
  assert.deepEqual([session.state.name, requests()], ['lost', 1]);
});

timed('a negotiation that comes to nothing is tried again after a growing delay', async () => {
  const { session, signaling, requests } = start();
  signaling.deviceArrives();
  mock.timers.tick(15_000);
  assert.deepEqual([session.state.name, session.state.problem?.code], ['retrying', 'no_offer']);
  assert.equal(session.state.retryAt, Date.now() + 1000);
  mock.timers.tick(1000);
  assert.deepEqual([session.state.name, requests()], ['negotiating', 2]);
  signaling.resumes();
  mock.timers.tick(15_000);
  assert.equal(session.state.retryAt, Date.now() + 2000);
  session.retryNow();
  assert.equal(requests(), 3);
});

timed('an offer of a device that started again gets a peer of its own', async () => {
  const { session, signaling, pcs, pc } = await connected();
  await signaling.offers('AA');
  assert.equal(pcs.length, 1, 'the same end negotiates on');
  await signaling.offers('BB');
  assert.equal(pcs.length, 2);
  assert.equal(pcs[0]?.closed, false);
  pc().becomes('connected');
  assert.deepEqual([pcs[0]?.closed, session.state.name], [true, 'connected']);
});

timed('a device that uses one certificate for all gets a new peer for a new session all the same', async () => {
  const { signaling, pcs, pc } = await connected();
  signaling.tells('lost', { error: null, closeCode: 1001, retryInMs: 500, resuming: false });
  signaling.tells('connecting', { resuming: false });
  signaling.deviceArrives();
  await signaling.offers('AA', 2);
  pc().becomes('connected');
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, false]);
});

timed('a fresh config reaches the living peer', async () => {
  const { signaling, pc } = await connected();
  signaling.tells('config', { iceServers: [{ urls: ['turn:127.0.0.1'] }], iceTransportPolicy: 'relay', raw: {} });
  assert.deepEqual(pc().config.iceServers, [{ urls: ['turn:127.0.0.1'] }]);
  assert.equal(pc().config.iceTransportPolicy, 'relay');
});

timed('peers use relays only from the first on if the server asks for that, or whoever made the session', async () => {
  for (const [own, asked, expected] of /** @type {[any, any, string][]} */ ([
    [undefined, 'all', 'all'],
    [undefined, 'relay', 'relay'],
    ['relay', 'all', 'relay'],
    ['all', 'relay', 'all'],
  ])) {
    const { signaling, pc, session } = start({ iceTransportPolicy: own });
    signaling.tells('config', { iceServers: [], iceTransportPolicy: asked, raw: {} });
    signaling.tells('deviceInfo', { deviceInfo: {} });
    assert.equal(pc().config.iceTransportPolicy, expected);
    session.close();
    mock.timers.reset();
  }
});

timed('a refusal ends it, and it can be started again', async () => {
  const { session, signaling } = start();
  signaling.tells('error', { text: 'No', code: 'forbidden' });
  signaling.tells('closed', { error: { text: 'No', code: 'forbidden' }, closeCode: 1008, retryInMs: null, resuming: false });
  assert.deepEqual([session.state.name, session.state.problem], ['failed', { text: 'No', code: 'forbidden' }]);
  session.retryNow();
  assert.equal(signaling.starts, 2);
});

timed('a picture outlives a session that the server ends, and what ended it is told after it', async () => {
  const { session, signaling, pc } = await connected();
  const error = { text: 'Credential expired or revoked', code: 'credential_expired' };
  signaling.tells('error', error);
  signaling.tells('closed', { error, closeCode: 4003, retryInMs: null, resuming: false });
  assert.deepEqual([session.state.name, session.state.signaling, pc().closed], ['connected', 'closed', false]);
  pc().becomes('failed');
  assert.deepEqual([session.state.name, session.state.problem], ['failed', error]);
});

timed('a session that is begun after the end of another shows its picture in the place of the old', async () => {
  const { session, signaling, pcs, pc } = await connected();
  signaling.tells('error', { text: 'x', code: 'credential_expired' });
  signaling.tells('closed', { error: null, closeCode: 4003, retryInMs: null, resuming: false });
  session.start();
  signaling.deviceArrives();
  assert.deepEqual([session.state.name, session.state.problem, pcs[0]?.closed], ['connected', null, false]);
  await signaling.offers('BB');
  pc().becomes('connected');
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, false]);
});

timed('closing closes the picture', async () => {
  const { session, pc } = await connected();
  session.close();
  assert.deepEqual([session.state.name, pc().closed], ['closed', true]);
});

timed('a picture that outlived its session is closed too', async () => {
  const { session, signaling, pc } = await connected();
  signaling.close();
  assert.equal(session.state.name, 'connected');
  // A client that is closed already says nothing more.
  signaling.close = () => {};
  const states = /** @type {string[]} */ ([]);
  session.on('state', ({ name }) => states.push(name));
  session.close();
  assert.deepEqual([states, pc().closed], [['closed'], true]);
});

timed('input goes to the peer that shows', async () => {
  const { session, pc } = await connected();
  const channel = pc().channels.get('input-channel');
  assert.equal(session.input.key('KeyA', true), false);
  channel.readyState = 'open';
  assert.equal(session.input.key('KeyA', true), true);
  assert.equal(channel.sent.length, 1);
});
