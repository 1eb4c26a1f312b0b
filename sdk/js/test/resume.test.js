import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SendError } from '../signaling.js';
import { CONFIG, comesBack, deviceInfo, deviceMsg, forwards, greet, start, steady } from './session.js';

test('asks for a session that can be resumed, unless told not to', () => {
  const asking = start();
  asking.socket().open();
  assert.deepEqual(asking.socket().sent, [{ message_type: 'connect', device_id: 'cvd-1', cuttlebone_ice: true, cuttlebone_resume: true }]);
  const plain = start({ resume: false });
  greet(plain.socket(), 'unasked');
  assert.deepEqual(plain.socket().sent, [{ message_type: 'connect', device_id: 'cvd-1', cuttlebone_ice: true }]);
  plain.socket().closes(1006);
  assert.equal(plain.last('lost').resuming, false);
});

test('a broken connection is resumed at once, with the newest token and the count of what came', () => {
  const all = steady();
  all.socket().says(deviceMsg('a'));
  all.socket().says(deviceMsg('b'));
  all.socket().closes(1006);
  assert.deepEqual(all.last('lost'), { error: null, closeCode: 1006, retryInMs: 0, resuming: true });
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.deepEqual(all.socket().sent, [{ message_type: 'connect', device_id: 'cvd-1', cuttlebone_ice: true, cuttlebone_resume: 'one', cuttlebone_received: 2 }]);
  assert.deepEqual(all.last('resumed'), { deviceInfo: {}, maybeLost: false });
  all.socket().closes(1006);
  comesBack(all, 'three');
  assert.equal(all.socket().sent[0].cuttlebone_resume, 'two');
  assert.equal(all.names().filter((name) => name === 'deviceInfo').length, 1);
});

test('attempts are close together as long as the server may hold the session, then delays grow', () => {
  const all = steady();
  for (const token of ['two', 'three']) {
    for (const expected of [0, 1000, ...Array(7).fill(2000), 8000, 8000]) {
      all.socket().closes(1006);
      assert.equal(all.last('lost').retryInMs, expected);
      all.clock.fireLast();
    }
    greet(all.socket(), token, { cuttlebone_received: 0 });
    all.clock.fireLast();
  }
});

test('connections that break at once follow each other with a delay that does not grow', () => {
  const all = steady();
  all.socket().closes(1006);
  comesBack(all, 'two', { cuttlebone_received: 0 });
  for (let n = 0; n < 20; n += 1) {
    all.socket().closes(1006);
    assert.equal(all.last('lost').retryInMs, 1000);
    comesBack(all, 'next', { cuttlebone_received: 0 });
  }
});

test('what is sent meanwhile waits, no more than may, and follows what is sent again', () => {
  const all = steady({ maxPending: 2 });
  all.client.send(1);
  all.client.send(2);
  all.socket().closes(1006);
  assert.deepEqual([all.client.ready, all.client.inSession], [false, true]);
  all.client.send(3);
  all.client.send(4);
  assert.throws(() => all.client.send(5), SendError);
  comesBack(all, 'two', { cuttlebone_received: 1 });
  assert.deepEqual(forwards(all.socket()), [2, 3, 4]);
});

test('bytes are bounded too', () => {
  const all = steady({ maxPendingBytes: 1000 });
  all.socket().closes(1006);
  all.client.send('x'.repeat(900));
  assert.throws(() => all.client.send('y'.repeat(100)), SendError);
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.deepEqual(forwards(all.socket()), ['x'.repeat(900)]);
});

test('a listener of resumed sends after what waited', () => {
  const all = steady();
  all.client.on('resumed', () => all.client.send('new'));
  all.client.send('old');
  all.socket().closes(1006);
  all.client.send('waited');
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.deepEqual(forwards(all.socket()), ['old', 'waited', 'new']);
});

