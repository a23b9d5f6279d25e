// The body of a request to the Responses API.
import { continued } from "./items.js";

/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

/** What the turns make of it: those that the server has stored aren't sent again. @param {Pane} pane @param {Turn[]} turns */
export function inputBody(pane, turns) {
  const isStored = pane.values.store !== false;
  const { previousId, input } = continued(isStored ? turns : turns.map((turn) => ({ ...turn, answers: unstored(turn) })));
  return {
    ...(pane.system && { instructions: pane.system }),
    input,
    ...(previousId && { previous_response_id: previousId }),
  };
}

/** @param {Turn} turn */
const unstored = (turn) => turn.answers.map((answer) => ({ ...answer, responseId: "" }));

/** The panel's values in the form that the request needs; a dot is a level. @param {Record<string, any>} sent */
export function nested({ json_schema: schema, ...sent }) {
  /** @type {Record<string, any>} */
  const body = {};
  if (sent.tools?.length === 0) delete sent.tools;
  if (sent.tools === undefined) {
    delete sent.tool_choice;
    delete sent.parallel_tool_calls;
  } else if (sent.tool_choice !== undefined && !["auto", "none", "required"].includes(sent.tool_choice)) {
    const { type = "function" } = sent.tools.find((/** @type {any} */ tool) => tool.name === sent.tool_choice) ?? {};
    sent.tool_choice = { type, name: sent.tool_choice };
  }
  if (sent["text.format"] === "json_schema") sent["text.format"] = { type: "json_schema", ...named(schema) };
  else if (sent["text.format"] !== undefined) sent["text.format"] = { type: sent["text.format"] };
  if (sent.top_logprobs !== undefined) sent.include = ["message.output_text.logprobs"];
  for (const [path, value] of Object.entries(sent)) {
    const [name = "", inner] = path.split(".");
    body[name] = inner ? { ...body[name], [inner]: value } : value;
  }
  return body;
}

/** @param {any} schema the editor's: a schema, or one with its name */
export function named(schema) {
  const isNamed = typeof schema.schema === "object" && "name" in schema;
  return isNamed ? schema : { name: "answer", strict: true, schema };
}
