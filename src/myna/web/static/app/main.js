// The page's entry point.
import { html, render } from "./html.js";
import { start } from "./session.js";
import { Shell } from "./shell.js";

const root = document.getElementById("app");
if (root) render(html`<${Shell} />`, root);
start();
