/** Tunes the number of threads: the first runs of a session show how many are the fastest on this device. */

/** Numbers of threads that are tried. */
const TRIED = 3;
/** Less than this is no difference. */
const WORTH = 0.03;
/**
 * Tuning ends when nothing has become faster for so many rounds, and for so long. The first tenths of a second tell
 * little: the browser compiles the code anew, in threads of its own, and the system has yet to spread ours over the cores.
 */
const STEADY_ROUNDS = 2;
const STEADY_MS = 150;
/** It ends after so many rounds at the latest. */
const MOST_ROUNDS = 100;

/** Tries all threads, half of them and a quarter, in turn; then stays with the fastest. */
export class ThreadTuner {
  /** Numbers of threads that a round tries, the most first. @type {number[]} */
  #counts;
  /** Fastest run of each number of threads, in ms: others are slow for reasons of their own. @type {Map<number, number>} */
  #best = new Map();
  #runs = 0;
  /** What has been run since anything became faster. */
  #steady = { runs: 0, ms: 0 };
  /** What was found. @type {number | undefined} */
  #found;

  /** @param {number} most */
  constructor(most) {
    this.#counts = [most];
    for (let count = most; count > 1 && this.#counts.length < TRIED; this.#counts.push(count))
      count = Math.ceil(count / 2);
    if (most === 1) this.#found = 1;
  }

  /** Whether it has ended. */
  get settled() {
    return this.#found !== undefined;
  }

  /** How many threads the next run is to have. */
  get next() {
    return this.#found ?? this.#counts[this.#runs % this.#counts.length];
  }

  /** How many are the fastest, as far as is known. */
  get fastest() {
    return this.#found ?? this.#counts[0];
  }

  /** Why there are fewer than could be, or may be soon; '' when there are not. */
  get reason() {
    if (!this.settled) return 'the first runs test whether fewer are faster';
    if (this.fastest === this.#counts[0]) return '';
    return `${this.fastest} of ${this.#counts[0]} threads were the fastest here`;
  }

  /** Take the time of the run that had `next` threads. @param {number} ms */
  record(ms) {
    if (this.settled) return;
    const best = this.#best.get(this.next) ?? Infinity;
    this.#best.set(this.next, Math.min(best, ms));
    const { runs, ms: time } = this.#steady;
    this.#steady = ms < best * (1 - WORTH) ? { runs: 0, ms: 0 } : { runs: runs + 1, ms: time + ms };
    this.#runs++;
    if (this.#ends) this.#found = this.#fewestOfFastest();
  }

  /** Whether what was run is enough: whole rounds of it. */
  get #ends() {
    const each = this.#counts.length;
    const { runs, ms } = this.#steady;
    const steady = runs >= STEADY_ROUNDS * each && ms >= STEADY_MS;
    return this.#runs % each === 0 && (steady || this.#runs === MOST_ROUNDS * each);
  }

  /** More threads are taken only where they are worth it. */
  #fewestOfFastest() {
    const fastest = Math.min(...this.#best.values());
    return Math.min(...[...this.#best].filter(([, time]) => time * (1 - WORTH) <= fastest).map(([count]) => count));
  }
}
