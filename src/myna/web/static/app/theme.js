// Light or dark: follows the system until the user chooses.
import { computed, effect, signal } from "./html.js";
import { preferences } from "./storage.js";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const isSystemDark = signal(system.matches);
const chosen = signal(preferences.get("theme"));

system.addEventListener("change", () => {
  isSystemDark.value = system.matches;
});

export const theme = computed(() => {
  if (chosen.value === "light" || chosen.value === "dark") return chosen.value;
  return isSystemDark.value ? "dark" : "light";
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

/** Switch to the other theme. */
export function switchTheme() {
  chosen.value = theme.value === "dark" ? "light" : "dark";
  preferences.set("theme", chosen.value);
}
