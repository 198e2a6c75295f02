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
 * Return the sigmoid of each logit: probabilities that do not exclude each other.
 * @param {Float32Array} logits
 * @returns {Float64Array} same length
 */
export function sigmoid(logits) {
  return Float64Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
}

const PROBABILITIES = { softmax, sigmoid };

/**
 * Return the `k` most probable classes, best first; of equals the first comes first.
 * @param {Float32Array} logits
 * @param {number} k
 * @param {'softmax' | 'sigmoid'} kind how logits become probabilities
 * @returns {{index: number, probability: number}[]}
 */
export function topClasses(logits, k, kind) {
  const probabilities = PROBABILITIES[kind](logits);
  const order = Array.from(probabilities.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  return order.slice(0, k).map((index) => ({ index, probability: probabilities[index] }));
}
