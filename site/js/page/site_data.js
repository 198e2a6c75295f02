/** What the page offers: the JSON block that was rendered into it, read once. */

const SCHEMA_VERSION = 1;

/** Read the page's JSON block; throws when the page and its script are of different versions. @returns {import('../common/site_data.js').SiteData} */
export function readSiteData() {
  const block = document.getElementById('site-data');
  if (!block?.textContent) throw new Error('The page has no site data.');
  const siteData = JSON.parse(block.textContent);
  if (siteData.schema_version !== SCHEMA_VERSION) {
    throw new Error(
      `The page's data has version ${siteData.schema_version}, its script version ${SCHEMA_VERSION}. Reload the page.`,
    );
  }
  return siteData;
}
