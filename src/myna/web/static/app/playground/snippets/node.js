// The request as JavaScript for Node.js, with the official client.

/** @typedef {Record<import("../values.js").Mode, string>} ByMode */

/** @type {ByMode} */
const METHODS = { chat: "chat.completions", responses: "responses", completion: "completions" };

/** @param {string} shown */
const choices = (shown) => `for (const choice of answer.choices) {
  console.log(${shown});
}`;

/** @type {ByMode} */
const WHOLE = {
  chat: choices("choice.message.tool_calls ?? choice.message.content"),
  responses: `for (const item of answer.output) {
  console.log(JSON.stringify(item));
}`,
  completion: choices("choice.text"),
};

/** @param {string} shown */
const chunks = (shown) => `for await (const chunk of answer) {
  for (const choice of chunk.choices) {
    ${shown}
  }
}`;

/** @type {ByMode} */
const STREAMED = {
  chat: chunks(`if (choice.delta.tool_calls) console.log(JSON.stringify(choice.delta.tool_calls));
    else process.stdout.write(choice.delta.content ?? "");`),
  responses: `for await (const event of answer) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
  else if (event.type === "response.output_item.done" && event.item.type !== "message") console.log(JSON.stringify(event.item));
}`,
  completion: chunks("process.stdout.write(choice.text);"),
};

/** @param {any} value @param {string} indent @returns {string} */
function literal(value, indent) {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((item) => literal(item, inner))
    : Object.entries(value).map(([name, item]) => `${key(name)}: ${literal(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : ["{ ", " }"];
  const line = parts.length ? `${open}${parts.join(", ")}${close}` : `${open}${close}`.replaceAll(" ", "");
  if (line.length + indent.length <= 80 && !line.includes("\n")) return line;
  return `${open.trim()}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close.trim()}`;
}

/** A plain `__proto__` key would set the object's prototype; in brackets it is an ordinary key. @param {string} name */
function key(name) {
  if (name === "__proto__") return '["__proto__"]';
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** @param {import("../values.js").Mode} mode @param {Record<string, any>} body @param {string} baseUrl */
export function nodeCode(mode, body, baseUrl) {
  const method = METHODS[mode];
  const named = Object.entries(body).map(([name, value]) => `  ${key(name)}: ${literal(value, "  ")},\n`);
  return `import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: ${JSON.stringify(baseUrl)} }); // the key: OPENAI_API_KEY in the environment
const answer = await client.${method}.create({
${named.join("")}});
${body.stream ? STREAMED[mode] : WHOLE[mode]}
`;
}
