/**
 * What the page asks of its worker, and what it gets: the protocol that `rpc.js` carries between the two.
 *
 * @typedef {object} Requests
 * @property {{payload: string, result: BackendState[]}} backends of the engine of that name
 * @property {{result: Device}} device
 * @property {{result: void}} checkPictures fails in a browser that alters the pixels of pictures
 * @property {{payload: LoadRequest, result: Loaded, progress: LoadProgress}} load
 * @property {{result: void}} unload
 * @property {{payload: {image: Image, topk?: number}, result: Classification}} classify
 * @property {{payload: {images: Image[], topk?: number}, result: Prediction[]}} classifyAll
 * @property {{payload: {warmup_max?: number, runs?: number}, result: BenchmarkResult, progress: BenchmarkProgress}} benchmark
 * @property {{payload: string, result: void}} clearCache of the site with that root
 *
 * What the library asks of its worker: that it answers, told where its files lie, and what the page asks too.
 * @typedef {Pick<Requests, 'load' | 'classify'> & {hello: {payload: string, result: void}}} LibraryRequests
 *
 * @typedef {object} Notices
 * @property {{wasmPath: string}} configure
 * @property {{hidden: boolean}} visibility
 *
 * @typedef {Blob | ImageData | ImageBitmap} Image
 *
 * @typedef {object} BackendState
 * @property {string} name
 * @property {boolean} available
 * @property {string} reason why not, or what to know about it; '' when there is nothing to say
 *
 * @typedef {object} Device
 * @property {string} user_agent
 * @property {string} browser name and version, where the browser tells (User-Agent Client Hints)
 * @property {string} platform operating system, version and architecture, where told
 * @property {string} model of a phone, where told
 * @property {number} logical_cores 0 when not told
 * @property {number | null} memory_gb as the browser rounds it; null when not told
 * @property {string} gpu
 * @property {boolean} simd
 * @property {boolean} relaxed_simd
 * @property {boolean} isolated whether the page is cross-origin isolated, which threads need
 * @property {number} threads most threads a wasm engine may have here
 *
 * @typedef {object} LoadRequest
 * @property {Pick<import('./site_data.js').Model, 'name' | 'features' | 'probabilities' | 'confidence' | 'outputs' | 'preprocess' | 'selftest'>} model
 * @property {Pick<import('./site_data.js').Variant, 'id' | 'engine' | 'folder' | 'bytes' | 'files' | 'sha256' | 'selftest'>} variant
 * @property {string} backend
 * @property {string} base absolute URL of the site's root, with a final slash
 * @property {number} [threads] left out, as many as pay
 * @property {number} [batch] most images that are to go through the model at once, where the engine can; left out, one
 * @property {string} [build] of the engine, instead of the one for this device
 *
 * @typedef {{phase: 'download' | 'decode' | 'compile' | 'first_run' | 'selftest', loaded: number, total: number}} LoadProgress bytes
 *
 * @typedef {object} Threads
 * @property {number} threads
 * @property {string} threads_reason why there are no more, or may soon be fewer; '' when it is as requested
 *
 * @typedef {LoadedModel & Threads} Loaded
 * @typedef {object} LoadedModel
 * @property {string} backend
 * @property {string} [build] which of the engine's builds runs, for engines that have several
 * @property {{download_ms: number, decode_ms: number, compile_ms: number, first_run_ms: number}} cold
 *   download: weights (from the cache when `from_cache`), verified, and the engine's code; decode: stored numbers →
 *   float32; compile: back end and graph; first run: with its shader compilation and read-back
 * @property {import('./selftest_result.js').SelfTestResult} selftest
 * @property {boolean} from_cache
 * @property {number} bytes
 * @property {string[]} notices
 *
 * @typedef {object} Prediction
 * @property {{index: number, probability: number}[]} top empty for a feature model
 * @property {boolean} unknown whether the image is probably of none of the model's classes; false where that is not known
 * @property {Float32Array} logits
 *
 * @typedef {Prediction & SingleRun} Classification
 * @typedef {object} SingleRun
 * @property {number} width of the image, upright
 * @property {number} height
 * @property {string[]} notices what a visitor should know of how the image was read
 * @property {number} preprocess_ms decoding the image included
 * @property {number} inference_ms read-back included
 *
 * @typedef {import('./benchmark.js').Measurement & Threads} BenchmarkResult what was timed, and with which threads
 * @typedef {import('./benchmark.js').Progress} BenchmarkProgress
 */

export {};
