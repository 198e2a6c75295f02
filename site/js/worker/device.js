/** The device and the browser, as far as they describe themselves. */

import { webglName } from '../engines/probes.js';
import { hasRelaxedSimd, hasSimd, sharesMemory } from '../engines/wasm_features.js';

/** Return what the device and the browser say of themselves. @returns {Promise<import('../common/protocol.js').Device>} */
export async function describeDevice() {
  const logical_cores = navigator.hardwareConcurrency ?? 0;
  const isolated = globalThis.crossOriginIsolated === true;
  return {
    user_agent: navigator.userAgent,
    ...(await clientHints()),
    logical_cores,
    memory_gb: /** @type {{deviceMemory?: number}} */ (navigator).deviceMemory ?? null,
    gpu: (await webgpuName()) || webglName() || 'none reported by the browser',
    simd: hasSimd(),
    relaxed_simd: hasRelaxedSimd(),
    isolated,
    threads: isolated && sharesMemory() ? Math.max(1, logical_cores) : 1,
  };
}

/**
 * The part of User-Agent Client Hints that is used.
 * @typedef {object} HighEntropy
 * @property {{brand: string, version: string}[]} [fullVersionList]
 * @property {string} [platform]
 * @property {string} [platformVersion]
 * @property {string} [architecture]
 * @property {string} [model]
 */

/** @returns {Promise<{browser: string, platform: string, model: string}>} */
async function clientHints() {
  const agent = /** @type {{userAgentData?: {getHighEntropyValues: (names: string[]) => Promise<HighEntropy>}}} */ (
    navigator
  ).userAgentData;
  /** @type {HighEntropy} */
  const hints =
    (await agent
      ?.getHighEntropyValues(['fullVersionList', 'platformVersion', 'architecture', 'model'])
      .catch(() => undefined)) ?? {};
  const brand = hints.fullVersionList?.findLast(({ brand }) => !/not.?a.?brand/i.test(brand));
  return {
    browser: brand ? `${brand.brand} ${brand.version}` : '',
    platform: [hints.platform, hints.platformVersion, hints.architecture].filter(Boolean).join(' '),
    model: hints.model ?? '',
  };
}

/** @returns {Promise<string>} */
async function webgpuName() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const { vendor, architecture, description } = adapter?.info ?? {};
  return [vendor, architecture, description].filter(Boolean).join(' ');
}
