// The dashboard's words in English.

/** @type {Record<string, string>} */
export const dashboard = {
  "dashboard.models": "Models",
  "dashboard.model": "Model",
  "dashboard.owner": "By",
  "dashboard.created": "Published",
  "dashboard.none": "This key may not list models.",
};
