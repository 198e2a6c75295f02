/** The script of a thread of our engine. */

import { beThread } from './vit_threads.js';

addEventListener('message', ({ data }) => {
  beThread(data, () => postMessage('ready')).then(close, (error) => postMessage(String(error)));
});
