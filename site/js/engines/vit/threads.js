/** The other threads of our engine: workers on its memory, asleep between runs. */

import { openScript } from '../../common/worker_script.js';
import { link } from './link.js';

/** @typedef {import('./wasm.js').Instance} Instance */
/** @typedef {{module: WebAssembly.Module, memory: WebAssembly.Memory, thread: number, stack: number}} Task */

/** How long a worker may take to start. */
const START_TIMEOUT_MS = 10_000;

/**
 * Start threads 1 … `threads` - 1, and return what ends them; raises an error when one cannot be started.
 * @param {Instance} instance
 * @param {number} threads
 * @param {string} script URL of the worker's script
 * @returns {Promise<() => void>}
 */
export async function startThreads({ module, memory, exports }, threads, script) {
  const { address, close } = await openScript(script);
  const workers = Array.from({ length: threads - 1 }, () => new Worker(address, { type: 'module' }));
  const end = () => {
    exports.quit();
    for (const worker of workers) worker.terminate();
  };
  try {
    await Promise.all(
      workers.map((worker, index) => {
        const thread = index + 1;
        return started(worker, { module, memory, thread, stack: exports.stack_top(thread) });
      }),
    );
  } catch (error) {
    end();
    throw error;
  } finally {
    close();
  }
  return end;
}

/** Resolve when the worker says that it waits for work. @param {Worker} worker @param {Task} task @returns {Promise<void>} */
function started(worker, task) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a thread did not start in time')), START_TIMEOUT_MS);
    worker.onmessage = ({ data }) => {
      clearTimeout(timer);
      if (data === 'ready') resolve();
      else reject(new Error(String(data)));
    };
    worker.onerror = (event) => {
      clearTimeout(timer);
      event.preventDefault?.();
      reject(new Error(event.message || 'the script of a thread could not be loaded'));
    };
    worker.postMessage(task);
  });
}

/**
 * Be a thread, until the engine quits; `ready` is called once it can work.
 * @param {Task} task
 * @param {() => void} ready
 */
export async function runThread({ module, memory, thread, stack }, ready) {
  const exports = await link(module, memory);
  exports.__stack_pointer.value = stack;
  ready();
  exports.work(thread);
}