test('the application is told where more was lost than is kept, and the counting goes on', () => {
  const all = steady({ maxPending: 2 });
  for (const n of [1, 2, 3, 4, 5]) all.client.send(n);
  all.socket().closes(1006);
  comesBack(all, 'two', { cuttlebone_received: 1 });
  assert.equal(all.last('resumed').maybeLost, true);
  assert.deepEqual(forwards(all.socket()), [4, 5]);
  all.socket().closes(1006);
  comesBack(all, 'three', { cuttlebone_received: 2 });
  assert.equal(all.last('resumed').maybeLost, false);
  assert.deepEqual(forwards(all.socket()), [5]);
});

test('the application is told where the counts are gone; what was sent is not sent twice, what waits goes out', () => {
  const all = steady();
  all.socket().says(deviceMsg('a'));
  all.client.send('maybe');
  all.socket().closes(1006);
  all.client.send('waited');
  comesBack(all, 'two');
  assert.equal(all.last('resumed').maybeLost, true);
  assert.deepEqual(forwards(all.socket()), ['waited']);
  all.socket().closes(1006);
  comesBack(all, 'three', { cuttlebone_received: 1 });
  assert.equal(all.socket().sent[0].cuttlebone_received, 0, 'both sides count from 0 again');
  assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [false, []]);
});

test('a count of more than was sent is not believed', () => {
  const all = steady();
  all.client.send(1);
  all.socket().closes(1006);
  comesBack(all, 'two', { cuttlebone_received: 7 });
  assert.equal(all.last('resumed').maybeLost, true);
  all.client.send(2);
  all.socket().closes(1006);
  comesBack(all, 'three', { cuttlebone_received: 7 });
  assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [false, [2]]);
});

for (const nonsense of [-1, 1.5, '1', null, {}]) {
  test(`a count of ${JSON.stringify(nonsense)} is none`, () => {
    const all = steady();
    all.client.send(1);
    all.socket().closes(1006);
    comesBack(all, 'two', { cuttlebone_received: nonsense });
    assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [true, []]);
  });
}

test('after a planned restart it comes back within half a second, and nothing is lost or told', () => {
  const all = steady();
  for (const n of [1, 2, 3]) all.client.send(n);
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 2 });
  assert.equal(all.client.ready, false);
  all.client.send(4);
  assert.deepEqual(forwards(all.socket()), [1, 2, 3], 'the old process takes nothing more');
  all.socket().closes(1012);
  assert.deepEqual(all.last('lost'), { error: null, closeCode: 1012, retryInMs: 500, resuming: true });
  comesBack(all, 'two');
  assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [false, [3, 4]]);
  all.socket().closes(1006);
  comesBack(all, 'three', { cuttlebone_received: 1 });
  assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [false, [4]]);
});

test('a count of the next process counts, and the next restart has its own', () => {
  const all = steady();
  for (const n of [1, 2, 3]) all.client.send(n);
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 1 });
  all.socket().closes(1012);
  comesBack(all, 'two', { cuttlebone_received: 2 });
  assert.deepEqual(forwards(all.socket()), [3]);
  all.socket().closes(1006);
  comesBack(all, 'three');
  assert.equal(all.last('resumed').maybeLost, true, 'nobody said that it restarts this time');
});

test('what a process sent before its answer was lost may be lost with it', () => {
  const all = steady();
  all.client.send(1);
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 0 });
  all.socket().closes(1012);
  all.clock.fireLast();
  all.socket().open();
  all.socket().closes(1006);
  comesBack(all, 'two');
  assert.deepEqual([all.last('resumed').maybeLost, forwards(all.socket())], [true, [1]]);
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 1 });
  all.socket().closes(1012);
  comesBack(all, 'three');
  assert.equal(all.last('resumed').maybeLost, false);
});

