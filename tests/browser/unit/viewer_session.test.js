import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { Emitter } from '../../../sdk/js/emitter.js';
import { ViewerSession } from '../../../sdk/js/viewer_session.js';

/** As much of an `RTCPeerConnection` as takes an offer. */
class FakePeerConnection {
  /** @type {any} */
  remoteDescription = null;
  createDataChannel() {
    return { addEventListener() {}, close() {} };
  }
  async setRemoteDescription(/** @type {any} */ description) {
    this.remoteDescription = description;
  }
  async setLocalDescription() {}
  async createAnswer() {
    return { type: 'answer', sdp: '' };
  }
  async addIceCandidate() {}
  async getStats() {
    return new Map();
  }
  getConfiguration() {
    return {};
  }
  close() {}
}

/** @extends {Emitter<any>} */
class FakeSignaling extends Emitter {
  start() {}
  close() {}
  send() {}
  retryNow() {}
  renew() {}
}

const offer = (/** @type {number} */ end) => ({
  payload: { type: 'offer', sdp: `v=0\r\no=- ${end} 2 IN IP4 127.0.0.1\r\na=fingerprint:sha-256 AA:${end}\r\n` },
});

test('a device that offers as another end again and again does not use up the peer connections of the browser', async () => {
  let made = 0;
  const signaling = /** @type {any} */ (new FakeSignaling());
  const session = new ViewerSession(signaling, {
    newPeerConnection: () => {
      made += 1;
      return /** @type {any} */ (new FakePeerConnection());
    },
  });
  session.start();
  signaling.emit('config', { iceServers: [] });
  signaling.emit('deviceInfo', { deviceInfo: {} });
  assert.equal(made, 1);
  for (let end = 0; end < 200; end += 1) {
    signaling.emit('message', offer(end));
    await setImmediate();
  }
  assert.equal(made, 11, 'ten more, and the rest is not answered');
  session.close();
});

test('a device whose offers can not be used leaves no timer behind', async context => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  let made = 0;
  const signaling = /** @type {any} */ (new FakeSignaling());
  const session = new ViewerSession(signaling, {
    newPeerConnection: () => {
      made += 1;
      const peer = new FakePeerConnection();
      peer.setRemoteDescription = async () => {
        throw new Error('of a test');
      };
      return /** @type {any} */ (peer);
    },
  });
  session.start();
  signaling.emit('config', { iceServers: [] });
  signaling.emit('deviceInfo', { deviceInfo: {} });
  for (let end = 0; end < 10; end += 1) {
    signaling.emit('message', offer(end));
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
  }
  const before = made;
  assert.ok(before > 2, 'offers that can not be used were tried');
  // Only one timer is left, whatever has failed before.
  context.mock.timers.tick(60_000);
  assert.ok(made <= before + 1, `${made - before} further attempts at once`);
  session.close();
  const closed = made;
  context.mock.timers.tick(600_000);
  assert.equal(made, closed);
});
