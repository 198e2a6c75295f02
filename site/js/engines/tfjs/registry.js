/** Starts and stops TensorFlow.js' back ends, which it registers when their modules are imported. */

import * as tf from '@tensorflow/tfjs-core';

/** @typedef {{threads: number, threads_reason: string}} Started */

/**
 * Initialise a registered back end and make it current.
 * @param {string} backend
 * @param {string} threads_reason
 * @returns {Promise<Started>}
 */
export async function activate(backend, threads_reason) {
  if (!tf.findBackendFactory(backend)) throw new Error('TensorFlow.js does not support it in this browser');
  if (!(await tf.setBackend(backend))) throw new Error('TensorFlow.js could not initialise it');
  return { threads: 1, threads_reason };
}

/** Free everything the back end holds; it can be activated anew. @param {string} backend */
export function deactivate(backend) {
  const factory = tf.findBackendFactory(backend);
  if (!factory) return;
  tf.removeBackend(backend);
  tf.registerBackend(backend, factory);
}
