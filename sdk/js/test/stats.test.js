import assert from 'node:assert/strict';
import { test } from 'node:test';

import { StatsSampler } from '../stats.js';

/**
 * @param {{ bytes?: number, at?: number, localType?: string, transport?: boolean }} [options]
 * @returns {any}
 */
function report({ bytes = 1000, at = 1000, localType = 'host', transport = true } = {}) {
  const entries = [
    { id: 'V', type: 'inbound-rtp', kind: 'video', frameWidth: 360, frameHeight: 640, framesPerSecond: 15, framesDecoded: 7, framesDropped: 1, packetsLost: 2, bytesReceived: bytes, timestamp: at, codecId: 'C' },
    { id: 'C', type: 'codec', mimeType: 'video/VP8' },
    { id: 'P0', type: 'candidate-pair', state: 'failed', nominated: false },
    { id: 'P', type: 'candidate-pair', state: 'succeeded', nominated: true, currentRoundTripTime: 0.0123, localCandidateId: 'L', remoteCandidateId: 'R' },
    { id: 'L', type: 'local-candidate', candidateType: localType, protocol: 'udp', address: '192.0.2.1', port: 1 },
    { id: 'R', type: 'remote-candidate', candidateType: 'host', protocol: 'udp', address: '192.0.2.2', port: 2 },
    ...(transport ? [{ id: 'T', type: 'transport', selectedCandidatePairId: 'P' }] : []),
  ];
  return new Map(entries.map((entry) => [entry.id, entry]));
}

test('the numbers that matter', () => {
  const summary = new StatsSampler().sample(report());
  assert.deepEqual(summary.pictures, [{ width: 360, height: 640, fps: 15 }]);
  assert.equal(summary.codec, 'VP8');
  assert.equal(summary.roundTripMs, 12.3);
  assert.deepEqual([summary.framesDecoded, summary.framesDropped, summary.packetsLost], [7, 1, 2]);
  assert.equal(summary.pair?.relayed, false);
  assert.equal(summary.pair?.remote.address, '192.0.2.2');
});

test('the bitrate is of the time between two samples', () => {
  const sampler = new StatsSampler();
  assert.equal(sampler.sample(report({ bytes: 1000, at: 1000 })).bitsPerSecond, null);
  assert.equal(sampler.sample(report({ bytes: 2000, at: 3000 })).bitsPerSecond, 4000);
  assert.equal(sampler.sample(report({ bytes: 500, at: 4000 })).bitsPerSecond, null, 'a counter that went back is a new connection');
});

test('a report before the first track does not spoil the first bitrate', () => {
  const sampler = new StatsSampler();
  sampler.sample(new Map());
  assert.equal(sampler.sample(report({ bytes: 1000, at: 1000 })).bitsPerSecond, null);
});

test('a relay at one end is a relayed pair', () => {
  assert.equal(new StatsSampler().sample(report({ localType: 'relay' })).pair?.relayed, true);
});

test('browsers without a transport report have a nominated pair', () => {
  assert.equal(new StatsSampler().sample(report({ transport: false })).pair?.local.type, 'host');
});

test('an empty report is no error', () => {
  const summary = new StatsSampler().sample(new Map());
  assert.deepEqual([summary.pictures, summary.pair, summary.codec, summary.roundTripMs], [[], null, null, null]);
});
