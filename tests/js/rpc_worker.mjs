/** The worker of rpc.test.js. */

import { parentPort } from 'node:worker_threads';
import { VitError } from '../../site/js/common/errors.js';
import { serve } from '../../site/js/common/rpc.js';

/**
 * @typedef {object} Requests
 * @property {{payload: number, result: number[], progress: number}} count up to the payload
 * @property {{payload: string, result: void}} fail with the payload as the code
 * @property {{result: boolean}} wait until aborted
 * @property {{result: string[]}} events of the requests until now
 * @property {{payload: {name: string, ms: number}, result: string}} slow exclusive
 * @property {{payload: Float32Array, result: Float32Array}} double moved there and back
 * @property {{result: void}} crash
 *
 * @typedef {{note: string}} Notices
 */

/** @type {string[]} */
const events = [];

/** @type {import('../../site/js/common/rpc.js').Handlers<Requests>} */
const handlers = {
  count: (most, { onProgress }) =>
    Array.from({ length: most }, (_, index) => {
      onProgress(index);
      return index;
    }),
  fail: (code) => {
    throw new VitError(code, 'It failed.', { hint: 'Try something else.' });
  },
  wait: (_, { signal }) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        events.push('wait aborted');
        resolve(true);
      });
    }),
  events: () => events,
  slow: async ({ name, ms }) => {
    events.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, ms));
    events.push(`${name} ends`);
    if (name === 'failing') throw new VitError('bad_model', 'It failed.');
    return name;
  },
  double: (values, { transfer }) => {
    const doubled = values.map((value) => 2 * value);
    transfer(doubled.buffer);
    return doubled;
  },
  crash: () => {
    setTimeout(() => {
      throw new Error('out of order');
    });
    return new Promise(() => {});
  },
};

serve(/** @type {any} */ (parentPort), handlers, {
  exclusive: ['slow'],
  notices: { note: (/** @type {string} */ text) => events.push(`note ${text}`) },
});