test('a server that says that it restarts and then hangs is not waited for', () => {
  const all = steady({ openTimeoutMs: 7 });
  all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: 0 });
  assert.deepEqual(all.clock.delays, [7]);
  all.clock.fireLast();
  assert.deepEqual([all.last('lost').retryInMs, all.last('lost').resuming], [0, true]);
});

test('a session that can not be resumed is begun anew at once, and nothing of the old is sent', () => {
  const all = steady();
  all.client.send('old');
  all.socket().says(deviceMsg('a'));
  all.socket().closes(1006);
  all.client.send('waited');
  all.clock.fireLast();
  all.socket().open();
  all.socket().says({ error: 'Session cannot be resumed', cuttlebone_code: 'cannot_resume' });
  all.socket().closes(1008);
  assert.deepEqual([all.last('lost').retryInMs, all.last('lost').resuming], [0, false]);
  assert.throws(() => all.client.send('between'), SendError);
  comesBack(all, 'new');
  assert.deepEqual(all.socket().sent, [{ message_type: 'connect', device_id: 'cvd-1', cuttlebone_ice: true, cuttlebone_resume: true }]);
  assert.deepEqual(all.names().slice(-3), ['lost', 'connecting', 'deviceInfo']);
  all.socket().closes(1006);
  comesBack(all, 'new2', { cuttlebone_received: 0 });
  assert.equal(all.socket().sent[0].cuttlebone_received, 0);
});

test('a server that says so of a session that it has just begun is not asked at once, again and again', () => {
  const all = steady();
  all.socket().says({ error: 'Session cannot be resumed', cuttlebone_code: 'cannot_resume' });
  all.socket().closes(1008);
  assert.deepEqual([all.names().at(-1), all.names().includes('lost')], ['closed', false]);
});

test('who never had a session is not told for ever that it can not be resumed', () => {
  const all = start();
  all.socket().open();
  all.socket().says({ error: 'Session cannot be resumed', cuttlebone_code: 'cannot_resume' });
  all.socket().closes(1008);
  assert.equal(all.names().at(-1), 'closed');
});

test('a server that does not know of resuming any more begins a new session', () => {
  const all = steady();
  all.client.send('old');
  all.socket().closes(1006);
  all.client.send('waited');
  all.clock.fireLast();
  all.socket().open();
  all.socket().says(CONFIG);
  all.socket().says({ message_type: 'device_info', device_info: {} });
  assert.deepEqual([all.names().at(-1), forwards(all.socket())], ['deviceInfo', []]);
  all.socket().closes(1006);
  assert.equal(all.last('lost').resuming, false);
});

for (const closeCode of [1000, 1001, 1005, 1011, 1013, 4001, 4008, 4029]) {
  test(`a close with ${closeCode} ends the session`, () => {
    const all = steady();
    all.client.send('old');
    all.socket().closes(closeCode);
    assert.equal(all.last('lost').resuming, false);
    assert.ok(all.last('lost').retryInMs >= 1000, 'it is no hurry');
    comesBack(all, 'new');
    assert.deepEqual([all.socket().sent.length, all.socket().sent[0].cuttlebone_resume, all.names().at(-1)], [1, true, 'deviceInfo']);
  });
}

test('an attempt that is turned away for now does not end the session', () => {
  const all = steady();
  all.socket().closes(1006);
  all.clock.fireLast();
  all.socket().open();
  all.socket().says({ error: 'Too busy', cuttlebone_code: 'overloaded' });
  all.socket().closes(1013);
  assert.equal(all.last('lost').resuming, true);
  assert.ok(all.last('lost').retryInMs >= 3000);
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.equal(all.names().at(-1), 'resumed');
});

test('an attempt that is refused for good ends everything', () => {
  const all = steady();
  all.socket().closes(1006);
  all.clock.fireLast();
  all.socket().open();
  all.socket().says({ error: 'No', cuttlebone_code: 'forbidden' });
  all.socket().closes(1008);
  assert.deepEqual([all.names().at(-1), all.client.inSession, all.clock.delays], ['closed', false, []]);
});

