// A field that grows with its text, up to its style's maximum height.
import { useLayoutEffect } from "../html.js";

/** @param {{current: HTMLTextAreaElement | null}} field @param {string} text */
export function useGrowing(field, text) {
  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return undefined;
    const fit = () => {
      element.style.height = "auto";
      element.style.height = `${element.scrollHeight + element.offsetHeight - element.clientHeight}px`;
    };
    fit();
    window.addEventListener("resize", fit);
    return () => window.removeEventListener("resize", fit);
  }, [text]);
}
