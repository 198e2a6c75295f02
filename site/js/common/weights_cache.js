/**
 * The Cache API's name for a site's verified weights; sites of one origin differ by their folder, so that one that
 * removes its own leaves the others'.
 * @param {string} site absolute URL of the site's root, with a final slash
 * @returns {string}
 */
export function weightsCache(site) {
  return `vit-pages:weights:2:${encodeURIComponent(new URL(site).pathname)}`;
}
