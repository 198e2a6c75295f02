/** The element's style. Pages change it by the custom properties `--vit-…`, and by `::part()` of everything named. */

const CSS = `
:host {
  display: block;
  box-sizing: border-box;
  max-width: 30rem;
  container-type: inline-size;
  font: var(--vit-font, inherit);
  color: var(--vit-color, CanvasText);
  --_accent: var(--vit-accent, #0b6b5d);
  --_on-accent: var(--vit-on-accent, #fff);
  --_bad: var(--vit-bad, #9c2a1c);
  --_line: var(--vit-line, #878c87);
  --_radius: var(--vit-radius, 0.75rem);
}
@supports (color: light-dark(#000, #fff)) {
  :host {
    --_accent: var(--vit-accent, light-dark(#0b6b5d, #64cdb8));
    --_on-accent: var(--vit-on-accent, light-dark(#fff, #06231d));
    --_bad: var(--vit-bad, light-dark(#9c2a1c, #ff9d8c));
  }
}
:host([hidden]), [hidden] { display: none !important; }
*, *::before, *::after { box-sizing: border-box; }
p, ol, ul { margin: 0; padding: 0; }
ol, ul { list-style: none; }
[part~="base"] {
  display: grid;
  gap: 0.75rem;
  padding: 1rem;
  background: var(--vit-background, Canvas);
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
}
[part~="frame"] {
  display: grid;
  place-items: center;
  min-height: 12rem;
  padding: 0.5rem;
  border: 2px dashed var(--_line);
  border-radius: calc(var(--_radius) * 0.75);
  text-align: center;
  overflow: hidden;
}
[part~="frame"].over { border-color: var(--_accent); border-style: solid; }
[part~="preview"], [part~="video"] { max-width: 100%; max-height: 20rem; border-radius: calc(var(--_radius) * 0.5); }
[part~="preview"].pixels { width: min(10rem, 100%); image-rendering: pixelated; }
[part~="video"].mirrored { transform: scaleX(-1); }
[part~="controls"], [part~="progress"] { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
[part~="progress"] progress { flex: 1 1 8rem; accent-color: var(--_accent); }
button {
  min-height: 44px;
  min-width: 44px;
  padding: 0.25rem 1rem;
  font: inherit;
  color: inherit;
  background: transparent;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) * 0.75);
  cursor: pointer;
}
button.primary { color: var(--_on-accent); background: var(--_accent); border-color: var(--_accent); }
button:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
[part~="status"] { min-height: 1.5em; }
[part~="error"] { padding: 0.5rem 0.75rem; border-left: 4px solid var(--_bad); }
[part~="error-message"] { color: var(--_bad); }
[part~="results"] { display: grid; gap: 0.5rem; }
[part~="result"] { display: grid; grid-template-columns: 1fr auto; gap: 0 0.75rem; overflow-wrap: anywhere; }
[part~="share"] { font-variant-numeric: tabular-nums; }
[part~="bar"] { grid-column: 1 / -1; height: 0.375rem; border-radius: 1rem; overflow: hidden; border: 1px solid var(--_line); }
[part~="bar"]::before {
  content: "";
  display: block;
  height: 100%;
  width: 100%;
  background: var(--_accent);
  transform: scaleX(var(--share));
  transform-origin: left;
}
[part~="result"]:dir(rtl) [part~="bar"]::before { transform-origin: right; }
[part~="notices"] { font-size: 0.875em; }
@media (prefers-reduced-motion: no-preference) {
  [part~="bar"]::before { transition: transform 0.3s; }
}
@media (forced-colors: active) {
  [part~="bar"]::before { background: Highlight; }
}
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** The one sheet of all elements; made in a way that a page's policy on inline styles allows. @returns {CSSStyleSheet} */
export function styleSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
