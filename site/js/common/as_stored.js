/** How bitmaps are made of pictures: with the pixels as stored, since models are trained on those; only turned upright. */
export const AS_STORED = /** @type {const} */ ({
  imageOrientation: 'from-image',
  premultiplyAlpha: 'none',
  colorSpaceConversion: 'none',
});
