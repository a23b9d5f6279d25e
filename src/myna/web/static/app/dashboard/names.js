// The names of keys by id, across all projects.
import { ask } from "../api.js";
import { useEffect, useSignal } from "../html.js";

/** `nameOf`: a key's name, or its id if the user may not see the name. `all`: pairs of id and name.
 * @typedef {{nameOf: (id: string) => string, all: string[][]}} KeyNames */

/**
 * Reloaded when the projects are, or when `turn` changes.
 * @param {any[]} projects @param {number} turn @returns {KeyNames}
 */
export function useKeyNames(projects, turn) {
  const names = useSignal(/** @type {Map<string, string>} */ (new Map()));
  const ids = projects.map((project) => project.id).join(" ");
  useEffect(() => {
    Promise.all(
      projects.map((project) => ask("GET", `v1/organization/projects/${encodeURIComponent(project.id)}/api_keys?limit=100&include_revoked=true`)),
    ).then(
      (pages) => (names.value = new Map(pages.flatMap((page) => page.data).map((key) => [key.id, key.name]))),
      () => {}, // ids are enough
    );
  }, [ids, turn]);
  return { nameOf: (id) => names.value.get(id) ?? id, all: [...names.value] };
}
