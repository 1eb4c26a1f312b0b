/** An RTCPeerConnection that does what a test says. */

/** @param {string} fingerprint @param {number} [session] */
export const sdp = (fingerprint, session = 1) => `v=0\r\no=- ${session} 2 IN IP4 0.0.0.0\r\na=fingerprint:sha-256 ${fingerprint}\r\n`;

export class FakePeerConnection {
  connectionState = 'new';
  /** @type {any} */ remoteDescription = null;
  /** @type {any} */ localDescription = null;
  /** @type {any} */ onconnectionstatechange = null;
  /** @type {any} */ ondatachannel = null;
  /** @type {any} */ onicecandidate = null;
  /** @type {any} */ ontrack = null;
  /** @type {any[]} */
  candidates = [];
  /** @type {Map<string, any>} */
  channels = new Map();
  closed = false;

  /** @param {any} config */
  constructor(config) {
    this.config = config;
  }

  /** @param {string} label */
  createDataChannel(label) {
    const channel = { label, readyState: 'connecting', bufferedAmount: 0, sent: /** @type {string[]} */ ([]), send(/** @type {string} */ text) { this.sent.push(text); } };
    this.channels.set(label, channel);
    return channel;
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    if (description.sdp.includes('broken')) throw new Error('Failed to parse');
    this.remoteDescription = description;
  }

  async setLocalDescription() {
    this.localDescription = { type: 'answer', sdp: 'ours' };
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    if (!this.remoteDescription) throw new Error('There is no remote description');
    this.candidates.push(candidate);
  }

  getConfiguration() {
    return this.config;
  }

  /** @param {any} config */
  setConfiguration(config) {
    this.config = config;
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.closed = true;
  }

  /** @param {string} state */
  becomes(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /** @param {string} id a picture of this stream arrives */
  adds(id) {
    this.ontrack({ streams: [{ id }], track: { kind: 'video' } });
  }

  /** The device's control channel arrives. */
  opensControl() {
    const control = { label: 'device-control', readyState: 'open', onclose: /** @type {any} */ (null), onopen: null };
    this.ondatachannel({ channel: control });
    return control;
  }
}
