/**
 * Tunes the number of threads: runs of a session show whether fewer are as fast on this device.
 *
 * All threads are compared with half of them, run by run, and as long as half are as fast, those with half of those.
 * Other work on the device makes runs slow by chance, and more of them with more threads, which wait for each other.
 * So fewer threads are taken only on evidence.
 */

/**
 * More threads that take only so much less time are not worth it: they keep twice as many cores of the device busy, and
 * wait for each other as soon as one of these has other work.
 */
const WORTH = 0.06;
/** Before this many milliseconds of runs, times tell little: the browser compiles the code anew, beside the runs. */
const WARM_MS = 200;
/**
 * Runs are compared in pairs, by the mean of the logarithms of their ratios: how many pairs it takes at least, and how
 * many standard errors the mean must lie from 0. It is looked at after each pair, which makes chance count for more: to
 * take fewer threads, the errors are those after all pairs, and early ones must lie further off (O'Brien and Fleming,
 * Biometrics 35, 1979). To stay with more threads needs less evidence.
 */
const TO_TAKE_FEWER = { pairs: 12, errors: 2.4 };
const TO_KEEP_MORE = { pairs: 4, errors: 1.5 };
/** A comparison that tells nothing ends after so many pairs, or milliseconds. */
const MOST_PAIRS = 50;
const MOST_MS = 8000;
/** Clocks of browsers are coarse: differences of less say nothing. */
const LEAST_MS = 0.1;
const LEAST_DEVIATION = 0.02;

/** Finds the fewest threads that are as fast as all. */
export class ThreadTuner {
  #most;
  #fastest;
  #settled;
  /** Milliseconds of runs before tuning. */
  #warm = 0;
  /** Of the comparison: the times of runs with more threads and with fewer. @type {{more: number[], fewer: number[]}} */
  #times = { more: [], fewer: [] };

  /** @param {number} most */
  constructor(most) {
    this.#most = this.#fastest = most;
    this.#settled = most === 1;
  }

  /** Whether it has ended. */
  get settled() {
    return this.#settled;
  }

  /** How many threads the next trial is to have. */
  get next() {
    const { more, fewer } = this.#times;
    if (this.#settled || this.#warm < WARM_MS) return this.#fastest;
    const first = more.length === fewer.length;
    const fewerFirst = Math.min(more.length, fewer.length) % 2 === 1; // so that a steady drift cancels out
    return first === fewerFirst ? this.#half : this.#fastest;
  }

  /** How many are the fastest, as far as is known. */
  get fastest() {
    return this.#fastest;
  }

  /** Why there are fewer than could be, or may be soon; '' when there are not. */
  get reason() {
    if (!this.#settled) return 'the first runs test whether fewer are faster';
    return this.#fastest === this.#most ? '' : `${this.#fastest} of ${this.#most} threads were the fastest here`;
  }

  get #half() {
    return Math.ceil(this.#fastest / 2);
  }

  /** Take the time of a trial, a run that had `next` threads and followed another one at once. @param {number} ms */
  record(ms) {
    if (this.#settled) return;
    if (this.#warm < WARM_MS) {
      this.#warm += Math.max(ms, 1);
      return;
    }
    const { more, fewer } = this.#times;
    (this.next === this.#fastest ? more : fewer).push(Math.max(ms, LEAST_MS));
    if (more.length === fewer.length) this.#decide(more, fewer);
  }

  /** @param {number[]} more @param {number[]} fewer times, in pairs */
  #decide(more, fewer) {
    const pairs = more.length;
    const errors = standardErrors(more.map((time, pair) => Math.log(time / fewer[pair]) + WORTH));
    const enough = TO_TAKE_FEWER.errors * Math.sqrt(MOST_PAIRS / pairs);
    if (pairs >= TO_TAKE_FEWER.pairs && errors >= enough) {
      this.#fastest = this.#half;
      this.#times = { more: [], fewer: [] };
      this.#settled = this.#fastest === 1;
    } else {
      const keeps = pairs >= TO_KEEP_MORE.pairs && errors <= -TO_KEEP_MORE.errors;
      this.#settled = keeps || pairs === MOST_PAIRS || sum(more) + sum(fewer) > MOST_MS;
    }
  }
}

/** How many standard errors the mean of the values lies from 0; NaN of one value. @param {number[]} values */
function standardErrors(values) {
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1);
  return mean / (Math.max(Math.sqrt(variance), LEAST_DEVIATION) / Math.sqrt(values.length));
}

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);
