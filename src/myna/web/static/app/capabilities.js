// What models can do, in the language of the page.
import { t } from "./language.js";

/** @param {string[]} capabilities */
export const capabilityWords = (capabilities) => capabilities.map((name) => t(`can.${name}`)).join(", ");
