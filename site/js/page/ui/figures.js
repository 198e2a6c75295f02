/** How figures are written; `export/figures.py` writes those of the other pages in the same way. */

const NO_BREAK = '\u00a0';
const UNITS = /** @type {const} */ ([
  [1e9, 'GB'],
  [1e6, 'MB'],
  [1e3, 'kB'],
]);

/** `512 B`, `21.1 kB`, `5.69 MB`. @param {number} count @returns {string} */
export function formatBytes(count) {
  for (const [factor, unit] of UNITS) {
    if (count >= factor) return `${threeDigits(count / factor)}${NO_BREAK}${unit}`;
  }
  return `${count}${NO_BREAK}B`;
}

/** `0.005 ms`, `0.12 ms`, `4.56 ms`, `162 ms`. @param {number} milliseconds @returns {string} */
export function formatMs(milliseconds) {
  return `${threeDigits(milliseconds)}${NO_BREAK}ms`;
}

/** A share of 0..1 as `93.4 %`. @param {number} share @returns {string} */
export function formatPercent(share) {
  return `${(100 * share).toFixed(1)}${NO_BREAK}%`;
}

/** @param {number} value @returns {string} */
function threeDigits(value) {
  if (value > 0 && value < 0.01) return value.toPrecision(1);
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
