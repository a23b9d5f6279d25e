// The request as Python, with the official client.
import { PARAMETERS } from "../parameters.js";

/** @typedef {Record<import("../values.js").Mode, string>} ByMode */

/** @type {ByMode} */
const METHODS = { chat: "chat.completions", responses: "responses", completion: "completions" };

/** @type {ByMode} */
const WHOLE = {
  chat: "for choice in answer.choices:\n    print(choice.message.tool_calls or choice.message.content)",
  responses: "for item in answer.output:\n    print(item.to_json())",
  completion: "for choice in answer.choices:\n    print(choice.text)",
};

/** @param {string} shown */
const chunks = (shown) => `for chunk in answer:
    for choice in chunk.choices:
        print(${shown}, end="", flush=True)`;

/** @type {ByMode} */
const STREAMED = {
  chat: chunks('choice.delta.content or choice.delta.tool_calls or ""'),
  responses: `for event in answer:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
    elif event.type == "response.output_item.done" and event.item.type != "message":
        print(event.item.to_json())`,
  completion: chunks("choice.text"),
};

/** @param {any} value @param {string} indent @returns {string} */
function literal(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((item) => literal(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length + indent.length <= 80 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

/** @param {import("../values.js").Mode} mode @param {Record<string, any>} body @param {string} baseUrl */
export function pythonCode(mode, body, baseUrl) {
  const extensions = new Set(PARAMETERS.filter((parameter) => parameter.isExtension).map((parameter) => parameter.name));
  const known = Object.entries(body).filter(([name]) => !extensions.has(name));
  const extra = Object.fromEntries(Object.entries(body).filter(([name]) => extensions.has(name)));
  const named = known.map(([name, value]) => `    ${name}=${literal(value, "    ")},\n`);
  if (Object.keys(extra).length) named.push(`    extra_body=${literal(extra, "    ")},\n`);
  const method = METHODS[mode];
  return `from openai import OpenAI  # pip install openai

client = OpenAI(base_url=${JSON.stringify(baseUrl)})  # the key: OPENAI_API_KEY in the environment
answer = client.${method}.create(
${named.join("")})
${body.stream ? STREAMED[mode] : WHOLE[mode]}
`;
}
