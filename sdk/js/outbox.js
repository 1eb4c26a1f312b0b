/**
 * What goes to the device: forwards that were sent and that the server may ask for again, then those that wait.
 *
 * 1. Forwards keep the order they were given in, and are numbered from 1 since the counting began.
 * 2. Both parts are bounded, in number and in characters. What waits is refused beyond that; of what was sent, the
 *    oldest is forgotten, and asking for it later tells that it is gone.
 */
export class Outbox {
  #maxCount;
  #maxChars;
  /** @type {string[]} those sent, then those that wait */
  #texts = [];
  #sentCount = 0;
  #sentChars = 0;
  #waitingChars = 0;
  /** The number of the last forward that is not kept any more. */
  #forgotten = 0;

  /**
   * @param {number} maxCount of each part
   * @param {number} maxChars of each part
   */
  constructor(maxCount, maxChars) {
    this.#maxCount = maxCount;
    this.#maxChars = maxChars;
  }

  /**
   * @param {string} text
   * @returns {boolean} false if too much is waiting; then it is not kept
   */
  add(text) {
    const waiting = this.#texts.length - this.#sentCount;
    if (waiting >= this.#maxCount || this.#waitingChars + text.length > this.#maxChars) return false;
    this.#texts.push(text);
    this.#waitingChars += text.length;
    return true;
  }

  /**
   * Takes the next forward that waits; from now on it counts as sent.
   *
   * @returns {string | undefined}
   */
  next() {
    const text = this.#texts[this.#sentCount];
    if (text === undefined) return undefined;
    this.#sentCount += 1;
    this.#sentChars += text.length;
    this.#waitingChars -= text.length;
    while (this.#sentCount > this.#maxCount || this.#sentChars > this.#maxChars) this.#forget();
    return text;
  }

  /**
   * The other side has the first `taken` forwards of this counting. Those after them wait again.
   *
   * @param {number} taken
   * @returns {boolean} false if some of those after them are gone
   */
  rewind(taken) {
    const complete = taken >= this.#forgotten && taken <= this.#forgotten + this.#sentCount;
    while (this.#sentCount > 0 && this.#forgotten < taken) this.#forget();
    this.#forgotten = taken;
    this.#waitingChars += this.#sentChars;
    this.#sentCount = 0;
    this.#sentChars = 0;
    return complete;
  }

  /** Counts from 0 again. What was sent is forgotten, what waits stays. */
  restart() {
    this.#texts.splice(0, this.#sentCount);
    this.#sentCount = 0;
    this.#sentChars = 0;
    this.#forgotten = 0;
  }

  /** Throws everything away, and counts from 0 again. */
  clear() {
    this.restart();
    this.#texts = [];
    this.#waitingChars = 0;
  }

  #forget() {
    const text = this.#texts.shift() ?? '';
    this.#sentCount -= 1;
    this.#sentChars -= text.length;
    this.#forgotten += 1;
  }
}
