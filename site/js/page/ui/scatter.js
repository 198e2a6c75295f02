/** The plot of all variants on the page: draws in what this device takes, as soon as it is measured. */

import { formatMs } from './figures.js';

const SVG = 'http://www.w3.org/2000/svg';
const SIZE = 6;

/**
 * Draw a variant's latency on this device beside that of the site's own measurement; the latest replaces earlier ones.
 * @param {string} model
 * @param {string} variant
 * @param {number} milliseconds
 */
export function drawOwn(model, variant, milliseconds) {
  const figure = [...document.querySelectorAll('.scatter')].find(
    (one) => /** @type {HTMLElement | null} */ (one.closest('[data-model]'))?.dataset.model === model,
  );
  const svg = figure?.querySelector('svg');
  if (!figure || !svg) return;
  const place = `[data-variant="${CSS.escape(variant)}"]`;
  const own = figure.querySelector(`li${place} .own`);
  if (own) own.textContent = `; on this device ${formatMs(milliseconds)}`;
  const circle = svg.querySelector(`circle${place}`);
  if (!circle) return;
  svg.querySelector(`path.own${place}`)?.remove();
  const x = positionOf(svg.dataset, milliseconds);
  const diamond = document.createElementNS(SVG, 'path');
  diamond.setAttribute('class', 'own');
  diamond.dataset.variant = variant;
  const y = circle.getAttribute('cy');
  diamond.setAttribute('d', `M${x} ${y}m-${SIZE} 0l${SIZE} -${SIZE}l${SIZE} ${SIZE}l-${SIZE} ${SIZE}z`);
  svg.append(diamond);
}

/**
 * Return where a latency lies on the logarithmic axis; beyond its ends, at the end.
 * @param {DOMStringMap} axis
 * @param {number} milliseconds
 * @returns {number}
 */
export function positionOf(axis, milliseconds) {
  const [fastest, slowest, left, right] = [axis.fastest, axis.slowest, axis.left, axis.right].map(Number);
  const share = Math.log(milliseconds / fastest) / Math.log(slowest / fastest);
  return left + (right - left) * Math.min(1, Math.max(0, share));
}
