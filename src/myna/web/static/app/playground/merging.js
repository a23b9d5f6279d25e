// A three-way merge of one conversation that was changed in two tabs.

/** @typedef {import("./values.js").Conversation} Conversation */
/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

/**
 * `mine` with the changes in `theirs`. Values are compared by identity: what is the same object in `mine` and
 * `base` is unchanged here. If both sides changed the same value, `mine` wins.
 * @param {Conversation} base @param {Conversation} mine @param {Conversation} theirs @returns {Conversation}
 */
export function merged(base, mine, theirs) {
  if (mine === base) return theirs;
  return {
    ...theirs,
    title: ours(base.title, mine.title, theirs.title),
    draft: ours(base.draft, mine.draft, theirs.draft),
    updated: Math.max(mine.updated, theirs.updated),
    panes: mergedList(base.panes, mine.panes, theirs.panes, mergedPane),
  };
}

/** @template T @param {T} base @param {T} mine @param {T} theirs */
const ours = (base, mine, theirs) => (mine === base ? theirs : mine);

/** @param {Pane} base @param {Pane} mine @param {Pane} theirs @returns {Pane} */
function mergedPane(base, mine, theirs) {
  return {
    id: mine.id,
    model: ours(base.model, mine.model, theirs.model),
    system: ours(base.system, mine.system, theirs.system),
    prompt: ours(base.prompt, mine.prompt, theirs.prompt),
    values: ours(base.values, mine.values, theirs.values),
    turns: mergedList(base.turns, mine.turns, theirs.turns, (_, turn) => turn),
  };
}

/**
 * Their list with the removals, changes and additions made here. An item added here comes after
 * its predecessor here, and after what they added there.
 * @template {{id: string}} T
 * @param {T[]} base @param {T[]} mine @param {T[]} theirs @param {(base: T, mine: T, theirs: T) => T} mergeItem
 * @returns {T[]}
 */
function mergedList(base, mine, theirs, mergeItem) {
  if (mine === base) return theirs;
  const [before, here, there] = [byId(base), byId(mine), byId(theirs)];
  const list = theirs.filter(({ id }) => here.has(id) || !before.has(id));
  mine.forEach((item, place) => {
    const [was, other] = [before.get(item.id), there.get(item.id)];
    const at = list.findIndex(({ id }) => id === item.id);
    if (at >= 0 && other) {
      list[at] = was ? (item === was ? other : mergeItem(was, item, other)) : item;
    } else if (!was || item !== was) {
      insertAfter(list, mine[place - 1]?.id, item, here);
    }
  });
  return list;
}

/** @template {{id: string}} T @param {T[]} list @param {string | undefined} id @param {T} item @param {Map<string, T>} here */
function insertAfter(list, id, item, here) {
  let at = list.findIndex((other) => other.id === id) + 1;
  while (at < list.length && !here.has(/** @type {T} */ (list[at]).id)) at++;
  list.splice(at, 0, item);
}

/** @template {{id: string}} T @param {T[]} list @returns {Map<string, T>} */
const byId = (list) => new Map(list.map((item) => [item.id, item]));
