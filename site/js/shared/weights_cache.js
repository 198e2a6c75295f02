/** The Cache API's name for verified weights, which all sites of this kind on an origin share. */
export const CACHE_NAME = 'vit-pages:weights:1';
