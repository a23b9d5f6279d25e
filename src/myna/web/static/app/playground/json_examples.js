// An example for each JSON editor as a starting point.

const WEATHER = {
  name: "get_weather",
  description: "The weather in a city, now.",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, unit: { type: "string", enum: ["C", "F"] } },
    required: ["city", "unit"],
    additionalProperties: false,
  },
};

/** @type {Record<string, any>} */
export const JSON_EXAMPLES = {
  tools: [{ type: "function", function: WEATHER }],
  flat_tools: [{ type: "function", ...WEATHER }],
  json_schema: {
    name: "person",
    strict: true,
    schema: {
      type: "object",
      properties: { name: { type: "string" }, age: { type: "integer" } },
      required: ["name", "age"],
      additionalProperties: false,
    },
  },
  logit_bias: { 1: -100 },
  metadata: { topic: "a first try" },
};
