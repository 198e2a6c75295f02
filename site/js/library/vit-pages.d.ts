/** The version of the library, and of ViT Pages. */
export declare const version: string;

/** What can be classified. A text is an address, resolved as the page's own links are; other hosts must send CORS. */
export type ImageInput =
  | Blob
  | string
  | URL
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | ImageBitmap
  | ImageData
  | VideoFrame;

/** How loading goes, in bytes; only while downloading `loaded` grows. */
export interface Progress {
  phase: 'download' | 'decode' | 'compile' | 'first_run' | 'selftest';
  loaded: number;
  total: number;
}

export interface LoadOptions {
  /** Which variant, such as `w8a8_gptq-vit`; left out, the first one that the library runs. */
  variant?: string;
  /** Threads; left out, as many as are the fastest. Without cross-origin isolation there is one. */
  threads?: number;
  /** Ends loading, which then rejects with the code `aborted`. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Where the library's folder `assets` lies, for bundlers that move it; left out, beside its folder `lib`. */
  assets?: string | URL;
}

export interface ClassifyOptions {
  /** How many classes, from 1 on; left out, five. */
  top?: number;
  /** Rejects with the code `aborted`. */
  signal?: AbortSignal;
}

export interface Prediction {
  label: string;
  /** Its place among the model's outputs. */
  index: number;
  /** 0 … 1 */
  probability: number;
}

export interface Classification {
  /** The most probable classes, best first; empty for a model without classes, whose embedding `logits` is. */
  top: Prediction[];
  /** Whether the image is probably of none of the classes; false where the model was published without that. */
  unknown: boolean;
  /** The model's outputs as they are. */
  logits: Float32Array;
  /** Pixels of the image, upright. */
  width: number;
  height: number;
  /** What people should know of how the image was read, such as that only the first frame was used. */
  notices: string[];
  preprocessMs: number;
  inferenceMs: number;
}

/** A loaded model, in a worker of its own. */
export interface Classifier {
  readonly name: string;
  readonly title: string;
  readonly labels: readonly string[];
  /** Where the weights come from; with `random` ones, predictions are meaningless. */
  readonly weights: 'pretrained' | 'random' | 'checkpoint' | 'embedded';
  readonly licence: string;
  readonly source: string;
  /** The variant that was loaded. */
  readonly variant: string;
  /** Size of its files. */
  readonly bytes: number;
  readonly threads: number;
  /** Why there are no more threads; empty where there is nothing to say. */
  readonly threadsReason: string;
  /** Whether nothing had to be downloaded. */
  readonly fromCache: boolean;
  /** What people should know of how the model was loaded, such as that the browser keeps no files. */
  readonly notices: readonly string[];
  /**
   * Classify an image, in the worker; the image stays on this device. Calls that overlap wait for each other.
   * Rejects with a `VitError`.
   */
  classify(image: ImageInput, options?: ClassifyOptions): Promise<Classification>;
  /** End the worker and free its memory; calls that wait, and later ones, reject with the code `disposed`. */
  dispose(): void;
}

/**
 * Load a published model: fetch its manifest, then the variant's files (from this device, once they were verified),
 * check their SHA-256, compile, and run the self-test. Rejects with a `VitError`.
 */
export declare function load(manifest: string | URL, options?: LoadOptions): Promise<Classifier>;

/** Delete all weights that are kept on this device for pages of this origin. */
export declare function clearCache(): Promise<void>;

/** What went wrong. The documentation of the library lists the codes. */
export type ErrorCode =
  | 'aborted'
  | 'backend_unavailable'
  | 'bad_input'
  | 'bad_manifest'
  | 'bad_model'
  | 'bad_request'
  | 'blocked_by_policy'
  | 'browser_too_old'
  | 'cross_origin_image'
  | 'damaged_image'
  | 'disposed'
  | 'empty_file'
  | 'hash_mismatch'
  | 'html_instead'
  | 'http_error'
  | 'image_too_large'
  | 'image_too_thin'
  | 'insecure_context'
  | 'internal'
  | 'network_lost'
  | 'no_simd'
  | 'not_an_image'
  | 'not_loaded'
  | 'out_of_memory'
  | 'unknown_variant'
  | 'wrong_length'
  | 'wrong_result'
  | (string & {});

/** Every error of the library: a stable code, what happened, and the next step. */
export declare class VitError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
}
