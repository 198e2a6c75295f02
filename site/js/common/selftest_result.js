/** The result of a self-test, and how it is told: to visitors, and as an error. */

import { VitError } from './errors.js';

/**
 * @typedef {object} SelfTestResult
 * @property {number} n images that were run
 * @property {number} agreement images whose largest output is the float model's
 * @property {number} max_abs_diff largest difference of an output from the float model's
 * @property {number} allowed
 * @property {boolean} passed
 * @property {number} ms
 */

/** Say the figures. @param {SelfTestResult} result @returns {string} */
export function describeSelfTest({ n, agreement, max_abs_diff }) {
  return `same top-1 on ${agreement} of ${n} reference images, max abs difference ${shorten(max_abs_diff)}`;
}

/** Raise `wrong_result`, with the figures, unless the test was passed. @param {SelfTestResult} result @param {string} backend */
export function requirePassed(result, backend) {
  if (result.passed) return;
  const found = `${describeSelfTest(result)}, allowed ${shorten(result.allowed)}`;
  throw new VitError('wrong_result', `The backend “${backend}” fails the self-test on this device: ${found}.`);
}

/** @param {number} value @returns {string} */
const shorten = (value) => String(Number(value.toPrecision(2)));
