/**
 * One display of a device: its picture, and what a viewer does on it.
 *
 * 1. A new stream takes the place of the old one when its first frame is there, so that nothing goes black.
 * 2. What went down comes up: pointers, keys and buttons that are held are released when the screen loses them.
 * 3. Keys go to the device while the screen has the focus, all but Tab, which leaves it.
 */

import { toPicture } from './js/input.js';
import { make } from './dom.js';

/** @typedef {import('./js/input.js').InputSender} InputSender */

export class Screen {
  #id;
  #input;
  #onPicture;
  /** @type {HTMLVideoElement | null} */
  #video = null;
  /** @type {HTMLVideoElement | null} */
  #coming = null;
  /** @type {Map<number, { x: number, y: number }>} pointers that are down, and where */
  #pointers = new Map();
  /** @type {Set<string>} */
  #keys = new Set();
  /** @type {Set<number>} buttons of a captured mouse that are down */
  #buttons = new Set();
  #gone = new AbortController();

  /**
   * @param {string} id stream id of the display
   * @param {InputSender} input
   * @param {() => void} onPicture called when there is a picture for the first time
   */
  constructor(id, input, onPicture) {
    this.#id = id;
    this.#input = input;
    this.#onPicture = onPicture;
    this.element = make('div', 'screen');
    this.element.tabIndex = 0;
    this.element.setAttribute('role', 'application');
    this.element.setAttribute('aria-label', `Screen ${id} of the device. Keys go to the device, Tab leaves.`);
    this.#listenToPointers();
    this.#listenToKeys();
  }

  get hasPicture() {
    return this.#video !== null;
  }

  /** Whether there is a picture, or will be. */
  get hasStream() {
    return this.#video !== null || this.#coming !== null;
  }

  /** Takes it off the page. */
  remove() {
    this.#releaseAll();
    this.#gone.abort();
    this.element.remove();
  }

  /** @param {MediaStream} stream */
  show(stream) {
    this.#coming?.remove();
    const video = make('video');
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    video.disablePictureInPicture = true;
    video.srcObject = stream;
    video.addEventListener('loadeddata', () => this.#onFirstFrame(video), { once: true });
    video.addEventListener('resize', () => this.shape(video.videoWidth, video.videoHeight));
    this.#coming = video;
    this.element.append(video);
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  shape(width, height) {
    if (!(width > 0 && height > 0)) return;
    this.element.style.setProperty('--width', String(width));
    this.element.style.setProperty('--height', String(height));
  }

  /** Takes the mouse, for devices that have one. */
  captureMouse() {
    this.element.focus();
    return this.element.requestPointerLock();
  }

  /** @param {HTMLVideoElement} video */
  #onFirstFrame(video) {
    if (video !== this.#coming) return;
    this.shape(video.videoWidth, video.videoHeight);
    video.classList.add('showing');
    this.#video?.remove();
    this.#video = video;
    this.#coming = null;
    this.#onPicture();
  }

  get #captured() {
    return document.pointerLockElement === this.element;
  }

  #listenToPointers() {
    const { element } = this;
    element.addEventListener('pointerdown', (event) => this.#onPointerDown(event));
    element.addEventListener('pointermove', (event) => this.#onPointerMove(event));
    for (const type of /** @type {const} */ (['pointerup', 'pointercancel', 'lostpointercapture'])) {
      element.addEventListener(type, ({ pointerId }) => this.#release(pointerId));
    }
    element.addEventListener('mousedown', ({ button }) => this.#captured && this.#onMouseDown(button));
    element.addEventListener('mouseup', ({ button }) => this.#releaseButton(button));
    document.addEventListener('pointerlockchange', () => this.#captured || this.#releaseButtons(), { signal: this.#gone.signal });
    element.addEventListener('mousemove', (event) => {
      if (this.#captured && (event.movementX || event.movementY)) this.#input.mouseMove(event.movementX, event.movementY);
    });
    element.addEventListener('wheel', (event) => this.#onWheel(event), { passive: false });
    element.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  /** @param {PointerEvent} event */
  #onPointerDown(event) {
    if (this.#captured || event.button !== 0) return;
    const point = this.#place(event);
    if (!point?.inside) return;
    this.element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, point);
    this.#input.touch(this.#id, [{ id: event.pointerId, ...point }], true);
  }

  /** @param {PointerEvent} event */
  #onPointerMove(event) {
    const last = this.#pointers.get(event.pointerId);
    const point = last && this.#place(event);
    if (!point || (point.x === last.x && point.y === last.y)) return;
    this.#pointers.set(event.pointerId, point);
    this.#input.touch(this.#id, [{ id: event.pointerId, ...point }], true, { moving: true });
  }

  /** @param {number} pointerId */
  #release(pointerId) {
    const point = this.#pointers.get(pointerId);
    if (!point) return;
    this.#pointers.delete(pointerId);
    this.#input.touch(this.#id, [{ id: pointerId, ...point }], false);
  }

  /** @param {number} button */
  #onMouseDown(button) {
    this.#buttons.add(button);
    this.#input.mouseButton(button, true);
  }

  /** @param {number} button */
  #releaseButton(button) {
    if (this.#buttons.delete(button)) this.#input.mouseButton(button, false);
  }

  #releaseButtons() {
    for (const button of [...this.#buttons]) this.#releaseButton(button);
  }

  /** @param {PointerEvent} event */
  #place(event) {
    const video = this.#video;
    if (!video) return null;
    return toPicture(video.getBoundingClientRect(), { width: video.videoWidth, height: video.videoHeight }, event);
  }

  /** @param {WheelEvent} event */
  #onWheel(event) {
    // Without the focus the wheel scrolls the page, as everywhere else.
    if (document.activeElement !== this.element) return;
    event.preventDefault();
    if (event.deltaMode !== WheelEvent.DOM_DELTA_PIXEL || event.deltaY === 0) return;
    if (this.#captured) this.#input.mouseWheel(event.deltaY);
    else this.#input.wheel(event.deltaY);
  }

  #listenToKeys() {
    this.element.addEventListener('keydown', (event) => this.#onKey(event, true));
    this.element.addEventListener('keyup', (event) => this.#onKey(event, false));
    this.element.addEventListener('blur', () => this.#releaseAll());
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} down
   */
  #onKey(event, down) {
    if (event.code === 'Tab' || event.isComposing || !event.code) return;
    event.preventDefault();
    if (down) this.#keys.add(event.code);
    else this.#keys.delete(event.code);
    this.#input.key(event.code, down);
  }

  #releaseAll() {
    for (const code of this.#keys) this.#input.key(code, false);
    this.#keys.clear();
    for (const pointerId of [...this.#pointers.keys()]) this.#release(pointerId);
    this.#releaseButtons();
  }
}
