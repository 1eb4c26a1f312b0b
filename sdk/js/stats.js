/** Turns the reports of `RTCPeerConnection.getStats` into the few numbers that tell how a session is doing. */

/**
 * @typedef {object} Summary
 * @property {{ width: number, height: number, fps: number }[]} pictures one a video track
 * @property {number} framesDecoded since the start, of all tracks
 * @property {number} framesDropped
 * @property {number} packetsLost
 * @property {number | null} bitsPerSecond received; null in the first sample
 * @property {number | null} roundTripMs of the pair in use
 * @property {string | null} codec
 * @property {CandidatePair | null} pair in use
 */

/**
 * @typedef {object} CandidatePair
 * @property {boolean} relayed whether a TURN server is in between
 * @property {Candidate} local
 * @property {Candidate} remote
 */

/** @typedef {{ type: string, protocol: string, address: string, port: number, relayProtocol: string | null }} Candidate */

/** @typedef {Iterable<[string, any]> & { get(id: string): any }} Report a `RTCStatsReport`, or a Map in tests */

export class StatsSampler {
  /** @type {{ bytes: number, at: number } | null} */
  #last = null;

  /**
   * @param {Report} report
   * @returns {Summary}
   */
  sample(report) {
    const entries = [...report].map(([, entry]) => entry);
    const videos = entries.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
    const pair = selectedPair(report, entries);
    return {
      pictures: videos.filter(({ frameWidth }) => frameWidth).map(picture),
      framesDecoded: total(videos, 'framesDecoded'),
      framesDropped: total(videos, 'framesDropped'),
      packetsLost: total(videos, 'packetsLost'),
      bitsPerSecond: this.#bitrate(entries.filter(({ type }) => type === 'inbound-rtp')),
      roundTripMs: typeof pair?.currentRoundTripTime === 'number' ? pair.currentRoundTripTime * 1000 : null,
      codec: codecName(report, videos[0]?.codecId),
      pair: pair ? describePair(report, pair) : null,
    };
  }

  /** @param {any[]} inbound */
  #bitrate(inbound) {
    if (inbound.length === 0) return null;
    const now = { bytes: total(inbound, 'bytesReceived'), at: Math.max(0, ...inbound.map(({ timestamp }) => timestamp)) };
    const last = this.#last;
    this.#last = now;
    if (!last || now.at <= last.at || now.bytes < last.bytes) return null;
    return ((now.bytes - last.bytes) * 8000) / (now.at - last.at);
  }
}

/**
 * The candidate pair in use. Not every browser names it in the transport.
 *
 * @param {Report} report
 * @param {any[]} entries
 */
function selectedPair(report, entries) {
  const named = entries.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  if (named) return report.get(named.selectedCandidatePairId) ?? null;
  const isPair = (/** @type {any} */ entry) => entry.type === 'candidate-pair' && entry.state === 'succeeded';
  return entries.find((entry) => isPair(entry) && (entry.nominated || entry.selected)) ?? null;
}

/**
 * @param {Report} report
 * @param {any} pair
 * @returns {CandidatePair}
 */
function describePair(report, pair) {
  const local = describeCandidate(report.get(pair.localCandidateId));
  const remote = describeCandidate(report.get(pair.remoteCandidateId));
  return { local, remote, relayed: local.type === 'relay' || remote.type === 'relay' };
}

/**
 * @param {any} candidate
 * @returns {Candidate}
 */
function describeCandidate(candidate) {
  return {
    type: candidate?.candidateType ?? 'unknown',
    protocol: candidate?.protocol ?? 'unknown',
    address: candidate?.address ?? '',
    port: candidate?.port ?? 0,
    relayProtocol: candidate?.relayProtocol ?? null,
  };
}

/** @param {any} video */
function picture(video) {
  return { width: video.frameWidth, height: video.frameHeight, fps: video.framesPerSecond ?? 0 };
}

/**
 * @param {Report} report
 * @param {string | undefined} codecId
 */
function codecName(report, codecId) {
  const mimeType = codecId === undefined ? null : report.get(codecId)?.mimeType;
  return typeof mimeType === 'string' ? mimeType.replace(/^video\//, '') : null;
}

/**
 * @param {any[]} entries
 * @param {string} field
 */
function total(entries, field) {
  return entries.reduce((sum, entry) => sum + (entry[field] ?? 0), 0);
}
