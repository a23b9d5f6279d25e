// Parses a response as server-sent events: yields the `data` of each, until `[DONE]` or the last one.

/** The stream ended too early. */
export class BrokenOff extends Error {}

/**
 * The JSON of each event. Throws `BrokenOff` if the connection ends too early.
 * @param {Response} response @param {(event: any) => boolean} isLast @returns {AsyncGenerator<any, void, void>}
 */
export async function* eventsOf(response, isLast) {
  if (!response.body) throw new BrokenOff();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new BrokenOff();
      rest += value;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop() ?? "";
      for (const event of events) {
        const data = dataOf(event);
        if (data === "[DONE]") return;
        if (data === "") continue;
        const read = JSON.parse(data);
        yield read;
        if (isLast(read)) return;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} event */
function dataOf(event) {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
