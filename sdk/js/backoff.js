/**
 * Growing, jittered delays: each is between half of and the whole of a ceiling that doubles up to `maxMs`,
 * so that many clients that lost the same server do not come back in step.
 */
export class Backoff {
  #minMs;
  #maxMs;
  #random;
  #attempts = 0;

  /** @param {{ minMs?: number, maxMs?: number, random?: () => number }} [options] */
  constructor({ minMs = 500, maxMs = 15_000, random = Math.random } = {}) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /**
   * The delay before the next attempt.
   *
   * @param {number} [floorMs] the least the other side asked for
   */
  next(floorMs = 0) {
    const ceiling = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return Math.round(Math.max(floorMs, ceiling) * (0.5 + this.#random() / 2) + floorMs / 2);
  }

  /**
   * A moment before `ms` have passed, for an attempt that need not wait but should not come in step with others.
   *
   * @param {number} ms
   */
  within(ms) {
    return Math.round(this.#random() * ms);
  }

  /** To be called when an attempt went well. */
  reset() {
    this.#attempts = 0;
  }
}