test('attempts that are closed for the token have growing delays, and do not end the session', () => {
  const all = steady();
  all.socket().closes(1006);
  for (const delay of [1000, 2000]) {
    all.clock.fireLast();
    all.socket().open();
    all.socket().closes(4003);
    assert.deepEqual([all.last('lost').retryInMs, all.last('lost').resuming], [delay, true]);
  }
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.equal(all.names().at(-1), 'resumed');
});

test('close while the connection is broken is for good', () => {
  const all = steady();
  all.socket().closes(1006);
  all.client.close();
  assert.deepEqual([all.names().at(-1), all.client.inSession, all.clock.delays], ['closed', false, []]);
  assert.throws(() => all.client.send(1), SendError);
  all.client.start();
  greet(all.socket(), 'new');
  assert.equal(all.socket().sent[0].cuttlebone_resume, true);
});

test('a server that takes the socket and says nothing is left, and hears no close as long as there is the session', () => {
  const all = steady({ openTimeoutMs: 7 });
  all.socket().closes(1006);
  all.clock.fireLast();
  const silent = all.socket();
  silent.open();
  assert.deepEqual(all.clock.delays, [7]);
  all.clock.fireLast();
  assert.deepEqual([all.last('lost').closeCode, silent.closedWith], [null, undefined]);
  comesBack(all, 'two', { cuttlebone_received: 0 });
  assert.equal(silent.closedWith, undefined, 'it may still get the session, and a close would end it then');
  all.client.close();
  assert.equal(silent.closedWith, 1000);
});

test('no more silent sockets are kept than may, and those that the server closed are not', () => {
  const all = steady();
  const silent = Array.from({ length: 10 }, () => {
    all.socket().closes(1006);
    all.clock.fireLast();
    const socket = all.socket();
    socket.open();
    all.clock.fireLast();
    all.clock.fireLast();
    return socket;
  });
  const open = () => silent.filter(({ closedWith }) => closedWith === undefined);
  assert.deepEqual(open(), silent.slice(2));
  for (const socket of open()) socket.closes(1006);
  all.client.close();
  assert.equal(open().length, 8);
});

test('until-device resumes what it can, and begins anew what it can not', () => {
  const all = steady({ reconnect: 'until-device' });
  all.socket().closes(1006);
  comesBack(all, 'two', { cuttlebone_received: 0 });
  all.socket().closes(1006);
  all.clock.fireLast();
  all.socket().open();
  all.socket().says({ error: 'Session cannot be resumed', cuttlebone_code: 'cannot_resume' });
  all.socket().closes(1008);
  all.clock.fireLast();
  all.socket().closes(1006);
  comesBack(all, 'new');
  assert.equal(all.names().at(-1), 'deviceInfo');
  all.socket().says({ error: 'Device disconnected', cuttlebone_code: 'device_disconnected' });
  all.socket().closes(1001);
  assert.equal(all.names().at(-1), 'closed');
});

test('never is never', () => {
  const all = steady({ reconnect: 'never' });
  all.socket().closes(1006);
  assert.equal(all.names().at(-1), 'closed');
});

test('what the server says twice is taken once', () => {
  const all = steady();
  all.socket().says(deviceInfo('again'));
  assert.deepEqual(all.names(), ['connecting', 'deviceInfo']);
});

test('a restart without a count is none', () => {
  const all = steady();
  for (const nonsense of [undefined, -1, '0']) all.socket().says({ message_type: 'cuttlebone_draining', cuttlebone_received: nonsense });
  assert.equal(all.client.ready, true);
});

test('a connection stands for a while whatever it carries', () => {
  const all = start();
  greet(all.socket(), 'one');
  all.socket().says(deviceMsg('a'));
  all.clock.fireLast();
  all.socket().closes(1006);
  assert.equal(all.last('lost').retryInMs, 0);
});
