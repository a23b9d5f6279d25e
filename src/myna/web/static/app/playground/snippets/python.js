// The request as Python, with the official client.
import { PARAMETERS } from "../parameters.js";

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
  const method = mode === "chat" ? "chat.completions" : "completions";
  return `from openai import OpenAI  # pip install openai

client = OpenAI(base_url=${JSON.stringify(baseUrl)})  # the key: OPENAI_API_KEY in the environment
answer = client.${method}.create(
${named.join("")})
${body.stream ? streamed(mode) : whole(mode)}
`;
}

/** @param {string} mode */
const whole = (mode) =>
  mode === "chat"
    ? "for choice in answer.choices:\n    print(choice.message.tool_calls or choice.message.content)"
    : "for choice in answer.choices:\n    print(choice.text)";

/** @param {string} mode */
const streamed = (mode) => `for chunk in answer:
    for choice in chunk.choices:
        print(${mode === "chat" ? 'choice.delta.content or choice.delta.tool_calls or ""' : "choice.text"}, end="", flush=True)`;
