/** What our engine uses of a browser and Node 20 has not: fetch of files, workers, isolation. */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker as NodeWorker } from 'node:worker_threads';

/** A browser's worker, made of Node's. */
class FileWorker extends NodeWorker {
  /** @type {((event: {data: unknown}) => void) | null} */
  onmessage = null;
  /** @type {((event: {message: string}) => void) | null} */
  onerror = null;

  /** @param {string} script */
  constructor(script) {
    super(new URL(script));
    this.on('message', (data) => this.onmessage?.({ data }));
    this.on('error', (error) => this.onerror?.({ message: error.message }));
    this.unref();
  }

  /** @param {'message' | 'error'} type @param {(event: any) => void} listener */
  addEventListener(type, listener) {
    this.on(type, (value) => listener(type === 'message' ? { data: value } : value));
  }
}

/** Make the page's scripts believe that Node is a browser. */
export function actAsBrowser() {
  const browser = {
    crossOriginIsolated: true,
    Worker: FileWorker,
    /** @param {string} url */
    fetch: async (url) => new Response(await readFile(fileURLToPath(url))),
  };
  Object.assign(globalThis, browser);
}

/** URL of the script of an engine's thread. */
export const THREAD_SCRIPT = new URL('./vit_thread_node.mjs', import.meta.url).href;
