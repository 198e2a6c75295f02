/** The script of a thread of our engine. */

import { runThread } from './threads.js';

addEventListener('message', ({ data }) => {
  runThread(data, () => postMessage('ready')).then(close, (error) => postMessage(String(error)));
});
