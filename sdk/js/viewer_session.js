/**
 * Watching one device: keeps a peer connection alive over one signaling client, and says in one word how it stands.
 *
 * 1. The picture is kept as long as it lives. Without signaling it goes on, also when the server has ended the session
 *    for good; and while the session can be resumed, so does a negotiation. When signaling is back, a session that was
 *    resumed goes on where it was, and is negotiated again only if that is needed. In a new session this side is a new
 *    client for the device, which will drop the old one, so a new peer connection is made beside the old.
 * 2. The old peer is closed when the new one is connected, so that the picture does not go black in between.
 * 3. At most two peers exist: `#peer` shows, `#next` is being made. What the device says goes to the newest. What a peer
 *    of an earlier session has to say is not sent: from the new client it is nonsense, and can crash the device.
 * 4. A peer that stood for a while is followed at once by another when it is lost. One that did not, or never connected,
 *    is followed after a growing delay.
 */

import { Backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { InputSender } from './input.js';
import { Peer, endOf } from './peer.js';
import { StatsSampler } from './stats.js';

/** @typedef {import('./signaling.js').SignalingClient} SignalingClient */
/** @typedef {import('./signaling.js').IceServer} IceServer */

/** @typedef {{ text: string | null, code: string, closeCode?: number | null }} Problem */

/**
 * @typedef {object} State
 * @property {'idle' | 'connecting' | 'waiting' | 'negotiating' | 'connected' | 'lost' | 'retrying' | 'failed' | 'closed'} name
 *   lost: no signaling, no picture; retrying: signaling, but the last try for a picture came to nothing
 * @property {'ok' | 'waiting' | 'away' | 'lost' | 'closed'} signaling waiting: the server is there, the device is not;
 *   away: the connection broke, and the session is being resumed; closed: it is not tried again
 * @property {boolean} interrupted connected, but nothing comes from the device at the moment
 * @property {boolean | null} relayed once connected and known
 * @property {number | null} retryAt `Date.now()` of the next try
 * @property {Problem | null} problem the last thing that went wrong, until it is right again
 */

/**
 * @typedef {object} ViewerEvents
 * @property {State} state
 * @property {{ deviceInfo: any }} deviceInfo
 * @property {import('./peer.js').Stream} stream of the peer that is connected, 32 at most; a new one of the same id replaces
 *   the old
 * @property {{ streams: ReadonlySet<string> }} picture a peer is connected, and has these streams, which follow; more may follow
 *   later, all others are gone
 * @property {{ label: string, data: any }} channelMessage
 * @property {{}} controlOpen
 * @property {Problem} problem
 */

/**
 * @typedef {object} ViewerOptions
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [newPeerConnection]
 * @property {RTCIceTransportPolicy} [iceTransportPolicy] relay: the device does not learn where this browser is. What the server
 *   asks for, if not given
 * @property {Partial<import('./peer.js').PeerTimes>} [times]
 * @property {Backoff} [backoff] between tries for a picture
 */

/** How long a peer has to be connected until its loss is answered by a try without delay. */
const STEADY_MS = 1000;

/** So many peers are made because a device offers, and in so long. One that goes on and on would use up all that a browser has. */
const OFFERED = { most: 10, withinMs: 10_000 };

/** @extends {Emitter<ViewerEvents>} */
export class ViewerSession extends Emitter {
  #signaling;
  #newPeerConnection;
  /** What was chosen here, which the server does not change. */
  #ownPolicy;
  /** @type {RTCIceTransportPolicy} */
  #serverPolicy = 'all';
  #times;
  #backoff;

  /** @type {'idle' | 'connecting' | 'waiting' | 'ready' | 'away' | 'lost' | 'closed'} */
  #link = 'idle';
  /** @type {IceServer[]} */
  #iceServers = [];
  /** @type {Peer | null} */
  #peer = null;
  /** @type {Peer | null} */
  #next = null;
  /** Which signaling session this is; peers of an earlier one are strangers to the device. */
  #session = 0;
  /** The session of `#peer`; `#next` is always of the present one. */
  #peerSession = 0;
  #sampler = new StatsSampler();
  /** @type {boolean | null} */
  #relayed = null;
  #interrupted = false;
  /** Whether `#peer` has been connected for a while. */
  #steady = false;
  /** @type {any} */
  #steadyTimer = null;
  /** Whether a picture has to be asked for as soon as there is signaling. */
  #due = false;
  /** @type {number | null} */
  #retryAt = null;
  /** @type {any} */
  #retryTimer = null;
  /** @type {Problem | null} */
  #problem = null;
  /** @type {number[]} when peers were made because of offers, lately */
  #offeredAt = [];

  /**
   * @param {SignalingClient} signaling not started yet
   * @param {ViewerOptions} [options]
   */
  constructor(signaling, options = {}) {
    super();
    this.#signaling = signaling;
    this.#newPeerConnection = options.newPeerConnection ?? ((config) => new RTCPeerConnection(config));
    this.#ownPolicy = options.iceTransportPolicy;
    this.#times = options.times;
    this.#backoff = options.backoff ?? new Backoff({ minMs: 1000, maxMs: 30_000 });
    this.input = new InputSender(() => this.#peer?.channel('input-channel') ?? null);
    this.#listen(signaling);
  }

  start() {
    if (this.#link === 'closed') this.#problem = null;
    this.#signaling.start();
  }

  /** Does not wait for the end of the delay, if there is one. After a failure, starts anew. */
  retryNow() {
    if (this.#link === 'closed') this.start();
    else if (this.#link === 'lost' || this.#link === 'away') this.#signaling.retryNow();
    else if (this.#link === 'ready' && this.#retryAt !== null) this.#negotiate();
  }

  /** Ends the session, and the picture. */
  close() {
    this.#dropPeers();
    this.#signaling.close();
    this.#announce();
  }

  /** @returns {State} */
  get state() {
    return {
      name: this.#stateName(),
      signaling: this.#signalingState(),
      interrupted: this.#interrupted,
      relayed: this.#peer?.connected ? this.#relayed : null,
      retryAt: this.#retryAt,
      problem: this.#problem,
    };
  }

  /** @returns {Promise<import('./stats.js').Summary | null>} null while nothing is connected */
  async stats() {
    const peer = this.#peer;
    if (!peer?.connected) return null;
    const summary = this.#sampler.sample(/** @type {any} */ (await peer.getStats()));
    if (summary.pair && peer === this.#peer && summary.pair.relayed !== this.#relayed) {
      this.#relayed = summary.pair.relayed;
      this.#announce();
    }
    return summary;
  }

  /**
   * Sends a command on the device's control channel.
   *
   * @param {object} command
   * @returns {boolean} whether it was sent
   */
  sendControl(command) {
    const control = this.#peer?.control;
    if (control?.readyState !== 'open') return false;
    control.send(JSON.stringify(command));
    return true;
  }

  /** @returns {State['name']} */
  #stateName() {
    if (this.#peer?.connected) return 'connected';
    switch (this.#link) {
      case 'ready':
        return this.#retryAt === null ? 'negotiating' : 'retrying';
      case 'away':
        return this.#next ? 'negotiating' : 'lost';
      case 'closed':
        return this.#problem ? 'failed' : 'closed';
      default:
        return this.#link;
    }
  }

  /** @returns {State['signaling']} */
  #signalingState() {
    switch (this.#link) {
      case 'ready':
        return 'ok';
      case 'waiting':
      case 'away':
      case 'closed':
        return this.#link;
      default:
        return 'lost';
    }
  }

  /** @param {SignalingClient} signaling */
  #listen(signaling) {
    signaling.on('connecting', ({ resuming }) => this.#onLink(resuming ? 'away' : 'connecting'));
    signaling.on('config', (config) => this.#onConfig(config));
    signaling.on('deviceInfo', ({ deviceInfo }) => this.#onDeviceInfo(deviceInfo));
    signaling.on('resumed', ({ maybeLost }) => this.#onResumed(maybeLost));
    signaling.on('message', ({ payload }) => this.#onPayload(payload));
    signaling.on('error', ({ text, code }) => this.#onProblem({ text, code: code ?? 'server_error' }));
    signaling.on('lost', ({ error, closeCode, retryInMs, resuming }) => {
      // As long as the picture or its negotiation goes on, a session that is being resumed is no trouble.
      const calm = resuming && (this.#peer || this.#next);
      if (!error && !calm) this.#onProblem({ text: null, code: 'signaling_lost', closeCode });
      this.#onLink(resuming ? 'away' : 'lost', retryInMs);
    });
    signaling.on('closed', ({ error, closeCode }) => {
      if (!error && closeCode !== 1000) this.#onProblem({ text: null, code: 'signaling_closed', closeCode });
      this.#onLink('closed');
    });
  }

  /**
   * @param {'connecting' | 'waiting' | 'away' | 'lost' | 'closed'} link
   * @param {number | null} [retryInMs]
   */
  #onLink(link, retryInMs = null) {
    clearTimeout(this.#retryTimer);
    this.#link = link;
    this.#retryAt = retryInMs === null ? null : Date.now() + retryInMs;
    if (link !== 'waiting' && link !== 'away') {
      this.#session += 1;
      this.#dropNext();
    }
    this.#announce();
  }

  get #policy() {
    return this.#ownPolicy ?? this.#serverPolicy;
  }

  /** @param {import('./server_message.js').Config} config */
  #onConfig({ iceServers, iceTransportPolicy }) {
    this.#iceServers = iceServers;
    this.#serverPolicy = iceTransportPolicy;
    this.#peer?.setIce(iceServers, this.#policy);
    this.#next?.setIce(iceServers, this.#policy);
    // The server has let it in again.
    if (this.#problem?.code === 'credential_expired') this.#problem = null;
    if (this.#link === 'connecting') this.#onLink('waiting');
  }

  /** @param {any} deviceInfo */
  #onDeviceInfo(deviceInfo) {
    this.#link = 'ready';
    this.#backoff.reset();
    this.emit('deviceInfo', { deviceInfo });
    this.#negotiate();
  }

  /** @param {boolean} maybeLost */
  #onResumed(maybeLost) {
    this.#link = 'ready';
    this.#retryAt = null;
    if (this.#peer || this.#problem?.code === 'signaling_lost') this.#problem = null;
    if (this.#due || (this.#next && maybeLost)) this.#negotiate();
    else this.#announce();
  }

  #negotiate() {
    this.#due = false;
    this.#retryAt = null;
    clearTimeout(this.#retryTimer);
    const peer = this.#newPeer();
    this.#announce();
    peer.request(this.#iceServers);
  }

  /** Makes the peer that is to follow the present one. */
  #newPeer() {
    this.#dropNext();
    const pc = this.#newPeerConnection({ iceServers: this.#iceServers, iceTransportPolicy: this.#policy });
    const session = this.#session;
    const peer = new Peer(pc, (payload) => session === this.#session && this.#signaling.send(payload), this.#times);
    peer.on('connected', () => this.#onConnected(peer));
    peer.on('dead', ({ reason, text }) => this.#onDead(peer, { code: reason, text }));
    peer.on('fault', ({ text }) => this.emit('problem', { code: 'device_error', text }));
    peer.on('silence', ({ silent }) => peer === this.#peer && this.#onSilence(silent));
    // Those of one that is never connected are nothing to show.
    peer.on('stream', (stream) => peer === this.#peer && this.emit('stream', stream));
    peer.on('channelMessage', (message) => this.emit('channelMessage', message));
    peer.on('controlOpen', () => this.emit('controlOpen', {}));
    this.#next = peer;
    return peer;
  }

  /** @param {Peer} peer */
  #onConnected(peer) {
    if (peer === this.#next) this.#show(peer);
    this.#problem = null;
    this.#announce();
    this.stats().catch(() => {});
  }

  /** @param {Peer} peer that is connected, and takes the place of the one before */
  #show(peer) {
    this.#dropPeer();
    this.#peer = peer;
    this.#peerSession = this.#session;
    this.#next = null;
    this.#sampler = new StatsSampler();
    this.#relayed = null;
    this.emit('picture', { streams: new Set(peer.streams.map(({ id }) => id)) });
    for (const stream of peer.streams) this.emit('stream', stream);
    this.#steadyTimer = setTimeout(() => {
      this.#steady = true;
      this.#backoff.reset();
    }, STEADY_MS);
  }

  /** @param {boolean} silent */
  #onSilence(silent) {
    this.#interrupted = silent;
    this.#announce();
  }

  /**
   * @param {Peer} peer
   * @param {Problem} problem
   */
  #onDead(peer, problem) {
    // Once the session is over, that is what has gone wrong.
    if (this.#link !== 'closed') this.#onProblem(problem);
    if (peer === this.#next) {
      this.#next = null;
      this.#due = true;
      this.#retryLater(problem);
    } else if (peer === this.#peer) {
      const steady = this.#steady;
      this.#dropPeer();
      this.#due = !this.#next;
      if (this.#due && !steady) this.#retryLater(problem);
      else if (this.#due && this.#link === 'ready') this.#negotiate();
    }
    this.#announce();
  }

  /** @param {Problem} problem */
  #retryLater({ code }) {
    if (this.#link !== 'ready') return;
    const delay = this.#backoff.next();
    this.#retryAt = Date.now() + delay;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      // No answer at all: it may be the connection to the server that is dead.
      if (code === 'no_offer') this.#signaling.renew();
      this.#negotiate();
    }, delay);
  }

  /** @param {any} payload */
  #onPayload(payload) {
    const isOffer = payload?.type === 'offer' && typeof payload.sdp === 'string';
    const peer = isOffer ? this.#peerForOffer(payload.sdp) : (this.#next ?? this.#peer);
    peer?.onPayload(payload);
  }

  /**
   * An offer of a device that started again, or that answers an earlier request late, comes from another end than
   * the one the peer knows, and needs a peer of its own. Beyond a rate there is none.
   *
   * @param {string} sdp
   */
  #peerForOffer(sdp) {
    const from = endOf(sdp);
    const peers = this.#peerSession === this.#session ? [this.#next, this.#peer] : [this.#next];
    const known = peers.find((peer) => peer && peer.remoteEnd === from);
    if (known) return known;
    if (this.#next && !this.#next.remoteEnd) return this.#next;
    const now = Date.now();
    this.#offeredAt = this.#offeredAt.filter((at) => now - at < OFFERED.withinMs);
    if (this.#offeredAt.length >= OFFERED.most) return null;
    this.#offeredAt.push(now);
    return this.#newPeer();
  }

  /** @param {Problem} problem */
  #onProblem(problem) {
    this.#problem = problem;
    this.emit('problem', problem);
  }

  #dropNext() {
    this.#next?.close();
    this.#next = null;
  }

  #dropPeer() {
    clearTimeout(this.#steadyTimer);
    this.#peer?.close();
    this.#peer = null;
    this.#steady = false;
    this.#interrupted = false;
  }

  #dropPeers() {
    clearTimeout(this.#retryTimer);
    this.#retryAt = null;
    this.#dropNext();
    this.#dropPeer();
  }

  #announce() {
    this.emit('state', this.state);
  }
}
