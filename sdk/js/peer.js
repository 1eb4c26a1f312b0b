/**
 * One RTCPeerConnection to a device, negotiated by the convention of Cuttlefish: the client asks for an offer and
 * answers it. Both shapes of a candidate are read, and those that come before the offer wait for it, bounded.
 *
 * A peer is used once: it connects, then it is dead, once. What comes next is the session's to decide.
 */

import { Emitter } from './emitter.js';

/** The channels that a Cuttlefish client makes. No device has to answer on any. */
export const CLIENT_CHANNELS = [
  'camera-data-channel',
  'input-channel',
  'sensors-channel',
  'adb-channel',
  'bluetooth-channel',
  'location-channel',
  'kml-locations-channel',
  'gpx-locations-channel',
  'lights-channel',
];

/** The channel that the device makes. */
export const CONTROL_CHANNEL = 'device-control';

const MAX_EARLY_CANDIDATES = 256;

/** The streams of one peer in its life; of those that a device names beyond, nobody hears. */
const MAX_STREAMS = 32;

/** @typedef {'no_offer' | 'no_path' | 'bad_offer' | 'device_error' | 'path_lost' | 'device_left' | 'signaling_failed'} Death */

/** @typedef {{ id: string, stream: MediaStream, kind: string }} Stream */

/**
 * @typedef {object} PeerEvents
 * @property {{}} connected
 * @property {{ silent: boolean }} silence nothing comes from the device any more, or does again
 * @property {{ reason: Death, text: string | null }} dead
 * @property {{ text: string }} fault the device reports one, but the connection stands
 * @property {Stream} stream
 * @property {{ label: string, data: any }} channelMessage
 * @property {{}} controlOpen
 */

/**
 * @typedef {object} PeerTimes
 * @property {number} offerMs how long the device may take to make its offer
 * @property {number} connectMs how long it may then take to find a path
 * @property {number} disconnectedMs how long a path may be silent before it counts as lost
 */

/** @type {PeerTimes} */
export const PEER_TIMES = { offerMs: 15_000, connectMs: 20_000, disconnectedMs: 2_000 };

/** @extends {Emitter<PeerEvents>} */
export class Peer extends Emitter {
  #pc;
  #send;
  #times;
  /** @type {Map<string, RTCDataChannel>} */
  #channels = new Map();
  /** @type {RTCDataChannel | null} */
  #control = null;
  /** @type {RTCIceCandidateInit[]} */
  #early = [];
  /** @type {Map<string, Stream>} by kind and id */
  #streams = new Map();
  #work = Promise.resolve();
  /** @type {any} */
  #deadline = null;
  #state = /** @type {'new' | 'connected' | 'dead'} */ ('new');

  /**
   * @param {RTCPeerConnection} pc
   * @param {(payload: any) => void} send to the device, by the signaling
   * @param {Partial<PeerTimes>} [times]
   */
  constructor(pc, send, times) {
    super();
    this.#pc = pc;
    this.#send = send;
    this.#times = { ...PEER_TIMES, ...times };
    for (const label of CLIENT_CHANNELS) this.#channels.set(label, this.#watch(pc.createDataChannel(label)));
    pc.ondatachannel = ({ channel }) => this.#onChannel(channel);
    pc.ontrack = (event) => this.#onTrack(event);
    pc.onicecandidate = ({ candidate }) => this.#onLocalCandidate(candidate);
    pc.onconnectionstatechange = () => this.#onConnectionState();
  }

  get connected() {
    return this.#state === 'connected';
  }

  get dead() {
    return this.#state === 'dead';
  }

  /** Who is at the device's end; null before its offer. */
  get remoteEnd() {
    return endOf(this.#pc.remoteDescription?.sdp ?? '');
  }

  /** Its streams so far: one for each kind of track in them. */
  get streams() {
    return [...this.#streams.values()];
  }

  /** The device's control channel, once it is open. */
  get control() {
    return this.#control;
  }

  /** @param {string} label */
  channel(label) {
    return this.#channels.get(label) ?? null;
  }

  getStats() {
    return this.#pc.getStats();
  }

  /**
   * For candidates gathered from now on.
   *
   * @param {RTCIceServer[]} iceServers
   * @param {RTCIceTransportPolicy} iceTransportPolicy
   */
  setIce(iceServers, iceTransportPolicy) {
    if (!this.dead) this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers, iceTransportPolicy });
  }

  /**
   * Asks the device for an offer.
   *
   * @param {RTCIceServer[]} iceServers for the device's end
   */
  request(iceServers) {
    this.#expect(this.#times.offerMs, 'no_offer');
    this.#sendOrDie({ type: 'request-offer', ice_servers: iceServers });
  }

  /**
   * Takes a payload of the device. Payloads are worked on one after the other.
   *
   * @param {any} payload
   */
  onPayload(payload) {
    this.#work = this.#work.then(() => (this.dead ? undefined : this.#onPayload(payload)));
    return this.#work;
  }

  close() {
    this.#die(null, null);
  }

