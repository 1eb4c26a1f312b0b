/**
 * What a viewer does, as messages on `input-channel`. All numbers are integers, `down` is 1 or 0, and every message
 * is a text frame: devices in the field take nothing else.
 */

/** Above this much unsent input, movements are left out. Presses and releases never are. */
const MAX_BUFFERED = 65_536;

/** @typedef {Pick<RTCDataChannel, 'readyState' | 'bufferedAmount'> & { send(text: string): void }} InputChannel */

export class InputSender {
  #channel;

  /** @param {() => InputChannel | null} channel gives the channel to use now */
  constructor(channel) {
    this.#channel = channel;
  }

  /**
   * Fingers, or a mouse that stands for one.
   *
   * @param {string} display stream id, as `display_0`
   * @param {{ id: number, x: number, y: number }[]} pointers in pixels of the picture, from the top left
   * @param {boolean} down
   * @param {{ moving?: boolean }} [options] moving: may be left out when input is not keeping up
   */
  touch(display, pointers, down, { moving = false } = {}) {
    const message = {
      type: 'multi-touch',
      id: pointers.map(({ id }) => Math.trunc(id)),
      x: pointers.map(({ x }) => Math.trunc(x)),
      y: pointers.map(({ y }) => Math.trunc(y)),
      down: down ? 1 : 0,
      device_label: display,
    };
    return this.#send(message, moving);
  }

  /**
   * @param {string} code `KeyboardEvent.code`
   * @param {boolean} down
   */
  key(code, down) {
    return this.#send({ type: 'keyboard', keycode: code, event_type: down ? 'keydown' : 'keyup' });
  }

  /** @param {number} pixels the wheel over the picture */
  wheel(pixels) {
    return this.#send({ type: 'wheel', pixels: Math.trunc(pixels) }, true);
  }

  /**
   * A captured mouse moved by so much.
   *
   * @param {number} x
   * @param {number} y
   */
  mouseMove(x, y) {
    return this.#send({ type: 'mouseMove', x: Math.trunc(x), y: Math.trunc(y) }, true);
  }

  /**
   * @param {number} button 0 left, 1 middle, 2 right
   * @param {boolean} down
   */
  mouseButton(button, down) {
    return this.#send({ type: 'mouseButton', button: Math.trunc(button), down: down ? 1 : 0 });
  }

  /** @param {number} pixels the wheel of a captured mouse */
  mouseWheel(pixels) {
    return this.#send({ type: 'mouseWheel', pixels: Math.trunc(pixels) }, true);
  }

  /**
   * @param {object} message
   * @param {boolean} [droppable]
   * @returns {boolean} whether it was sent
   */
  #send(message, droppable = false) {
    const channel = this.#channel();
    if (channel?.readyState !== 'open') return false;
    if (droppable && channel.bufferedAmount > MAX_BUFFERED) return false;
    channel.send(JSON.stringify(message));
    return true;
  }
}

/**
 * Where a point of the page is in a picture that fills its element as `object-fit: contain` does.
 * Points beside the picture are moved to its edge.
 *
 * @param {{ left: number, top: number, width: number, height: number }} box of the element
 * @param {{ width: number, height: number }} picture in its own pixels
 * @param {{ clientX: number, clientY: number }} point
 * @returns {{ x: number, y: number, inside: boolean } | null} null while there is no picture
 */
export function toPicture(box, picture, { clientX, clientY }) {
  if (!picture.width || !picture.height || !box.width || !box.height) return null;
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const x = (clientX - box.left - (box.width - picture.width * scale) / 2) / scale;
  const y = (clientY - box.top - (box.height - picture.height * scale) / 2) / scale;
  const inside = x >= 0 && y >= 0 && x < picture.width && y < picture.height;
  return { x: clamp(x, picture.width - 1), y: clamp(y, picture.height - 1), inside };
}

/**
 * @param {number} value
 * @param {number} max
 */
function clamp(value, max) {
  return Math.trunc(Math.min(Math.max(value, 0), max));
}
