/**
 * The site data: the JSON block that the renderer writes into the page. Its keys are spelt as Python writes them.
 *
 * @typedef {{path: string, bytes: number, sha256: string}} FileRecord
 *
 * How a model's images are prepared.
 * @typedef {object} Preprocess
 * @property {number} size
 * @property {number} crop_pct
 * @property {'center' | 'squash' | 'border'} crop_mode
 * @property {'nearest' | 'bilinear' | 'bicubic' | 'box' | 'hamming' | 'lanczos'} interpolation
 * @property {number[]} mean
 * @property {number[]} std
 * @property {'even' | 'down'} [crop_rounding] of the crop's offset, where it is half a pixel; even by default
 *
 * When a prediction can be believed: logits are divided by `temperature` before softmax, and an image whose energy score
 * at `energy_temperature` is below `threshold` is called unknown.
 * @typedef {{temperature: number, energy_temperature: number, threshold: number}} Confidence
 *
 * What a variant gives on the reference images according to the build, which ran it on them.
 * @typedef {{max_abs_diff: number, agrees: boolean[]}} ExpectedSelfTest
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
 * @property {(FileRecord & {gzip_bytes: number})[]} files
 * @property {number} bytes
 * @property {number} gzip_bytes
 * @property {string} sha256
 * @property {ExpectedSelfTest} selftest
 *
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {string} licence
 * @property {string} source
 * @property {'pretrained' | 'random' | 'checkpoint' | 'embedded'} weights
 * @property {boolean} features
 * @property {'softmax' | 'sigmoid'} probabilities softmax where one class excludes the others
 * @property {Confidence | null} confidence null where it was not fitted: then no image is called unknown
 * @property {string[]} labels
 * @property {Preprocess} preprocess
 * @property {number} outputs
 * @property {number} parameters
 * @property {FileRecord & {folder: string}} selftest the reference images
 * @property {string} manifest what the library loads
 * @property {Variant[]} variants
 *
 * The library's element, and the one engine that it has; null where the site has nothing for that.
 * @typedef {{element: string, engine: string} | null} Library
 *
 * @typedef {object} SiteData
 * @property {number} schema_version
 * @property {string} version
 * @property {{worker: string, client: string, wasm: string, service_worker: string, library: Library}} assets
 * @property {Record<string, {title: string, backends: string[]}>} engines
 * @property {Record<string, string>} backends
 * @property {Model[]} models
 */

export {};
