import assert from 'node:assert/strict';
import test from 'node:test';
import { benchmark, isSteady, quantile, summarise, timerResolution } from '../../site/js/common/benchmark.js';

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
  let reports = 0;
  const result = await benchmark(async () => void calls++, {
    ...{ warmup_max: 3, runs: 2, settled: () => calls >= 20, onProgress: () => void reports++ },
  });
  assert.equal(result.warmup, calls - 2 - (reports - 1), 'the others are timed, or follow a report');
  assert.ok(result.warmup >= 21);
});

test('a task that never settles is timed all the same', async () => {
  const result = await benchmark(async () => {}, { warmup_max: 3, runs: 2, settled: () => false });
  assert.deepEqual([result.n, result.warmup], [2, 503]);
});

test('progress is reported seldom, and what is timed waits until it is drawn', async () => {
  const reports = /** @type {{phase: string, done: number, total: number, at: number}[]} */ ([]);
  const starts = /** @type {number[]} */ ([]);
  const task = async () => {
    starts.push(performance.now());
    work(20);
  };
  const { samples_ms, warmup } = await benchmark(task, {
    ...{ warmup_max: 12, runs: 40 },
    onProgress: ({ phase, done, total }) => reports.push({ phase, done, total, at: performance.now() }),
  });
  assert.deepEqual(reports[0], { ...reports[0], phase: 'warmup', done: 1, total: 12 });
  assert.deepEqual(reports.at(-1), { ...reports.at(-1), phase: 'run', done: 40, total: 40 });
  const drawn = reports.slice(0, -1);
  for (const [index, { at }] of drawn.entries()) {
    if (index > 0) assert.ok(at - drawn[index - 1].at > 300, 'the processor is left to the runs for a while');
    const next = /** @type {number} */ (starts.find((start) => start > at));
    assert.ok(next - at >= 75, `${next - at} ms after a report`);
  }
  const untimed = starts.length - samples_ms.length - warmup;
  assert.equal(untimed, drawn.length, 'the first run after a pause is not timed');
});

test('a run that takes long is not repeated after a report', async () => {
  let calls = 0;
  const task = async () => {
    calls++;
    work(110);
  };
  await benchmark(task, { warmup_max: 0, runs: 3 });
  assert.equal(calls, 3);
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
  assert.ok(calls >= 7, 'one more after the first report');
});

test('it can be cancelled between runs, and while a report is drawn', async () => {
  for (const reports of [1, 2]) {
    const controller = new AbortController();
    let seen = 0;
    const onProgress = () => {
      if (++seen === reports) controller.abort();
    };
    const running = benchmark(async () => work(1), {
      ...{ warmup_max: 0, runs: 100_000, signal: controller.signal, onProgress },
    });
    await assert.rejects(running, { code: 'aborted' });
    assert.equal(seen, reports);
  }
  const controller = new AbortController();
  let calls = 0;
  const task = async () => {
    if (++calls === 10) controller.abort();
  };
  await assert.rejects(benchmark(task, { warmup_max: 0, runs: 100, signal: controller.signal }), { code: 'aborted' });
  assert.equal(calls, 10);
});

test('the timer resolution is the smallest step of the clock', () => {
  let ticks = 0;
  assert.equal(
    timerResolution(() => Math.floor(ticks++ / 7) * 2),
    2,
  );
});
