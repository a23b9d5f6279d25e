// Validates the value of each JSON editor before it is sent. A complaint names the location of the error.

/** @typedef {{where: string, why: string, values?: Record<string, string | number>}} Complaint */

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @type {Record<string, (value: any) => Complaint | null>} */
const CHECKS = {
  tools: (value) => firstComplaint(value, toolComplaint),
  flat_tools: (value) => firstComplaint(value, flatToolComplaint),
  json_schema: (value) => {
    if (!isObject(value)) return { where: "schema", why: "check.object" };
    if (!isObject(value.schema) && !("name" in value)) return schemaComplaint(value, "schema");
    if (typeof value.name !== "string" || !NAME.test(value.name)) return { where: "name", why: "check.name" };
    return schemaComplaint(value.schema, "schema");
  },
  logit_bias: (value) => {
    if (!isObject(value)) return { where: "logit_bias", why: "check.object" };
    for (const [token, bias] of Object.entries(value)) {
      if (!/^\d+$/.test(token)) return { where: token, why: "check.token" };
      if (typeof bias !== "number" || bias < -100 || bias > 100) return { where: token, why: "check.bias" };
    }
    return null;
  },
  stop_token_ids: (value) => {
    if (!Array.isArray(value)) return { where: "stop_token_ids", why: "check.array" };
    const wrong = value.findIndex((token) => !Number.isSafeInteger(token) || token < 0);
    return wrong < 0 ? null : { where: `stop_token_ids[${wrong}]`, why: "check.token" };
  },
  metadata: (value) => {
    if (!isObject(value)) return { where: "metadata", why: "check.object" };
    if (Object.keys(value).length > 16) return { where: "metadata", why: "check.sixteen" };
    const wrong = Object.entries(value).find(([, text]) => typeof text !== "string" || text.length > 512);
    return wrong ? { where: wrong[0], why: "check.label" } : null;
  },
  prompt_cache_options: (value) => (isObject(value) ? null : { where: "prompt_cache_options", why: "check.object" }),
};

/** What is wrong with the editor's value; null if no error can be found without the server.
 * @param {string} name @param {any} value @returns {Complaint | null} */
export const complaintOf = (name, value) => CHECKS[name]?.(value) ?? null;

/** @param {any} tools @param {typeof toolComplaint} check @returns {Complaint | null} */
function firstComplaint(tools, check) {
  if (!Array.isArray(tools)) return { where: "tools", why: "check.array" };
  for (const [place, tool] of tools.entries()) {
    const complaint = check(tool, `tools[${place}]`);
    if (complaint) return complaint;
  }
  return null;
}

/** A tool of the Responses API. @param {any} tool @param {string} where @returns {Complaint | null} */
function flatToolComplaint(tool, where) {
  if (!isObject(tool)) return { where, why: "check.object" };
  if (tool.type !== "function" && tool.type !== "custom") return null; // the server knows what it can do
  if (typeof tool.name !== "string" || !NAME.test(tool.name)) return { where: `${where}.name`, why: "check.name" };
  return tool.parameters === undefined ? null : schemaComplaint(tool.parameters, `${where}.parameters`);
}

/** @param {any} tool @param {string} where @returns {Complaint | null} */
function toolComplaint(tool, where) {
  if (!isObject(tool)) return { where, why: "check.object" };
  if (tool.type !== "function") return { where: `${where}.type`, why: "check.function" };
  if (!isObject(tool.function)) return { where: `${where}.function`, why: "check.object" };
  if (typeof tool.function.name !== "string" || !NAME.test(tool.function.name)) {
    return { where: `${where}.function.name`, why: "check.name" };
  }
  if (tool.function.parameters === undefined) return null;
  return schemaComplaint(tool.function.parameters, `${where}.function.parameters`);
}

/** @param {any} schema @param {string} where @returns {Complaint | null} */
function schemaComplaint(schema, where) {
  if (!isObject(schema)) return { where, why: "check.object" };
  for (const type of [schema.type ?? []].flat()) {
    if (!TYPES.includes(type)) return { where: `${where}.type`, why: "check.type", values: { types: TYPES.join(", ") } };
  }
  if (schema.required !== undefined) {
    if (!Array.isArray(schema.required)) return { where: `${where}.required`, why: "check.array" };
    const missing = schema.required.find((name) => !Object.hasOwn(schema.properties ?? {}, name));
    if (missing !== undefined) {
      return { where: `${where}.required`, why: "check.required", values: { name: String(missing) } };
    }
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const complaint = schemaComplaint(inner, `${where}.properties.${name}`);
    if (complaint) return complaint;
  }
  return schema.items === undefined ? null : schemaComplaint(schema.items, `${where}.items`);
}
