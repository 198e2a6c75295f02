/**
 * What the page offers: the JSON block that was rendered into it, read once.
 *
 * @typedef {{path: string, bytes: number, gzip_bytes: number, sha256: string}} StoredFile
 *
 * @typedef {object} Preprocess
 * @property {number} size
 * @property {number} crop_pct
 * @property {'center' | 'squash' | 'border'} crop_mode
 * @property {'nearest' | 'bilinear' | 'bicubic' | 'box' | 'hamming' | 'lanczos'} interpolation
 * @property {number[]} mean
 * @property {number[]} std
 *
 * @typedef {object} Variant
 * @property {string} id
 * @property {string} recipe
 * @property {string} format
 * @property {string} title
 * @property {string} note
 * @property {string} storage_dtype
 * @property {string} compute_dtype
 * @property {string} engine
 * @property {string} folder
 * @property {StoredFile[]} files
 * @property {number} bytes
 * @property {number} gzip_bytes
 * @property {string} sha256
 * @property {import('../worker/selftest.js').Expected} selftest
 *
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {'pretrained' | 'random' | 'checkpoint' | 'embedded'} weights
 * @property {boolean} features
 * @property {string[]} labels
 * @property {Preprocess} preprocess
 * @property {number} outputs
 * @property {number} parameters
 * @property {import('../shared/protocol.js').Model['selftest']} selftest
 * @property {Variant[]} variants
 *
 * @typedef {object} Catalog
 * @property {number} schema_version
 * @property {string} version
 * @property {{worker: string, client: string, wasm: string, service_worker: string}} assets
 * @property {Record<string, {title: string, backends: string[]}>} engines
 * @property {Record<string, string>} backends
 * @property {Model[]} models
 */

const SCHEMA_VERSION = 1;

/** Read the page's JSON block; throws when the page and its script are of different versions. @returns {Catalog} */
export function readCatalog() {
  const block = document.getElementById('site-data');
  if (!block?.textContent) throw new Error('The page carries no site data.');
  const catalog = JSON.parse(block.textContent);
  if (catalog.schema_version !== SCHEMA_VERSION) {
    throw new Error(`The page's data is of version ${catalog.schema_version}, its script of ${SCHEMA_VERSION}. Reload the page.`);
  }
  return catalog;
}
