/** The tool bar of the viewer: the device's buttons, sound, mouse, full screen, panel. */

import { byId, make } from './dom.js';

/** @typedef {import('./js/viewer_session.js').ViewerSession} ViewerSession */

const MAX_CUSTOM_BUTTONS = 20;

export class Tools {
  #session;
  #screens;
  /** @type {Map<string, HTMLAudioElement>} */
  #sounds = new Map();

  /**
   * @param {ViewerSession} session
   * @param {Map<string, import('./viewer_screen.js').Screen>} screens
   */
  constructor(session, screens) {
    this.#session = session;
    this.#screens = screens;
    byId('full-screen').addEventListener('click', () => toggleFullScreen());
    byId('mouse').addEventListener('click', () => this.#captureMouse());
    byId('sound').addEventListener('click', () => this.#toggleSound());
    byId('panel-toggle').addEventListener('click', () => showPanel(byId('panel').hidden !== false));
    showPanel(!matchMedia('(max-width: 760px)').matches);
    for (const button of byId('buttons').querySelectorAll('button')) this.#wire(button);
  }

  /** @param {any} deviceInfo */
  onDeviceInfo(deviceInfo) {
    byId('mouse').hidden = deviceInfo?.mouse_enabled !== true;
    for (const old of byId('buttons').querySelectorAll('[data-custom]')) old.remove();
    const custom = Array.isArray(deviceInfo?.custom_control_panel_buttons) ? deviceInfo.custom_control_panel_buttons : [];
    for (const { command, title } of custom.filter(isCommand).slice(0, MAX_CUSTOM_BUTTONS)) {
      const button = make('button', '', typeof title === 'string' ? title : command);
      button.type = 'button';
      button.dataset['command'] = command;
      button.dataset['custom'] = '';
      this.#wire(button);
      byId('buttons').append(button);
    }
  }

  /** The device listens to its buttons. */
  onControlOpen() {
    byId('buttons').hidden = false;
  }

  /**
   * @param {string} id
   * @param {MediaStream} stream
   */
  onSound(id, stream) {
    const sound = this.#sounds.get(id) ?? new Audio();
    sound.srcObject = stream;
    sound.muted = byId('sound').getAttribute('aria-pressed') !== 'true';
    sound.play().catch(() => {});
    this.#sounds.set(id, sound);
    byId('sound').hidden = false;
  }

  /**
   * Takes away the sounds whose streams ended with the peer that had them.
   *
   * @param {ReadonlySet<string>} streams that there are now
   */
  dropSounds(streams) {
    for (const [id, sound] of this.#sounds) {
      if (streams.has(id)) continue;
      this.#sounds.delete(id);
      sound.srcObject = null;
    }
    byId('sound').hidden = this.#sounds.size === 0;
  }

  #toggleSound() {
    const on = byId('sound').getAttribute('aria-pressed') !== 'true';
    byId('sound').setAttribute('aria-pressed', String(on));
    for (const sound of this.#sounds.values()) {
      sound.muted = !on;
      sound.play().catch(() => {});
    }
  }

  #captureMouse() {
    const [screen] = this.#screens.values();
    Promise.resolve(screen?.captureMouse()).catch((error) => console.warn('The mouse was not captured', error));
  }

  /** @param {HTMLButtonElement} button */
  #wire(button) {
    const send = (/** @type {'down' | 'up'} */ state) =>
      this.#session.sendControl({ command: button.dataset['command'], button_state: state });
    let held = false;
    const release = () => {
      if (held) send('up');
      held = false;
    };
    button.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      held = true;
      send('down');
    });
    button.addEventListener('pointerup', release);
    button.addEventListener('pointercancel', release);
    button.addEventListener('click', (event) => {
      // A click without a pointer is Enter or Space.
      if (event.detail !== 0) return;
      send('down');
      send('up');
    });
  }
}

/** @param {boolean} shown */
function showPanel(shown) {
  byId('panel').hidden = !shown;
  byId('panel-toggle').setAttribute('aria-expanded', String(shown));
}

async function toggleFullScreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await byId('stage').requestFullscreen();
  } catch (error) {
    console.warn('Full screen was refused', error);
  }
}

/**
 * Buttons with a shell command or a device state need more than a command.
 *
 * @param {any} button
 */
function isCommand(button) {
  return typeof button?.command === 'string' && !button.shell_command && !button.device_states;
}
