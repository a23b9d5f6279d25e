// Exports conversations as files; doesn't trust imported ones.
import { t } from "../language.js";
import { JsonFault, parseJson } from "./json_text.js";
import { PARAMETERS } from "./parameters.js";
import { MODES, newAnswer, newConversation, newId, newPane, titleOf } from "./values.js";

/** @typedef {import("./values.js").Conversation} Conversation */
/** @typedef {import("./values.js").Answer} Answer */

const FORMAT = "myna-conversation";
const VERSION = 1;
const MAX_BYTES = 64 << 20;

/** A file that can't be imported; the message is for the user. */
export class BadFile extends Error {}

/** Let the user download the conversation as a file. @param {Conversation} conversation */
export function exportFile(conversation) {
  const text = JSON.stringify({ format: FORMAT, version: VERSION, conversation }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `${fileName(titleOf(conversation)) || "conversation"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {string} title */
const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 50);

/** The conversation in the file, under a new id. Throws `BadFile`. @param {File} file @returns {Promise<Conversation>} */
export async function importFile(file) {
  if (file.size > MAX_BYTES) throw new BadFile(t("import.large"));
  return readConversation(await file.text());
}

/** @param {string} text @returns {Conversation} */
export function readConversation(text) {
  let read;
  try {
    read = parseJson(text);
  } catch (error) {
    const { line, column } = /** @type {JsonFault} */ (error);
    throw new BadFile(t("import.notJson", { line, column }));
  }
  if (read?.format !== FORMAT) throw new BadFile(t("import.notOurs"));
  if (read.version !== VERSION) throw new BadFile(t("import.version", { version: String(read.version) }));
  return conversationOf(read.conversation);
}

/** @param {any} from @returns {Conversation} */
function conversationOf(from) {
  const mode = oneOf(from?.mode, MODES, "mode");
  const panes = listOf(from.panes, "panes");
  if (panes.length < 1 || panes.length > 2) throw damaged("panes");
  const made = newConversation(mode, "");
  return { ...made, title: textOf(from.title, "title").slice(0, 200), draft: textOf(from.draft ?? "", "draft"), panes: panes.map(paneOf) };
}

/** @param {any} from @returns {import("./values.js").Pane} */
function paneOf(from) {
  const known = new Set(PARAMETERS.map((parameter) => parameter.name));
  const values = Object.entries(from?.values ?? {}).filter(([name, value]) => known.has(name) && isPlain(value));
  return {
    ...newPane(textOf(from?.model, "model")),
    system: textOf(from.system, "system"),
    prompt: textOf(from.prompt, "prompt"),
    values: Object.fromEntries(values),
    turns: listOf(from.turns, "turns").map(turnOf),
  };
}

/** @param {any} value */
const isPlain = (value) =>
  ["string", "number", "boolean"].includes(typeof value) ||
  (Array.isArray(value) && value.every((line) => typeof line === "string"));

/** @param {any} from @returns {import("./values.js").Turn} */
function turnOf(from) {
  const role = oneOf(from?.role, ["user", "assistant", "tool"], "role");
  const answers = listOf(from.answers, "answers").map(answerOf);
  if ((role === "assistant") !== answers.length > 0) throw damaged("answers");
  const chosen = Number.isInteger(from.chosen) && answers[from.chosen] ? from.chosen : 0;
  const turn = { id: newId(), role, text: textOf(from.text, "text"), toolCallId: textOf(from.toolCallId, "toolCallId"), answers, chosen };
  return from.isLeftOut === true ? { ...turn, isLeftOut: true } : turn;
}

/** @param {any} from @returns {Answer} */
function answerOf(from) {
  const made = newAnswer(textOf(from?.model, "model"));
  const measures = Object.entries(made.measures).map(([name, usual]) => [name, numberOf(from.measures?.[name], usual)]);
  return {
    ...made,
    state: from.state === "done" ? "done" : "stopped",
    thought: textOf(from.thought, "thought"),
    text: textOf(from.text, "text"),
    refusal: textOf(from.refusal, "refusal"),
    finish: textOf(from.finish, "finish"),
    toolCalls: listOf(from.toolCalls, "toolCalls").map((call) => ({
      id: textOf(call?.id, "toolCalls"),
      name: textOf(call.name, "toolCalls"),
      arguments: textOf(call.arguments, "toolCalls"),
    })),
    tokens: listOf(from.tokens, "tokens").map(tokenOf),
    measures: Object.fromEntries(measures),
    ...(from.items !== undefined && { items: listOf(from.items, "items").map(itemOf) }),
  };
}

/** @param {any} from @returns {import("./values.js").Item} */
function itemOf(from) {
  const texts = ["id", "type", "status", "text", "name", "callId"].map((name) => [name, textOf(from?.[name], "items")]);
  return { .../** @type {any} */ (Object.fromEntries(texts)), tokens: listOf(from.tokens, "items").map(tokenOf) };
}

/** @param {any} from @returns {import("./values.js").Token} */
function tokenOf(from) {
  return {
    text: textOf(from?.text, "tokens"),
    logprob: numberOf(from.logprob, null),
    top: listOf(from.top, "tokens").map((other) => ({
      text: textOf(other?.text, "tokens"),
      logprob: Number(numberOf(other.logprob, 0)),
    })),
  };
}

/** @param {string} where */
const damaged = (where) => new BadFile(t("import.damaged", { where }));

/** @param {any} value @param {string} where @returns {string} */
function textOf(value, where) {
  if (typeof value !== "string") throw damaged(where);
  return value;
}

/** @param {any} value @param {string} where @returns {any[]} */
function listOf(value, where) {
  if (!Array.isArray(value)) throw damaged(where);
  return value;
}

/** @param {any} value @param {number | null} usual */
const numberOf = (value, usual) => (typeof value === "number" && Number.isFinite(value) ? value : usual);

/** @template {string} T @param {any} value @param {T[]} allowed @param {string} where @returns {T} */
function oneOf(value, allowed, where) {
  if (!allowed.includes(value)) throw damaged(where);
  return value;
}
