/** What is shown of an image that the element is given. */

import { kindOf } from '../input.js';

/**
 * Return an address of the image for an `<img>`, '' where there is none to show.
 * @param {any} image
 * @returns {Promise<string>}
 */
export async function previewOf(image) {
  if (image instanceof Blob) return URL.createObjectURL(image);
  if (typeof image === 'string' || image instanceof URL) return String(image);
  if (kindOf(image) === 'HTMLImageElement') return image.currentSrc;
  try {
    const drawn = kindOf(image) === 'ImageData' ? await createImageBitmap(image) : image;
    const canvas = document.createElement('canvas');
    canvas.width = drawn.videoWidth ?? drawn.displayWidth ?? drawn.width;
    canvas.height = drawn.videoHeight ?? drawn.displayHeight ?? drawn.height;
    canvas.getContext('2d')?.drawImage(drawn, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    return blob ? URL.createObjectURL(blob) : '';
  } catch {
    return ''; // classifying it says why
  }
}
