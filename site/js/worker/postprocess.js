/** From logits to probabilities and the best classes. */

/**
 * Return the softmax, computed so that large logits do not overflow.
 * @param {Float32Array} logits
 * @returns {Float64Array} same length, sums to 1
 */
export function softmax(logits) {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/**
 * Return the `k` most probable classes, best first; of equals the first comes first.
 * @param {Float32Array} logits
 * @param {number} k
 * @returns {{index: number, probability: number}[]}
 */
export function topClasses(logits, k) {
  const probabilities = softmax(logits);
  const order = Array.from(probabilities.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  return order.slice(0, k).map((index) => ({ index, probability: probabilities[index] }));
}
