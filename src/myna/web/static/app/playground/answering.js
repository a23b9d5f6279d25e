// Requests to the model: sends a pane's request, folds the response into its turn, ends in one of four ways.
import { ApiError, errorFrom, send } from "../api.js";
import { effect, signal } from "../html.js";
import { t } from "../language.js";
import { findModel, refreshModels, state, wasInterrupted } from "../session.js";
import { change, changePane, changeTurn, current } from "./conversations.js";
import { BrokenOff, eventsOf } from "./events.js";
import { foldEvent, foldWhole } from "./folding.js";
import { foldItemEvent, foldItems, isLastEvent } from "./folding_items.js";
import { fingerprint, forgotten } from "./items.js";
import { BadParameter, bodyOf, PATHS } from "./request.js";
import { answerTurn, newAnswer, saidTurn } from "./values.js";

/** @typedef {import("./values.js").Answer} Answer */
/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

/** How the responses of each mode are read.
 * @type {Record<import("./values.js").Mode, {fold: typeof foldEvent, whole: typeof foldWhole, isLast: (event: any) => boolean}>} */
const READERS = {
  chat: { fold: foldEvent, whole: foldWhole, isLast: () => false },
  responses: { fold: foldItemEvent, whole: foldItems, isLast: isLastEvent },
  completion: { fold: foldEvent, whole: foldWhole, isLast: () => false },
};

/** What stops the running answer, by pane id. */
const running = signal(/** @type {Record<string, AbortController>} */ ({}));
/** The parameter that prevented a request from being sent, and its pane. */
export const obstacle = signal(/** @type {{paneId: string, name: string} | null} */ (null));

/** @param {string} paneId */
export const isRunning = (paneId) => paneId in running.value;
export const isAnyRunning = () => current.value.panes.some((pane) => isRunning(pane.id));

/** Stop the answers of these panes; received text is kept. @param {Pane[]} panes */
export function stop(panes) {
  for (const pane of panes) running.value[pane.id]?.abort();
}

// Signing out stops running answers.
effect(() => {
  if (state.value !== "out" || wasInterrupted.value) return;
  for (const abort of Object.values(running.peek())) abort.abort();
});

/** Send a message to every pane. @param {string} text */
export function ask(text) {
  const { id, panes } = current.value;
  if (panes.some((pane) => isRunning(pane.id) || !canSend(pane))) return false;
  const said = text ? [saidTurn("user", text)] : [];
  for (const pane of panes) {
    if (said.length) changePane(pane.id, (old) => ({ ...old, turns: [...old.turns, saidTurn("user", text)] }), id);
    answer(pane.id);
  }
  return true;
}

/** Send the model the results of its tool calls. @param {Pane} pane @param {Record<string, string>} results */
export function giveResults(pane, results) {
  if (isRunning(pane.id) || !canSend(pane)) return;
  const turns = Object.entries(results).map(([id, text]) => saidTurn("tool", text, id));
  changePane(pane.id, (old) => ({ ...old, turns: [...old.turns, ...turns] }));
  answer(pane.id);
}

/** Whether the pane's settings are valid; if not, the panel shows which one is wrong. @param {Pane} pane */
export function canSend(pane) {
  try {
    bodyOf(current.value.mode, pane);
    obstacle.value = null;
    return true;
  } catch (error) {
    if (!(error instanceof BadParameter)) throw error;
    obstacle.value = { paneId: pane.id, name: error.name };
    return false;
  }
}

/** Generate an answer at the end of the pane. @param {string} paneId */
export function answer(paneId) {
  const turn = answerTurn([]);
  changePane(paneId, (pane) => ({ ...pane, turns: [...pane.turns, turn] }));
  return run(paneId, turn.id);
}

/** Add another answer to the last turn. @param {string} paneId @param {string} turnId */
export async function run(paneId, turnId) {
  const { id, mode, panes } = current.value;
  const pane = panes.find((other) => other.id === paneId);
  if (!pane || isRunning(paneId) || !canSend(pane)) return;
  const place = pane.turns.findIndex((turn) => turn.id === turnId);
  const turns = pane.turns.slice(0, place);
  const heard = mode === "responses" ? { heard: fingerprint(turns) } : {};
  const before = pane.turns[place]?.answers ?? [];
  const abort = new AbortController();
  running.value = { ...running.value, [paneId]: abort };
  const paint = painter((answers) =>
    changeTurn(paneId, turnId, (turn) => ({ ...turn, answers: [...before, ...answers], chosen: before.length }), id),
  );
  paint.now([newAnswer(pane.model)]);
  let last = await receive(mode, bodyOf(mode, pane, turns), abort.signal, paint.soon);
  if (last[0]?.failure?.code === "previous_response_not_found") {
    last = await receive(mode, bodyOf(mode, pane, forgotten(turns)), abort.signal, paint.soon);
  }
  paint.now(last.map((answer) => ({ ...answer, ...heard })));
  const { [paneId]: _, ...others } = running.value;
  running.value = others;
  change((conversation) => conversation, id);
  if (findModel(pane.model)?.is_loaded === false) refreshModels();
}

/**
 * The final answers, however they ended.
 * @param {import("./values.js").Mode} mode @param {Record<string, any>} body @param {AbortSignal} signal
 * @param {(answers: Answer[]) => void} show @returns {Promise<Answer[]>}
 */
async function receive(mode, body, signal, show) {
  const start = performance.now();
  const { fold, whole, isLast } = READERS[mode];
  let answers = [newAnswer(body.model)];
  try {
    const response = await send("POST", PATHS[mode], body, signal);
    if (!body.stream) return ended(whole(await response.json(), performance.now() - start, mode), "done");
    for await (const event of eventsOf(response, isLast)) {
      const error = event.error ?? event.response?.error;
      if (error) throw errorFrom(error);
      answers = fold(answers, event, performance.now() - start);
      show(answers);
    }
    return ended(answers, "done");
  } catch (error) {
    if (signal.aborted) return ended(answers, "stopped");
    return ended(answers, "failed", failureOf(error));
  }
}

/** @param {Answer[]} answers @param {Answer["state"]} state @param {Answer["failure"]} [failure] @returns {Answer[]} */
const ended = (answers, state, failure = null) => answers.map((answer) => ({ ...answer, state, failure }));

/** @param {unknown} error @returns {import("./values.js").Failure} */
function failureOf(error) {
  if (error instanceof ApiError) return { message: error.message, status: error.status, code: error.code };
  const isCut = error instanceof BrokenOff || error instanceof TypeError;
  return { message: isCut ? t("answer.brokeOff") : t("answer.strange", { message: String(error) }), status: 0, code: null };
}

/** Draw at most once per frame: a fast model sends faster than anyone reads. @param {(answers: Answer[]) => void} draw */
function painter(draw) {
  let frame = 0;
  /** @type {Answer[]} */
  let latest = [];
  return {
    /** @param {Answer[]} answers */
    soon(answers) {
      latest = answers;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        draw(latest);
      });
    },
    /** @param {Answer[]} answers */
    now(answers) {
      cancelAnimationFrame(frame);
      frame = 0;
      draw(answers);
    },
  };
}
