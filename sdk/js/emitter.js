/**
 * A small typed event source. `on` gives back the function that takes the listener away again.
 *
 * @template {Record<string, any>} Events name of the event to what its listeners get
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(detail: Events[K]) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * A listener that throws is reported and does not stop the others.
   *
   * @template {keyof Events} K
   * @param {K} type
   * @param {Events[K]} detail
   * @protected
   */
  emit(type, detail) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        console.error(`A listener of "${String(type)}" failed`, error);
      }
    }
  }
}
