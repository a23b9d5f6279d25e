// Every parameter of a request: the kind of its value, its bounds, and the endpoints that accept it.
// The name and meaning shown to users are in words/ under `param.NAME` and `param.NAME.meaning`.

/** @typedef {import("./values.js").Mode} Mode */
/**
 * `usual` is the server's default; `word` is the key of its words if two endpoints
 * use one name for different things, `check` that of its checks and example; `isExtension` marks what OpenAI's clients don't support.
 * @typedef {{name: string, kind: "decimal" | "integer" | "flag" | "text" | "lines" | "choice" | "json",
 *   modes: Mode[], group: string, min?: number, max?: number, step?: number, usual?: number | boolean | string,
 *   choices?: string[], word?: string, check?: string, longest?: number, isExtension?: boolean}} Parameter
 */

/** @type {Mode[]} */
const ALL = ["chat", "responses", "completion"];
/** @type {Mode[]} */
const BOTH = ["chat", "completion"];
/** @type {Mode[]} */
const TURNS = ["chat", "responses"];
/** @type {Mode[]} */
const CHAT = ["chat"];
/** @type {Mode[]} */
const RESPONSES = ["responses"];
/** @type {Mode[]} */
const COMPLETION = ["completion"];

export const GROUPS = ["sampling", "length", "structure", "request"];

