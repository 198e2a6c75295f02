/** What can be classified, and how it becomes what the worker takes: a file, raw pixels, or a bitmap. */

import { AS_STORED } from '../common/as_stored.js';
import { throwIfAborted } from '../common/errors.js';
import { failure } from './errors.js';
import { fetchFrom, resolve } from './manifest.js';

/** @typedef {import('../common/protocol.js').Image} Image */
/** `transfer`: what of it is the library's own, and may be moved. @typedef {{image: Image, transfer: Transferable[]}} Prepared */
/** @typedef {(input: any, signal?: AbortSignal) => Prepared | Promise<Prepared>} Reader */

const HAVE_CURRENT_DATA = 2;
/** Network states of a video that waits for nothing: empty, and without a source that can be played. */
const NO_SOURCE = [0, 3];

/** By the kind of object, which is the same whatever window it comes from. @type {Record<string, Reader>} */
const READERS = {
  Blob: (image) => ({ image, transfer: [] }),
  File: (image) => ({ image, transfer: [] }),
  String: fromAddress,
  URL: fromAddress,
  HTMLImageElement: fromElement,
  HTMLCanvasElement: (canvas) => fromDrawn(canvas, '<canvas>'),
  OffscreenCanvas: (canvas) => fromDrawn(canvas, 'OffscreenCanvas'),
  HTMLVideoElement: fromVideo,
  VideoFrame: (frame) => fromDrawn(frame, 'VideoFrame'),
  ImageBitmap: fromBitmap,
  ImageData: fromPixels,
};

/** The kind of an object, such as `HTMLImageElement`. @param {unknown} value */
export const kindOf = (value) => Object.prototype.toString.call(value).slice('[object '.length, -1);

/**
 * Return an input as the worker takes it.
 *
 * Raises `bad_input`, `damaged_image`, `cross_origin_image`, `network_lost`, `http_error` or `aborted`.
 * @param {unknown} input
 * @param {AbortSignal} [signal]
 * @returns {Promise<Prepared>}
 */
export async function prepareInput(input, signal) {
  throwIfAborted(signal);
  const kind = kindOf(input);
  const read = Object.hasOwn(READERS, kind) ? READERS[kind] : undefined;
  if (!read) {
    const found = kind === 'Object' || kind === 'Function' ? `of the class ${className(input)}` : `of the kind ${kind}`;
    throw failure('bad_input', `This cannot be classified: it is ${found}.`);
  }
  return read(input, signal);
}

/** @param {any} value @returns {string} */
const className = (value) => value?.constructor?.name ?? 'Object';

/** @param {string | URL} address @param {AbortSignal} [signal] @returns {Promise<Prepared>} */
async function fromAddress(address, signal) {
  const url = resolve(address);
  const response = await fetchFrom(url, { signal });
  const image = await response.blob().catch((cause) => {
    throwIfAborted(signal);
    throw failure('network_lost', `The connection for ${url.href} was lost.`, { cause });
  });
  return { image, transfer: [] };
}

/** @param {HTMLImageElement} element @param {AbortSignal} [signal] @returns {Promise<Prepared>} */
async function fromElement(element, signal) {
  await unlessAborted(element.decode(), signal).catch((cause) => {
    throwIfAborted(signal);
    const where = element.currentSrc ? ` ${element.currentSrc.slice(0, 200)}` : ': it has no source';
    throw failure('damaged_image', `The browser cannot show this <img>${where}.`, {
      hint: 'Check its address; the image may be missing, damaged, or of a kind that browsers do not show.',
      cause,
    });
  });
  return fromDrawn(element, '<img>');
}

/** @param {HTMLVideoElement} video @param {AbortSignal} [signal] @returns {Promise<Prepared>} */
async function fromVideo(video, signal) {
  if (video.readyState < HAVE_CURRENT_DATA) await firstFrame(video, signal);
  return fromDrawn(video, '<video>');
}

/** Wait until a video has a picture. @param {HTMLVideoElement} video @param {AbortSignal} [signal] */
async function firstFrame(video, signal) {
  const without = !video.srcObject && NO_SOURCE.includes(video.networkState);
  if (video.error || without) {
    const reason = video.error
      ? `it failed (${video.error.message || `code ${video.error.code}`})`
      : 'it has no source';
    throw failure('bad_input', `This <video> has no picture: ${reason}.`, { hint: 'Wait until it plays.' });
  }
  const listening = new AbortController();
  const frame = new Promise((resolve, reject) => {
    video.addEventListener('loadeddata', resolve, { signal: listening.signal });
    const failed = () =>
      reject(failure('bad_input', 'This <video> could not be loaded.', { hint: 'Check its source.' }));
    for (const type of ['error', 'emptied']) video.addEventListener(type, failed, { signal: listening.signal });
  });
  try {
    await unlessAborted(frame, signal);
  } finally {
    listening.abort();
  }
}

/**
 * Take what is drawn now.
 * @param {HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | VideoFrame} drawn
 * @param {string} name
 * @returns {Promise<Prepared>}
 */
async function fromDrawn(drawn, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(drawn, AS_STORED);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'SecurityError') throw closed(name, cause);
    throw failure('bad_input', `This ${name} has no picture to read.`, {
      hint: 'Draw something first; it needs a width and a height.',
      cause,
    });
  }
  requireReadable(bitmap, name);
  return { image: bitmap, transfer: [bitmap] };
}

/** It stays the caller's: the worker gets a copy. @param {ImageBitmap} image @returns {Prepared} */
function fromBitmap(image) {
  if (image.width === 0) throw failure('bad_input', 'This ImageBitmap was closed, or moved elsewhere.');
  requireReadable(image, 'ImageBitmap');
  return { image, transfer: [] };
}

/** @param {ImageData} image @returns {Prepared} */
function fromPixels(image) {
  const kind = kindOf(image.data);
  if (kind === 'Uint8ClampedArray') return { image, transfer: [] };
  throw failure('bad_input', `This ImageData holds a ${kind}; it must hold 8 bits a channel.`, {
    hint: 'Leave `pixelFormat` out.',
  });
}

/** Raise `cross_origin_image` unless its pixels may be read. @param {ImageBitmap} bitmap @param {string} name */
function requireReadable(bitmap, name) {
  try {
    const context = new OffscreenCanvas(1, 1).getContext('2d');
    context?.drawImage(bitmap, 0, 0, 1, 1, 0, 0, 1, 1);
    context?.getImageData(0, 0, 1, 1);
  } catch (cause) {
    throw closed(name, cause);
  }
}

/** @param {string} name @param {unknown} cause */
const closed = (name, cause) =>
  failure('cross_origin_image', `The browser does not let this page read the ${name}: it is from another origin.`, {
    cause,
  });

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(failure('aborted', 'Cancelled.'));
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