  /** @param {any} payload */
  async #onPayload(payload) {
    try {
      if (payload?.type === 'offer') await this.#onOffer(String(payload.sdp));
      else if (payload?.type === 'ice-candidate') await this.#onCandidate(payload);
      else if (payload?.type === 'error') this.#onDeviceError(String(payload.error));
    } catch (error) {
      if (!this.dead) this.#die('bad_offer', error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} sdp */
  async #onOffer(sdp) {
    await this.#pc.setRemoteDescription({ type: 'offer', sdp });
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#addCandidate(candidate);
    await this.#pc.setLocalDescription();
    if (this.dead) return;
    if (!this.connected) this.#expect(this.#times.connectMs, 'no_path');
    this.#sendOrDie({ type: 'answer', sdp: this.#pc.localDescription?.sdp });
  }

  /**
   * A connection that stands shows that the fault is of something else.
   *
   * @param {string} text
   */
  #onDeviceError(text) {
    if (this.connected) this.emit('fault', { text });
    else this.#die('device_error', text);
  }

  /** @param {any} payload */
  async #onCandidate(payload) {
    const candidate = readCandidate(payload);
    if (!candidate) return;
    if (this.#pc.remoteDescription) await this.#addCandidate(candidate);
    else if (this.#early.length < MAX_EARLY_CANDIDATES) this.#early.push(candidate);
  }

  /**
   * A candidate that the browser can't use is one way less, not the end.
   *
   * @param {RTCIceCandidateInit} candidate
   */
  async #addCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      console.debug('A candidate of the device was not taken', error);
    }
  }

  /** @param {RTCIceCandidate | null} candidate */
  #onLocalCandidate(candidate) {
    // Some browsers mark the end by an empty candidate, which devices can't read.
    if (!candidate?.candidate || this.dead) return;
    try {
      this.#send({ type: 'ice-candidate', candidate: candidate.toJSON() });
    } catch (error) {
      console.debug('A candidate could not be sent', error);
    }
  }

  #onConnectionState() {
    const state = this.#pc.connectionState;
    if (state === 'connected') this.#onConnected();
    else if (state === 'failed') this.#die(this.connected ? 'path_lost' : 'no_path', null);
    else if (state === 'closed') this.#die('device_left', null);
    else if (state === 'disconnected' && this.connected) this.#onSilence();
  }

  #onSilence() {
    this.#expect(this.#times.disconnectedMs, 'path_lost');
    this.emit('silence', { silent: true });
  }

  #onConnected() {
    clearTimeout(this.#deadline);
    if (this.connected) this.emit('silence', { silent: false });
    if (this.#state !== 'new') return;
    this.#state = 'connected';
    this.emit('connected', {});
  }

  /** @param {RTCDataChannel} channel */
  #onChannel(channel) {
    this.#watch(channel);
    if (channel.label !== CONTROL_CHANNEL) return;
    this.#control = channel;
    const opened = () => this.emit('controlOpen', {});
    channel.onclose = () => this.#die('device_left', null);
    if (channel.readyState === 'open') opened();
    else channel.onopen = opened;
  }

  /** @param {RTCDataChannel} channel */
  #watch(channel) {
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => this.emit('channelMessage', { label: channel.label, data });
    return channel;
  }

  /** @param {RTCTrackEvent} event */
  #onTrack({ streams, track }) {
    for (const stream of streams) {
      const [key, found] = [`${track.kind} ${stream.id}`, { id: stream.id, stream, kind: track.kind }];
      if (this.#streams.size >= MAX_STREAMS && !this.#streams.has(key)) continue;
      this.#streams.set(key, found);
      this.emit('stream', found);
    }
  }

  /**
   * @param {number} ms
   * @param {Death} otherwise
   */
  #expect(ms, otherwise) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#die(otherwise, null), ms);
  }

  /** @param {any} payload */
  #sendOrDie(payload) {
    try {
      this.#send(payload);
    } catch (error) {
      this.#die('signaling_failed', error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * @param {Death | null} reason null when this side ends it, and nobody need be told
   * @param {string | null} text
   */
  #die(reason, text) {
    if (this.dead) return;
    this.#state = 'dead';
    clearTimeout(this.#deadline);
    this.#pc.onconnectionstatechange = this.#pc.onicecandidate = this.#pc.ontrack = this.#pc.ondatachannel = null;
    if (this.#control) this.#control.onclose = null;
    this.#pc.close();
    if (reason) this.emit('dead', { reason, text });
  }
}

/**
 * A candidate as devices send it (flat) or as clients do (nested).
 *
 * @param {any} payload
 * @returns {RTCIceCandidateInit | null}
 */
export function readCandidate(payload) {
  if (payload?.candidate !== null && typeof payload?.candidate === 'object') return payload.candidate;
  if (typeof payload?.candidate !== 'string') return null;
  const { candidate, mid, mLineIndex, sdpMid, sdpMLineIndex } = payload;
  return { candidate, sdpMid: mid ?? sdpMid ?? null, sdpMLineIndex: mLineIndex ?? sdpMLineIndex ?? null };
}

/**
 * Who made a description: its first certificate fingerprint, and the session id of its origin, which stays the same
 * for the life of a peer connection (RFC 8829, 5.2.2). A device may use one certificate for all of its own.
 *
 * @param {string} sdp
 * @returns {string | null}
 */
export function endOf(sdp) {
  const fingerprint = /^a=fingerprint:\S+ +(\S+)/m.exec(sdp)?.[1]?.toUpperCase();
  const session = /^o=\S+ +(\d+) /m.exec(sdp)?.[1];
  return fingerprint ? `${fingerprint} ${session ?? ''}` : null;
}
