// The page's icons: lines of one width in the colour of the surrounding text.
import { html } from "./html.js";

/** @type {Record<string, string>} */
const PATHS = {
  sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  leave: "M10 4H5v16h5m4-4 4-4-4-4m4 4H9",
  send: "M12 19V5m-6 6 6-6 6 6",
  stop: "M7 7h10v10H7z",
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "m5 12.5 4.5 4.5L19 7.5",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  again: "M20 12a8 8 0 1 1-2.3-5.6M20 3v4h-4",
  trash: "M5 7h14M10 7V4h4v3m-7 0 1 13h8l1-13",
  left: "m14 6-6 6 6 6",
  right: "m10 6 6 6-6 6",
  play: "M8 5v14l11-7z",
  sliders: "M4 7h9m4 0h3M4 17h3m4 0h9M15 5v4M9 15v4",
  list: "M4 6h16M4 12h16M4 18h10",
  code: "m8 7-5 5 5 5m8-10 5 5-5 5",
  columns: "M4 5h16v14H4zM12 5v14",
  upload: "M12 16V5M7 9.5 12 4.5l5 5M5 19.5h14",
  download: "M12 4.5V16m-5-5 5 5 5-5M5 19.5h14",
  palette: "M4 6h7v5H4zm9 0h7v5h-7zM4 13h5v5H4zm7 0h9v5h-9z",
  more: "M11.5 5.5a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0m0 6.5a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0m0 6.5a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0",
  close: "M6 6l12 12M18 6 6 18",
  reset: "M4 12a8 8 0 1 0 2.3-5.6M4 3v4h4",
};

/** @param {{name: string}} props */
export function Icon({ name }) {
  return html`<svg class="drawn" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
