/** The script of a thread of our engine, in Node. */

import { parentPort } from 'node:worker_threads';
import { runThread } from '../js/engines/vit/threads.js';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
port.once('message', (task) => {
  runThread(task, () => port.postMessage('ready')).catch((error) => port.postMessage(String(error)));
});
