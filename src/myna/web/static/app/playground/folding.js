// Builds answers from responses: folds in each event of a stream, or a complete body.
import { newAnswer } from "./values.js";

/** @typedef {import("./values.js").Answer} Answer */
/** @typedef {import("./values.js").Token} Token */
/** @typedef {import("./values.js").Mode} Mode */

/** Whether the choice contains any visible output. @param {any} choice */
const brings = (choice) => Boolean(choice.text || choice.delta?.content || choice.delta?.reasoning_content || choice.delta?.tool_calls);

/**
 * The answers after one event of the stream, `nowMs` after the request.
 * @param {Answer[]} answers @param {any} event @param {number} nowMs @returns {Answer[]}
 */
export function foldEvent(answers, event, nowMs) {
  let folded = [...answers];
  for (const choice of event.choices ?? []) {
    const before = folded[choice.index] ?? newAnswer(event.model);
    const after = foldChoice({ ...before, model: event.model }, choice);
    folded[choice.index] = brings(choice) ? timed(after, nowMs) : after;
  }
  if (event.usage) folded = folded.map((answer) => counted(answer, event.usage));
  return folded;
}

/** The answers in a complete body. @param {any} body @param {number} nowMs @param {Mode} mode @returns {Answer[]} */
export function foldWhole(body, nowMs, mode) {
  return body.choices.map((/** @type {any} */ choice) => {
    const { message } = choice;
    const calls = message?.tool_calls?.map((/** @type {any} */ call, /** @type {number} */ index) => ({ ...call, index }));
    const asDelta = mode === "chat" ? { ...choice, delta: { ...message, tool_calls: calls } } : choice;
    return counted(timed(foldChoice(newAnswer(body.model), asDelta), nowMs), body.usage);
  });
}

/** @param {Answer} answer @param {any} choice @returns {Answer} */
function foldChoice(answer, choice) {
  const { delta = {} } = choice;
  const calls = delta.tool_calls ?? [];
  return {
    ...answer,
    thought: answer.thought + (delta.reasoning_content ?? ""),
    text: answer.text + (choice.text ?? delta.content ?? ""),
    refusal: answer.refusal + (delta.refusal ?? ""),
    toolCalls: calls.length ? foldCalls(answer.toolCalls, calls) : answer.toolCalls,
    tokens: choice.logprobs ? [...answer.tokens, ...tokensOf(choice.logprobs)] : answer.tokens,
    finish: choice.finish_reason ?? answer.finish,
  };
}

/** @param {import("./values.js").ToolCall[]} calls @param {any[]} deltas */
function foldCalls(calls, deltas) {
  const folded = [...calls];
  for (const { index, id, function: said } of deltas) {
    const before = folded[index] ?? { id: "", name: "", arguments: "" };
    folded[index] = {
      id: id ?? before.id,
      name: before.name + (said?.name ?? ""),
      arguments: before.arguments + (said?.arguments ?? ""),
    };
  }
  return folded;
}

/** Both formats of log-probabilities: chat's list of tokens, and the parallel lists of completions. @param {any} logprobs @returns {Token[]} */
function tokensOf(logprobs) {
  if (Array.isArray(logprobs.content)) return logprobs.content.map(chatToken);
  if (!Array.isArray(logprobs.tokens)) return [];
  return logprobs.tokens.map((/** @type {string} */ text, /** @type {number} */ place) => ({
    text,
    logprob: logprobs.token_logprobs[place],
    top: Object.entries(logprobs.top_logprobs?.[place] ?? {})
      .map(([other, logprob]) => ({ text: other, logprob: Number(logprob) }))
      .sort((a, b) => b.logprob - a.logprob),
  }));
}

/** @param {any} token @returns {Token} */
export function chatToken(token) {
  const top = (token.top_logprobs ?? []).map((/** @type {any} */ other) => ({ text: other.token, logprob: other.logprob }));
  return { text: token.token, logprob: token.logprob, top };
}

/** @param {Answer} answer @param {number} nowMs @returns {Answer} */
export function timed(answer, nowMs) {
  const { firstMs } = answer.measures;
  return { ...answer, measures: { ...answer.measures, firstMs: firstMs ?? nowMs, lastMs: nowMs } };
}

/** The server counts all choices of a request together; the counts are shown with each answer. @param {Answer} answer @param {any} usage @returns {Answer} */
function counted(answer, usage) {
  const counts = {
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
  };
  return { ...answer, measures: { ...answer.measures, ...counts } };
}

/** Tokens per second after the first, or null if there are too few. @param {Answer} answer @param {number} numAnswers */
export function speedOf(answer, numAnswers) {
  const { firstMs, lastMs, completionTokens } = answer.measures;
  if (firstMs === null || lastMs === null || lastMs <= firstMs || completionTokens < 2) return null;
  return ((completionTokens - numAnswers) / (lastMs - firstMs)) * 1000;
}
