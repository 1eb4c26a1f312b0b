/** Just enough of TURN (RFC 8656) over UDP to see what a relay allows: an allocation, and permissions for peers. */

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const MAGIC = Buffer.from([0x21, 0x12, 0xa4, 0x42]);
const ALLOCATE = 0x0003;
const CREATE_PERMISSION = 0x0008;
const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const XOR_PEER_ADDRESS = 0x0012;
const REALM = 0x0014;
const NONCE = 0x0015;
const REQUESTED_ADDRESS_FAMILY = 0x0017;
const REQUESTED_TRANSPORT = 0x0019;
const UDP = Buffer.from([17, 0, 0, 0]);
const IPV6 = Buffer.from([2, 0, 0, 0]);
const TRY_AFTER_MS = 500;
const TRIES = 10;

/** @typedef {{ username: string, credential: string }} Login */

/** The code of a success. */
export const ALLOWED = 0;

/**
 * The password of a user name, as the REST scheme has it.
 *
 * @param {string} secret
 * @param {string} username
 */
export function credentialOf(secret, username) {
  return createHmac('sha1', secret).update(username).digest('base64');
}

/** One client of a relay, with one socket. */
export class TurnClient {
  #socket = createSocket('udp4');
  #port;
  #login;
  #isIpv6;
  /** @type {Map<number, Buffer>} */
  #challenge = new Map();

  /**
   * @param {number} port of a relay on this machine
   * @param {Login} login
   * @param {boolean} [isIpv6] whether peers have addresses of IPv6
   */
  constructor(port, login, isIpv6 = false) {
    this.#port = port;
    this.#login = login;
    this.#isIpv6 = isIpv6;
  }

  /**
   * Asks for an allocation.
   *
   * @returns {Promise<number>} `ALLOWED`, or the code of the error
   */
  async allocate() {
    /** @type {[number, Buffer][]} */
    const wanted = [[REQUESTED_TRANSPORT, UDP]];
    if (this.#isIpv6) wanted.push([REQUESTED_ADDRESS_FAMILY, IPV6]);
    const refused = await this.#ask(ALLOCATE, wanted);
    this.#challenge = refused.attributes;
    return (await this.#ask(ALLOCATE, wanted)).code;
  }

  /**
   * Asks for permission to exchange packets with a peer. Nothing is sent to the peer.
   *
   * @param {string} address
   * @returns {Promise<number>} `ALLOWED`, or the code of the error
   */
  async permit(address) {
    const id = randomBytes(12);
    const bytes = bytesOf(address);
    const mask = Buffer.concat([MAGIC, id]);
// A permission is for any port.
    const head = Buffer.from([0, bytes.length === 4 ? 1 : 2, 0, 0]);
    const value = Buffer.concat([head, bytes.map((byte, at) => byte ^ (mask[at] ?? 0))]);
    return (await this.#ask(CREATE_PERMISSION, [[XOR_PEER_ADDRESS, value]], id)).code;
  }

  close() {
    this.#socket.close();
  }

  /**
   * @param {number} method
   * @param {[number, Buffer][]} attributes
   */
  async #ask(method, attributes, id = randomBytes(12)) {
    const message = this.#message(method, id, attributes);
    for (let n = 0; n < TRIES; n += 1) {
      this.#socket.send(message, this.#port, '127.0.0.1');
      const answer = await this.#answer(id);
      if (answer) return answer;
    }
    throw new Error('The relay does not answer');
  }

  /**
   * @param {number} method
   * @param {Buffer} id
   * @param {[number, Buffer][]} attributes
   */
  #message(method, id, attributes) {
    const [realm, nonce] = [this.#challenge.get(REALM), this.#challenge.get(NONCE)];
    if (!realm || !nonce) return assemble(method, id, attributes, 0);
    const all = /** @type {[number, Buffer][]} */ ([...attributes, [USERNAME, Buffer.from(this.#login.username)], [REALM, realm], [NONCE, nonce]]);
    const key = createHash('md5').update(`${this.#login.username}:${realm}:${this.#login.credential}`).digest();
    // What is signed says already how long the message is with the signature.
    const signed = assemble(method, id, all, 24);
    const signature = createHmac('sha1', key).update(signed).digest();
    return Buffer.concat([signed, attribute(MESSAGE_INTEGRITY, signature)]);
  }

  /**
   * @param {Buffer} id
   * @returns {Promise<{ code: number, attributes: Map<number, Buffer> } | null>} null if none comes in time
   */
  async #answer(id) {
    const end = AbortSignal.timeout(TRY_AFTER_MS);
    try {
      for (;;) {
        const [packet] = await once(this.#socket, 'message', { signal: end });
        if (packet.length >= 20 && packet.subarray(8, 20).equals(id)) return read(packet);
      }
    } catch {
      return null;
    }
  }
}

/**
 * Of an address of either family. One of IPv6 may have one `::`.
 *
 * @param {string} address
 */
function bytesOf(address) {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [before = [], after = []] = address.split('::').map((half) => half.split(':').filter(Boolean));
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/**
 * @param {number} method
 * @param {Buffer} id
 * @param {[number, Buffer][]} attributes
 * @param {number} more bytes that follow
 */
function assemble(method, id, attributes, more) {
  const body = Buffer.concat(attributes.map(([type, value]) => attribute(type, value)));
  const head = Buffer.alloc(8);
  head.writeUInt16BE(method, 0);
  head.writeUInt16BE(body.length + more, 2);
  MAGIC.copy(head, 4);
  return Buffer.concat([head, id, body]);
}

/**
 * @param {number} type
 * @param {Buffer} value
 */
function attribute(type, value) {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

/** @param {Buffer} packet */
function read(packet) {
  /** @type {Map<number, Buffer>} */
  const attributes = new Map();
  for (let at = 20; at + 4 <= packet.length; ) {
    const length = packet.readUInt16BE(at + 2);
    attributes.set(packet.readUInt16BE(at), packet.subarray(at + 4, at + 4 + length));
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  const error = attributes.get(ERROR_CODE);
  return { code: error ? error.readUInt8(2) * 100 + error.readUInt8(3) : ALLOWED, attributes };
}
