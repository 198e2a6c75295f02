/** The camera: on only after a click, off as soon as it is not needed, and each reason why not said apart. */

import { failure } from '../errors.js';

/** Ideal values only: any camera will do. */
const WISHES = { audio: false, video: { facingMode: { ideal: 'environment' }, width: { ideal: 1280 } } };

/** What the browser's error means: code, message, hint. @type {Record<string, [string, string, string]>} */
const MEANINGS = {
  NotAllowedError: [
    'camera_denied',
    'The browser does not allow this page to use the camera.',
    'Allow it in the browser’s settings for this page, or choose a file.',
  ],
  NotFoundError: ['no_camera', 'This device has no camera.', 'Connect one, or choose a file.'],
  NotReadableError: [
    'camera_busy',
    'The camera cannot be read: another program may be using it.',
    'Close that program, or choose a file.',
  ],
};
const ALIKE = {
  SecurityError: 'NotAllowedError',
  OverconstrainedError: 'NotFoundError',
  AbortError: 'NotReadableError',
};

/** One camera, shown in a video. */
export class Camera {
  #video;
  #onEnd;
  /** @type {MediaStream | null} */
  #stream = null;
  /** Of the last start: an earlier one that is still being asked about is given up. */
  #turn = 0;

  /** @param {HTMLVideoElement} video @param {() => void} onEnd called when the device itself ends it */
  constructor(video, onEnd) {
    this.#video = video;
    this.#onEnd = onEnd;
  }

  /** Whether it is on. */
  get on() {
    return this.#stream !== null;
  }

  /** Whether it looks at the person in front of the screen, who expects a mirror. */
  get mirrored() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().facingMode === 'user';
  }

  /**
   * Ask for the camera and show it; return whether it is still wanted by then.
   *
   * Raises `camera_denied`, `camera_not_embedded`, `no_camera`, `camera_busy` or `camera_unavailable`.
   * @returns {Promise<boolean>}
   */
  async start() {
    this.stop();
    const turn = ++this.#turn;
    const stream = await openStream();
    if (turn !== this.#turn) {
      end(stream);
      return false;
    }
    this.#stream = stream;
    for (const track of stream.getTracks()) track.addEventListener('ended', this.#onEnd);
    this.#video.srcObject = stream;
    await this.#video.play().catch(() => {}); // a video that is taken away meanwhile does not play
    return turn === this.#turn;
  }

  /** Return what it sees now. @returns {Promise<Blob>} */
  async take() {
    const { videoWidth, videoHeight } = this.#video;
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: videoWidth, height: videoHeight });
    canvas.getContext('2d')?.drawImage(this.#video, 0, 0);
    const picture = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    if (!picture) throw failure('bad_input', 'The camera has no picture yet.', { hint: 'Try again in a moment.' });
    return picture;
  }

  /** Switch it off, or give up asking for it. */
  stop() {
    this.#turn++;
    if (this.#stream) end(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
  }
}

/** @param {MediaStream} stream */
function end(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** @returns {Promise<MediaStream>} */
async function openStream() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw failure('camera_unavailable', 'This browser offers no camera to this page.', {
      hint: isSecureContext ? 'Choose a file.' : 'Open the page over https:// or on http://localhost.',
    });
  }
  try {
    return await navigator.mediaDevices.getUserMedia(WISHES);
  } catch (cause) {
    throw explain(/** @type {Error} */ (cause));
  }
}

/** @param {Error} cause */
function explain(cause) {
  const name = ALIKE[/** @type {keyof typeof ALIKE} */ (cause.name)] ?? cause.name;
  if (name === 'NotAllowedError' && forbiddenByFrame()) {
    return failure('camera_not_embedded', 'The page that embeds this one does not let it use the camera.', {
      hint: 'The iframe needs the attribute allow="camera".',
      cause,
    });
  }
  const [code, message, hint] = MEANINGS[name] ?? [
    'camera_unavailable',
    `${cause.name}: ${cause.message}`,
    'Choose a file.',
  ];
  return failure(code, message, { hint, cause });
}

/** Whether the page around this one forbids the camera, where the browser tells. @returns {boolean} */
function forbiddenByFrame() {
  const { featurePolicy } = /** @type {{featurePolicy?: {allowsFeature: (name: string) => boolean}}} */ (
    /** @type {unknown} */ (document)
  );
  return window.parent !== window && featurePolicy?.allowsFeature('camera') === false;
}
