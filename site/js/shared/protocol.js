/**
 * What the page and its worker say to each other.
 *
 * A request {id, type, payload} is answered by any number of {id, progress} and then {id, ok: true, result} or
 * {id, ok: false, error}. Two messages have no answer: {type: 'abort', id} and {type: 'visibility', hidden}.
 *
 * @typedef {import('./errors.js').PlainError} PlainError
 * @typedef {import('../engines/index.js').BackendState} BackendState
 * @typedef {import('./benchmark.js').BenchmarkResult & Threads} BenchmarkResult what was timed, and with which threads
 * @typedef {import('../worker/device.js').Device} Device
 *
 * @typedef {{type: RequestType, id: number, payload: any}} Request
 * @typedef {{type: 'abort', id: number} | {type: 'visibility', hidden: boolean}} Note
 * @typedef {{id: number, ok: true, result: any} | {id: number, ok: false, error: PlainError}} Settled
 * @typedef {{id: number, progress: any} | Settled} Answer
 *
 * @typedef {'configure' | 'backends' | 'device' | 'clearCache'} SharedType answered at once
 * @typedef {'load' | 'unload' | 'classify' | 'classifyAll' | 'benchmark'} ExclusiveType use the model, so they wait for each other
 * @typedef {SharedType | ExclusiveType} RequestType
 *
 * What is needed of a model and a variant of the site data.
 * @typedef {object} Model
 * @property {string} name
 * @property {boolean} features
 * @property {number} outputs
 * @property {import('../worker/image/preprocess.js').Preprocess} preprocess
 * @property {import('../worker/cache.js').FileRecord & {folder: string}} selftest the reference images
 *
 * @typedef {object} Variant
 * @property {string} id
 * @property {string} engine
 * @property {string} folder
 * @property {number} bytes
 * @property {import('../worker/cache.js').FileRecord[]} files
 * @property {string} sha256
 * @property {import('../worker/selftest.js').Expected} selftest
 *
 * @typedef {object} LoadRequest
 * @property {Model} model
 * @property {Variant} variant
 * @property {string} backend
 * @property {string} base absolute URL of the site's root, with a final slash
 * @property {number} [threads] left out, as many as pay
 * @property {number} [batch] most pictures that are to go through the model at once, where the engine can; left out, one
 * @property {string} [build] of the engine, instead of the one for this device
 *
 * @typedef {'download' | 'decode' | 'compile' | 'first_run' | 'selftest'} Phase
 * @typedef {{phase: Phase, loaded: number, total: number}} LoadProgress bytes
 *
 * @typedef {object} Threads
 * @property {number} threads
 * @property {string} threads_reason why there are no more, or may soon be fewer; '' when it is as asked
 *
 * @typedef {LoadedModel & Threads} Loaded
 * @typedef {object} LoadedModel
 * @property {string} backend
 * @property {string} [build] which of the engine's builds runs, for engines that have several
 * @property {{download_ms: number, decode_ms: number, compile_ms: number, first_run_ms: number}} cold
 *   download: weights (from the cache when `from_cache`), verified, and the engine's code; decode: stored numbers →
 *   float32;
 *   compile: back end and graph; first run: with its shader compilation and read-back
 * @property {import('./verdict.js').SelfTest} selftest
 * @property {boolean} from_cache
 * @property {number} bytes
 * @property {string[]} notices
 *
 * @typedef {object} Outcome
 * @property {{index: number, probability: number}[]} top empty for a feature model
 * @property {Float32Array} logits
 *
 * @typedef {Outcome & Picture} Classified
 * @typedef {object} Picture
 * @property {number} width of the picture, upright
 * @property {number} height
 * @property {string[]} notices
 * @property {number} preprocess_ms decoding the picture included
 * @property {number} inference_ms read-back included
 *
 * @typedef {{phase: 'warmup' | 'run', done: number, total: number, last_ms: number}} BenchmarkProgress
 */

export {};
