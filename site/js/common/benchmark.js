/**
 * Honest timing of one repeated task: warm up until it is settled and gets no faster, then time, then say how steady it was.
 *
 * Timings taken while the page was hidden are thrown away, since browsers slow hidden pages down. Progress is reported
 * seldom, and only between runs: to draw it takes some of the processor that is being timed.
 */

import { throwIfAborted } from './errors.js';

/** Warm-up looks at this many runs at a time. */
const WINDOW = 5;
/** Warm-up ends when a window is less than this much faster than the one before. */
const STEADY = 0.02;
/** First and last third that differ by more than this are reported as drift. */
const DRIFT = 0.1;
/** Progress is reported at most so often. */
const REPORT_MS = 300;
/** What the page has for drawing it: runs go on when it is done. */
const DRAWING_MS = 80;
/** After a pause, threads are asleep and caches cold: a run that takes less than this is first repeated untimed. */
const SHORT_MS = 100;
/** A task that does not settle is timed as it is after so many runs. */
const SETTLING_MAX = 500;

/**
 * @typedef {{hidden: boolean, changes: number}} Visibility the page's state; `changes` counts how often it changed
 *
 * @typedef {{phase: 'warmup' | 'run', done: number, total: number, last_ms: number}} Progress
 *
 * @typedef {object} BenchmarkOptions
 * @property {number} [warmup_max] most warm-up runs, default 50
 * @property {number} [runs] timed runs, default 30
 * @property {() => boolean} [settled] whether the task now runs as it is to be timed; `warmup_max` counts from then on
 * @property {AbortSignal} [signal]
 * @property {Visibility} [visibility]
 * @property {(progress: Progress) => void} [onProgress]
 *
 * @typedef {object} Summary
 * @property {number} n
 * @property {number} median_ms
 * @property {number} mean_ms
 * @property {number} min_ms
 * @property {number} p10_ms
 * @property {number} p90_ms
 * @property {number} mad_ms median absolute deviation from the median
 * @property {number} drift median of the last third over that of the first, less 1
 * @property {boolean} drifting
 *
 * @typedef {object} Timing
 * @property {number} warmup runs it took
 * @property {boolean} warm whether it had become steady by then
 * @property {number} discarded timings thrown away because the page was hidden
 * @property {number} timer_resolution_ms
 * @property {number[]} samples_ms
 *
 * @typedef {Summary & Timing} Measurement
 */

/**
 * Time the task; raises `aborted`, and what the task raises.
 * @param {() => Promise<unknown>} task
 * @param {BenchmarkOptions} [options]
 * @returns {Promise<Measurement>}
 */
export async function benchmark(
  task,
  {
    warmup_max = 50,
    runs = 30,
    settled = () => true,
    signal,
    visibility = { hidden: false, changes: 0 },
    onProgress = () => {},
  } = {},
) {
  let discarded = 0;
  const timed = async () => {
    for (;;) {
      await untilVisible(visibility, signal);
      const { changes } = visibility;
      const startedAt = performance.now();
      await task();
      const duration = performance.now() - startedAt;
      await nextMessage();
      if (visibility.changes === changes) return duration;
      discarded++;
    }
  };
  let reportedAt = -Infinity;
  /** @param {Progress} progress */
  const report = async (progress) => {
    const last = progress.phase === 'run' && progress.done === progress.total;
    if (!last && performance.now() - reportedAt < REPORT_MS) return;
    onProgress(progress);
    if (last) return;
    await new Promise((resolve) => setTimeout(resolve, DRAWING_MS));
    throwIfAborted(signal);
    if (progress.last_ms < SHORT_MS) await task();
    reportedAt = performance.now();
  };
  let unsettled = 0;
  /** @type {number[]} */
  const warming = [];
  while ((!settled() && unsettled < SETTLING_MAX) || (warming.length < warmup_max && !isSteady(warming))) {
    const last_ms = await timed();
    if (settled() || unsettled === SETTLING_MAX) warming.push(last_ms);
    else unsettled++;
    await report({ phase: 'warmup', done: unsettled + warming.length, total: unsettled + warmup_max, last_ms });
  }
  /** @type {number[]} */
  const samples_ms = [];
  while (samples_ms.length < runs) {
    samples_ms.push(await timed());
    await report({ phase: 'run', done: samples_ms.length, total: runs, last_ms: samples_ms[samples_ms.length - 1] });
  }
  const timing = {
    warmup: unsettled + warming.length,
    warm: isSteady(warming),
    discarded,
    timer_resolution_ms: timerResolution(),
    samples_ms,
  };
  return { ...summarise(samples_ms), ...timing };
}

/** Wait until the page is visible; raises `aborted`. @param {Visibility} visibility @param {AbortSignal} [signal] */
async function untilVisible(visibility, signal) {
  throwIfAborted(signal);
  while (visibility.hidden) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    throwIfAborted(signal);
  }
}

/**
 * Let the messages that wait (cancel, page hidden) be handled; a timer would wait at least 4 ms.
 * @returns {Promise<void>}
 */
function nextMessage() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/**
 * Whether the last window of timings is no longer clearly faster than the one before it.
 * @param {number[]} samples
 * @returns {boolean}
 */
export function isSteady(samples) {
  if (samples.length < 2 * WINDOW) return false;
  const last = quantile(samples.slice(-WINDOW), 0.5);
  const before = quantile(samples.slice(-2 * WINDOW, -WINDOW), 0.5);
  return last >= before * (1 - STEADY);
}

/**
 * Return the quantile, interpolated linearly between neighbours as numpy does; NaN for nothing.
 * @param {number[]} samples
 * @param {number} q 0..1
 * @returns {number}
 */
export function quantile(samples, q) {
  const sorted = [...samples].sort((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const above = Math.ceil(position);
  return below === above
    ? (sorted[below] ?? NaN)
    : sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/**
 * Return the figures of a series of timings, in order.
 * @param {number[]} samples
 * @returns {Summary}
 */
export function summarise(samples) {
  const median = quantile(samples, 0.5);
  const third = Math.max(1, Math.floor(samples.length / 3));
  const drift = quantile(samples.slice(-third), 0.5) / quantile(samples.slice(0, third), 0.5) - 1;
  return {
    n: samples.length,
    median_ms: median,
    mean_ms: samples.reduce((sum, sample) => sum + sample, 0) / samples.length,
    min_ms: Math.min(...samples),
    p10_ms: quantile(samples, 0.1),
    p90_ms: quantile(samples, 0.9),
    mad_ms: quantile(
      samples.map((sample) => Math.abs(sample - median)),
      0.5,
    ),
    drift,
    drifting: Math.abs(drift) > DRIFT,
  };
}

/**
 * Return the smallest step the clock is seen to make within 20 ms, in ms.
 * @param {() => number} [now]
 * @returns {number}
 */
export function timerResolution(now = () => performance.now()) {
  const startedAt = now();
  let smallest = Infinity;
  for (let last = startedAt, time = startedAt; time - startedAt < 20; last = time) {
    time = now();
    if (time > last) smallest = Math.min(smallest, time - last);
  }
  return smallest;
}