/** @type {readonly Parameter[]} */
export const PARAMETERS = [
  { name: "temperature", kind: "decimal", modes: ALL, group: "sampling", min: 0, max: 2, step: 0.05, usual: 1 },
  { name: "top_p", kind: "decimal", modes: ALL, group: "sampling", min: 0, max: 1, step: 0.01, usual: 1 },
  { name: "top_k", kind: "integer", modes: BOTH, group: "sampling", min: 0, usual: 0, isExtension: true },
  {
    name: "min_p",
    kind: "decimal",
    modes: BOTH,
    group: "sampling",
    min: 0,
    max: 1,
    step: 0.01,
    usual: 0,
    isExtension: true,
  },
  {
    name: "repetition_penalty",
    kind: "decimal",
    modes: BOTH,
    group: "sampling",
    min: 0.01,
    max: 10,
    step: 0.01,
    usual: 1,
    isExtension: true,
  },
  { name: "presence_penalty", kind: "decimal", modes: ALL, group: "sampling", min: -2, max: 2, step: 0.1, usual: 0 },
  { name: "frequency_penalty", kind: "decimal", modes: ALL, group: "sampling", min: -2, max: 2, step: 0.1, usual: 0 },
  { name: "seed", kind: "integer", modes: BOTH, group: "sampling" },
  { name: "logit_bias", kind: "json", modes: BOTH, group: "sampling" },
  { name: "logprobs", kind: "flag", modes: CHAT, group: "sampling", usual: false },
  { name: "top_logprobs", kind: "integer", modes: TURNS, group: "sampling", min: 0, max: 20, usual: 0 },
  { name: "logprobs", kind: "integer", modes: COMPLETION, group: "sampling", min: 0, max: 5, word: "logprobs_legacy" },

  { name: "max_completion_tokens", kind: "integer", modes: CHAT, group: "length", min: 1 },
  { name: "max_output_tokens", kind: "integer", modes: RESPONSES, group: "length", min: 16 },
  { name: "max_tokens", kind: "integer", modes: COMPLETION, group: "length", min: 0, usual: 16 },
  { name: "stop", kind: "lines", modes: BOTH, group: "length", max: 16 },
  { name: "stop_token_ids", kind: "json", modes: BOTH, group: "length", isExtension: true },
  { name: "min_tokens", kind: "integer", modes: BOTH, group: "length", min: 0, usual: 0, isExtension: true },
  { name: "ignore_eos", kind: "flag", modes: BOTH, group: "length", usual: false, isExtension: true },
  {
    name: "reasoning_effort",
    kind: "choice",
    modes: CHAT,
    group: "length",
    choices: ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
  },
  {
    name: "reasoning.effort",
    kind: "choice",
    modes: RESPONSES,
    group: "length",
    choices: ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
    word: "reasoning_effort",
  },
  {
    name: "reasoning.summary",
    kind: "choice",
    modes: RESPONSES,
    group: "length",
    choices: ["auto", "concise", "detailed"],
    word: "reasoning_summary",
  },
  { name: "truncation", kind: "choice", modes: RESPONSES, group: "length", choices: ["auto", "disabled"], usual: "disabled" },
  { name: "n", kind: "integer", modes: BOTH, group: "length", min: 1, max: 128, usual: 1 },
  { name: "best_of", kind: "integer", modes: COMPLETION, group: "length", min: 0, max: 20, usual: 1 },

  { name: "suffix", kind: "text", modes: COMPLETION, group: "structure" },
  { name: "echo", kind: "flag", modes: COMPLETION, group: "structure", usual: false },
  {
    name: "response_format",
    kind: "choice",
    modes: CHAT,
    group: "structure",
    choices: ["text", "json_object", "json_schema"],
    usual: "text",
  },
  {
    name: "text.format",
    kind: "choice",
    modes: RESPONSES,
    group: "structure",
    choices: ["text", "json_object", "json_schema"],
    usual: "text",
    word: "response_format",
  },
  { name: "json_schema", kind: "json", modes: TURNS, group: "structure" },
  { name: "tools", kind: "json", modes: CHAT, group: "structure" },
  { name: "tools", kind: "json", modes: RESPONSES, group: "structure", check: "flat_tools" },
  { name: "tool_choice", kind: "choice", modes: TURNS, group: "structure", choices: ["auto", "none", "required"] },
  { name: "parallel_tool_calls", kind: "flag", modes: TURNS, group: "structure", usual: true },
  { name: "prediction", kind: "text", modes: CHAT, group: "structure" },

  { name: "stream", kind: "flag", modes: ALL, group: "request", usual: true },
  { name: "store", kind: "flag", modes: CHAT, group: "request", usual: false },
  { name: "store", kind: "flag", modes: RESPONSES, group: "request", usual: true, word: "store_response" },
  { name: "metadata", kind: "json", modes: TURNS, group: "request" },
  {
    name: "service_tier",
    kind: "choice",
    modes: TURNS,
    group: "request",
    choices: ["auto", "default", "fast", "flex", "priority"],
  },
  { name: "user", kind: "text", modes: ALL, group: "request" },
  { name: "safety_identifier", kind: "text", modes: TURNS, group: "request", longest: 64 },
  { name: "prompt_cache_key", kind: "text", modes: TURNS, group: "request" },
  { name: "prompt_cache_retention", kind: "choice", modes: TURNS, group: "request", choices: ["in_memory", "24h"] },
  { name: "prompt_cache_options", kind: "json", modes: TURNS, group: "request" },
];

/** @param {Mode} mode */
export const parametersOf = (mode) => PARAMETERS.filter((parameter) => parameter.modes.includes(mode));

/** The key of the parameter's words. @param {Parameter} parameter */
export const wordOf = (parameter) => `param.${parameter.word ?? parameter.name}`;

/** What is wrong with the value, as a key in words/ and its placeholders; null if it is valid.
 * @param {Parameter} parameter @param {any} value @returns {[string, Record<string, string | number>] | null} */
export function faultOf(parameter, value) {
  const { kind, min, max } = parameter;
  if (kind === "decimal" || kind === "integer") {
    if (typeof value !== "number" || !Number.isFinite(value)) return ["fault.number", {}];
    if (kind === "integer" && !Number.isSafeInteger(value)) return ["fault.whole", {}];
    if (min !== undefined && value < min) return ["fault.least", { min }];
    if (max !== undefined && value > max) return ["fault.most", { max }];
  }
  if (kind === "lines" && max !== undefined && value.length > max) return ["fault.lines", { max }];
  if (parameter.longest && value.length > parameter.longest) return ["fault.longest", { max: parameter.longest }];
  return null;
}
