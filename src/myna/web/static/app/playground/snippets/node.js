// The request as JavaScript for Node.js, with the official client.

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
  const method = mode === "chat" ? "chat.completions" : "completions";
  const named = Object.entries(body).map(([name, value]) => `  ${key(name)}: ${literal(value, "  ")},\n`);
  return `import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: ${JSON.stringify(baseUrl)} }); // the key: OPENAI_API_KEY in the environment
const answer = await client.${method}.create({
${named.join("")}});
${body.stream ? streamed(mode) : whole(mode)}
`;
}

/** @param {string} mode */
const whole = (mode) => `for (const choice of answer.choices) {
  console.log(${mode === "chat" ? "choice.message.tool_calls ?? choice.message.content" : "choice.text"});
}`;

/** @param {string} mode */
const streamed = (mode) => `for await (const chunk of answer) {
  for (const choice of chunk.choices) {
    ${
      mode === "chat"
        ? 'if (choice.delta.tool_calls) console.log(JSON.stringify(choice.delta.tool_calls));\n    else process.stdout.write(choice.delta.content ?? "");'
        : "process.stdout.write(choice.text);"
    }
  }
}`;
