/** Finds out, by the first runs of a session, how many threads are the fastest on this device. */

/** Timed runs of every number of threads, after one that is not timed. */
const ROUNDS = 2;
/** Numbers of threads that are tried: a first run and those of the self-test are enough for that. */
const TRIED = 3;
/** Fewer threads are taken when more are not at least so much faster. */
const WORTH = 0.03;

/** Tries all threads, half of them and a quarter, in turn; then stays with the fastest. */
export class ThreadTrial {
  #most;
  /** Numbers of threads still to run, in order. @type {number[]} */
  #plan;
  /** Fastest run of each number of threads, in ms. @type {Map<number, number>} */
  #best = new Map();
  /** What was found. @type {number | undefined} */
  #found;

  /** @param {number} most */
  constructor(most) {
    const counts = [most];
    for (let count = most; count > 1 && counts.length < TRIED; counts.push(count)) count = Math.ceil(count / 2);
    this.#most = most;
    this.#plan = most > 1 ? Array.from({ length: ROUNDS + 1 }, () => counts).flat() : [];
    if (most === 1) this.#found = 1;
  }

  /** How many threads the next run is to have. */
  get next() {
    return this.#found ?? this.#plan[0];
  }

  /** How many are the fastest, as far as is known. */
  get fastest() {
    return this.#found ?? this.#most;
  }

  /** Why there are fewer than could be; '' when there are not. */
  get reason() {
    if (this.fastest === this.#most) return '';
    return `${this.fastest} of ${this.#most} threads were the fastest here`;
  }

  /** Take the time of the run that had `next` threads. @param {number} ms */
  record(ms) {
    const count = this.#plan.shift();
    if (count === undefined) return;
    const known = this.#best.get(count);
    // The first time is not kept as such: code is still being compiled.
    this.#best.set(count, known === undefined ? Infinity : Math.min(known, ms));
    if (this.#plan.length > 0) return;
    const fastest = Math.min(...this.#best.values());
    this.#found = Math.min(...[...this.#best].filter(([, time]) => time * (1 - WORTH) <= fastest).map(([n]) => n));
  }
}
