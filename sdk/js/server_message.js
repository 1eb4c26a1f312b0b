/** Reading what a server says, which need not be of the protocol. */

/**
 * @param {unknown} text
 * @returns {Record<string, any> | null} null if it is no JSON object
 */
export function parseObject(text) {
  if (typeof text !== 'string') return null;
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function isCount(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/**
 * @typedef {object} Config
 * @property {import('./signaling.js').IceServer[]} iceServers
 * @property {RTCIceTransportPolicy} iceTransportPolicy what the server asks its clients to use: relay, if no device is to learn
 *   their addresses. Other servers ask for nothing
 * @property {Record<string, any>} raw
 */

/**
 * @param {Record<string, any>} message
 * @returns {Config}
 */
export function readConfig(message) {
  return {
    iceServers: Array.isArray(message['ice_servers']) ? message['ice_servers'] : [],
    iceTransportPolicy: message['cuttlebone_ice_transport_policy'] === 'relay' ? 'relay' : 'all',
    raw: message,
  };
}
