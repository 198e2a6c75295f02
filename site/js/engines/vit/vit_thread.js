/** The script of a thread of our engine. */

import { beThread } from './threads.js';

addEventListener('message', ({ data }) => {
  beThread(data, () => postMessage('ready')).then(close, (error) => postMessage(String(error)));
});
