/** The script of a thread of our engine, in Node. */

import { parentPort } from 'node:worker_threads';
import { beThread } from '../js/engines/vit/threads.js';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
port.once('message', (task) => {
  beThread(task, () => port.postMessage('ready')).catch((error) => port.postMessage(String(error)));
});
