/** From logits to probabilities, the best classes, and whether an image is of any class at all. */

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
 * @param {number} [temperature] by which logits are divided first
 * @returns {{index: number, probability: number}[]}
 */
export function topClasses(logits, k, kind, temperature = 1) {
  const probabilities = PROBABILITIES[kind](logits.map((logit) => logit / temperature));
  const order = Array.from(probabilities.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  return order.slice(0, k).map((index) => ({ index, probability: probabilities[index] }));
}

/**
 * Return the energy score T·log Σ exp(logit / T): high for images like those of the classes (arXiv 2010.03759).
 * @param {Float32Array} logits
 * @param {number} temperature T
 * @returns {number}
 */
export function energy(logits, temperature) {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp((logit - largest) / temperature), 0);
  return largest + temperature * Math.log(sum);
}

/**
 * Return what a model's outputs say: the best classes, none for a feature model, and whether the image is unknown.
 * @param {Float32Array} logits
 * @param {number} k
 * @param {Pick<import('../common/site_data.js').Model, 'features' | 'probabilities' | 'confidence'>} model
 * @returns {Pick<import('../common/protocol.js').Prediction, 'top' | 'unknown'>}
 */
export function interpret(logits, k, { features, probabilities, confidence }) {
  if (features) return { top: [], unknown: false };
  return {
    top: topClasses(logits, k, probabilities, confidence?.temperature),
    unknown: confidence ? energy(logits, confidence.energy_temperature) < confidence.threshold : false,
  };
}
