// The request for curl in a POSIX shell.
import { PATHS } from "../request.js";

/** @param {import("../values.js").Mode} mode @param {Record<string, any>} body @param {string} baseUrl */
export function curlCode(mode, body, baseUrl) {
  const path = PATHS[mode];
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl -sS${body.stream ? "N" : ""} '${baseUrl.replaceAll("'", "%27")}/${path.slice("v1/".length)}' \\
  -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -H 'Content-Type: application/json' \\
  -d '${json}'
`;
}
