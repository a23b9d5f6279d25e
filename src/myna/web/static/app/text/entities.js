// HTML character references that people and models write in Markdown.

/** @type {Record<string, string>} */
const NAMED = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…",
  mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", times: "×",
  divide: "÷", plusmn: "±", deg: "°", micro: "µ", middot: "·", bull: "•", larr: "←", uarr: "↑", rarr: "→", darr: "↓",
  le: "≤", ge: "≥", ne: "≠", infin: "∞", alpha: "α", beta: "β", gamma: "γ", delta: "δ", pi: "π", sigma: "σ",
  euro: "€", pound: "£", yen: "¥", cent: "¢", sect: "§", para: "¶",
};

/** @param {string} text */
export function decodeEntities(text) {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{2,8}));/g, (whole, decimal, hex, name) => {
    if (name) return NAMED[name] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    const isText = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return isText ? String.fromCodePoint(code) : "\ufffd";
  });
}
