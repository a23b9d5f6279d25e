// Usage buckets in the forms that the page needs: lines over time, sums by group, and a total.

/** @typedef {{start_time: number, results: any[]}} Bucket */
/**
 * A group's values, bucket by bucket (null for none), and their total. The name is null for
 * requests without a model, and `OTHERS` for the groups without a line of their own.
 * @typedef {{name: string | null, values: (number | null)[], total: number | null}} Line
 */
/**
 * @typedef {{requests: number, input: number, cached: number, output: number, failed: number, refused: number,
 *   cost: number, firstMs: number | null, totalMs: number | null}} Sum
 */

export const MOST_LINES = 6;
export const OTHERS = "\u2026";

/** @param {any} result */
const tokensOf = (result) => result.input_tokens + (result.output_tokens ?? 0);
/** @param {any} result */
const requestsOf = (result) => result.num_model_requests;

/**
 * The buckets with the results of both kinds; those of embeddings have no output.
 * @param {Bucket[]} completions @param {Bucket[]} embeddings @returns {Bucket[]}
 */
export function joined(completions, embeddings) {
  const others = new Map(embeddings.map((bucket) => [bucket.start_time, bucket.results]));
  return completions.map((bucket) => ({
    ...bucket,
    results: [...bucket.results, ...(others.get(bucket.start_time) ?? [])],
  }));
}

export const MEASURES = { tokens: tokensOf, requests: requestsOf };

/**
 * A line for each of the largest groups, and one for all others.
 * @param {Bucket[]} buckets @param {string} by the results' field @param {(result: any) => number} measure
 * @returns {Line[]}
 */
export function linesOf(buckets, by, measure) {
  const names = [...sumsBy(buckets, by, measure).keys()];
  const own = names.length > MOST_LINES ? names.slice(0, MOST_LINES - 1) : names;
  const lines = own.map((name) => lineOf(buckets, measure, name, (result) => result[by] === name));
  if (own.length === names.length) return lines;
  return [...lines, lineOf(buckets, measure, OTHERS, (result) => !own.includes(result[by]))];
}

/**
 * @param {Bucket[]} buckets @param {(result: any) => number} measure @param {string | null} name
 * @param {(result: any) => boolean} isOf @returns {Line}
 */
function lineOf(buckets, measure, name, isOf) {
  const values = buckets.map(({ results }) => results.filter(isOf).reduce((sum, result) => sum + measure(result), 0));
  return { name, values, total: values.reduce((sum, value) => sum + value, 0) };
}

/**
 * Milliseconds to the first token of the busiest groups: means, so the others have no line.
 * @param {Bucket[]} buckets @param {string} by @returns {Line[]}
 */
export function latencyOf(buckets, by) {
  const groups = groupsOf(buckets, by).filter(([, sum]) => sum.firstMs !== null);
  return groups.slice(0, MOST_LINES).map(([name, sum]) => ({
    name,
    values: buckets.map(({ results }) => results.find((result) => result[by] === name)?.myna.mean_first_token_ms ?? null),
    total: sum.firstMs,
  }));
}

/** The total of each group, largest first. @param {Bucket[]} buckets @param {string} by @param {(result: any) => number} measure */
function sumsBy(buckets, by, measure) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const result of buckets.flatMap((bucket) => bucket.results)) {
    sums.set(result[by], (sums.get(result[by]) ?? 0) + measure(result));
  }
  return new Map([...sums].sort((a, b) => b[1] - a[1]));
}

/** The rows of the table of groups, most tokens first. @param {Bucket[]} buckets @param {string} by @returns {[string, Sum][]} */
export function groupsOf(buckets, by) {
  const names = [...sumsBy(buckets, by, tokensOf).keys()];
  const results = buckets.flatMap((bucket) => bucket.results);
  return names.map((name) => [name, sumOf(results.filter((result) => result[by] === name))]);
}

/** @param {any[]} results @returns {Sum} */
export function sumOf(results) {
  const sum = { requests: 0, input: 0, cached: 0, output: 0, failed: 0, refused: 0, cost: 0 };
  for (const result of results) {
    sum.requests += result.num_model_requests;
    sum.input += result.input_tokens;
    sum.cached += result.input_cached_tokens ?? 0;
    sum.output += result.output_tokens ?? 0;
    sum.failed += result.myna.num_failed;
    sum.refused += result.myna.num_refused;
    sum.cost += result.myna.cost_usd;
  }
  return { ...sum, firstMs: mean(results, "mean_first_token_ms"), totalMs: mean(results, "mean_duration_ms") };
}

/** The mean of means, weighted by requests. @param {any[]} results @param {string} field */
function mean(results, field) {
  let [total, weight] = [0, 0];
  for (const result of results) {
    if (result.myna[field] === null) continue;
    total += result.myna[field] * result.num_model_requests;
    weight += result.num_model_requests;
  }
  return weight ? total / weight : null;
}
