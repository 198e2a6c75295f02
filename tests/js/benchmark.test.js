import assert from 'node:assert/strict';
import test from 'node:test';
import { benchmark, isSteady, quantile, summarise, timerResolution } from '../../site/js/shared/benchmark.js';

/** Keep the processor busy for so long. @param {number} ms */
function work(ms) {
  for (const end = performance.now() + ms; performance.now() < end; );
}

test('quantiles interpolate as numpy does', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([10, 20, 30], 0.1), 12);
  assert.equal(quantile([7], 0.9), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('the summary is robust to one outlier', () => {
  const summary = summarise([10, 11, 10, 12, 10, 11, 10, 1000, 10, 11, 10, 11]);
  assert.equal(summary.n, 12);
  assert.equal(summary.median_ms, 10.5);
  assert.equal(summary.mad_ms, 0.5);
  assert.equal(summary.min_ms, 10);
  assert.equal(summary.drifting, false);
});

test('a slowdown from the first to the last third is drift', () => {
  const summary = summarise([10, 10, 10, 11, 12, 13, 14, 15, 15]);
  assert.equal(summary.drifting, true);
  assert.equal(summary.drift, 0.5);
});

test('timings are flat when the last five are no faster than the five before', () => {
  assert.equal(isSteady([50, 40, 30, 20, 10, 10, 10, 10, 10]), false);
  assert.equal(isSteady([50, 40, 30, 20, 15, 10, 10, 10, 10, 10]), false);
  assert.equal(isSteady([10, 10, 10, 10, 10, 10, 10, 10, 10, 9.9]), true);
});

test('warm-up ends once runs get no faster, and is bounded', async () => {
  let duration = 2;
  const result = await benchmark(
    async () => {
      duration += 0.1;
      work(duration);
    },
    { warmup_max: 40, runs: 6 },
  );
  assert.ok(result.warmup >= 10 && result.warmup < 40, `${result.warmup} warm-up runs`);
  assert.equal(result.warm, true);
  assert.equal(result.samples_ms.length, 6);
  assert.ok(result.min_ms >= 3, `${result.min_ms} ms`);
  const cut = await benchmark(async () => {}, { warmup_max: 3, runs: 1 });
  assert.equal(cut.warmup, 3);
  assert.equal(cut.warm, false);
});

test('warm-up lasts until the task is settled, and only then counts', async () => {
  let calls = 0;
  const totals = /** @type {string[]} */ ([]);
  const result = await benchmark(async () => void calls++, {
    ...{ warmup_max: 3, runs: 2, settled: () => calls >= 20 },
    onProgress: ({ phase, done, total }) => totals.push(`${phase} ${done}/${total}`),
  });
  assert.deepEqual([result.warmup, calls], [22, 24]);
  assert.equal(totals[0], 'warmup 1/4');
  assert.deepEqual(totals.slice(-4), ['warmup 21/22', 'warmup 22/22', 'run 1/2', 'run 2/2']);
});

test('timings during which the page was hidden are thrown away', async () => {
  const visibility = { hidden: false, changes: 0 };
  let calls = 0;
  const task = async () => {
    calls++;
    if (calls === 3) {
      Object.assign(visibility, { hidden: true, changes: 1 });
      setTimeout(() => Object.assign(visibility, { hidden: false, changes: 2 }), 30);
    }
  };
  const result = await benchmark(task, { warmup_max: 0, runs: 5, visibility });
  assert.equal(result.n, 5);
  assert.equal(result.discarded, 1);
  assert.equal(calls, 6);
});

test('it can be cancelled between runs', async () => {
  const controller = new AbortController();
  const progress = /** @type {string[]} */ ([]);
  const running = benchmark(async () => work(1), {
    warmup_max: 2,
    runs: 1000,
    signal: controller.signal,
    onProgress: ({ phase, done, total }) => {
      progress.push(`${phase} ${done}/${total}`);
      if (phase === 'run' && done === 2) controller.abort();
    },
  });
  await assert.rejects(running, { code: 'aborted' });
  assert.deepEqual(progress, ['warmup 1/2', 'warmup 2/2', 'run 1/1000', 'run 2/1000']);
});

test('the timer resolution is the smallest step of the clock', () => {
  let ticks = 0;
  assert.equal(
    timerResolution(() => Math.floor(ticks++ / 7) * 2),
    2,
  );
});
