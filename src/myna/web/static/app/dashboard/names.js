// The names that keys were given, by their ids, over all projects.
import { ask } from "../api.js";
import { useEffect, useSignal } from "../html.js";

/**
 * A key's name, or its id where the reader may not see it. Asked for anew when the projects are, or `turn` changes.
 * @param {any[]} projects @param {number} turn @returns {(id: string) => string}
 */
export function useKeyNames(projects, turn) {
  const names = useSignal(/** @type {Map<string, string>} */ (new Map()));
  const ids = projects.map((project) => project.id).join(" ");
  useEffect(() => {
    Promise.all(
      projects.map((project) => ask("GET", `v1/organization/projects/${encodeURIComponent(project.id)}/api_keys?limit=100&include_revoked=true`)),
    ).then(
      (pages) => (names.value = new Map(pages.flatMap((page) => page.data).map((key) => [key.id, key.name]))),
      () => {}, // ids do, too
    );
  }, [ids, turn]);
  return (id) => names.value.get(id) ?? id;
}
