/**
 * Sockets of a session that were given up without a close. A close that the server reads while one of them carries the
 * session would end it, and the device would drop this client.
 *
 * 1. One that carried the session is closed when another carries it. The server has let go of it by then.
 * 2. One that asked for the session and was not answered may still get it: it is closed with the session, not before.
 *    The server cuts it off itself when another gets the session after it.
 */

/** More than that many have failed for longer than any server holds a session. */
const MAX_KEPT = 8;

export class AbandonedSockets {
  /** @type {Map<WebSocket, boolean>} to whether it carried the session; in the order they were given up */
  #sockets = new Map();

  /**
   * @param {WebSocket} socket an open one, that nobody listens to any more
   * @param {boolean} carried whether it carried the session
   */
  add(socket, carried) {
    socket.onclose = () => this.#sockets.delete(socket);
    this.#sockets.set(socket, carried);
    const [oldest] = this.#sockets.keys();
    if (oldest && this.#sockets.size > MAX_KEPT) this.#close(oldest);
  }

  /** Another socket carries the session. */
  closeFormer() {
    for (const [socket, carried] of this.#sockets) if (carried) this.#close(socket);
  }

  /** The session is over. */
  closeAll() {
    for (const socket of this.#sockets.keys()) this.#close(socket);
  }

  /** @param {WebSocket} socket */
  #close(socket) {
    socket.onclose = null;
    this.#sockets.delete(socket);
    socket.close(1000);
  }
}
