/** A device that is nothing but a WebSocket: it registers, notes what it is sent, and says what a test wants. */

import { once } from 'node:events';

import { WebSocket } from 'ws';

export class RawDevice {
  #socket;
  /** @type {any[]} */
  messages = [];
  /** @type {(payload: any) => void} called with each payload of a client */
  onPayload = () => {};

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const message = JSON.parse(String(data));
      this.messages.push(message);
      if (message.message_type === 'client_msg') this.onPayload(message.payload);
    });
  }

  /**
   * @param {import('./processes.js').Server} server
   * @param {string} deviceId
   * @param {any} [deviceInfo]
   */
  static async register(server, deviceId, deviceInfo = {}) {
    const socket = new WebSocket(`${server.socketUrl}/register_device`);
    const device = new RawDevice(socket);
    await once(socket, 'open');
    const answer = once(socket, 'message');
    socket.send(JSON.stringify({ message_type: 'register', device_id: deviceId, device_info: deviceInfo }));
    await answer;
    if (device.messages[0]?.message_type !== 'config') throw new Error(JSON.stringify(device.messages[0]));
    return device;
  }

  /** The payloads that clients sent. */
  get payloads() {
    return this.messages.filter(({ message_type }) => message_type === 'client_msg').map(({ payload }) => payload);
  }

  /** Every client that it was told of, whatever about. */
  get clients() {
    return new Set(this.messages.flatMap(({ client_id }) => client_id ?? []));
  }

  /** The client that sent last. */
  get lastClient() {
    return this.messages.findLast(({ message_type }) => message_type === 'client_msg')?.client_id;
  }

  /** @param {any} payload to the client that sent last */
  answer(payload) {
    this.#socket.send(JSON.stringify({ message_type: 'forward', client_id: this.lastClient, payload }));
  }

  /** @param {() => void} then */
  onClose(then) {
    this.#socket.on('close', then);
  }

  async close() {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.#socket.close(1000);
    await once(this.#socket, 'close');
  }
}
