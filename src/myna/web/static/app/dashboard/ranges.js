// The periods that can be shown, and the bucket width of each.

/** @typedef {{lengthS: number, width: "1m" | "1h" | "1d", widthS: number}} Range */

const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];

/** @type {Record<string, Range>} */
export const RANGES = {
  hour: { lengthS: HOUR, width: "1m", widthS: MINUTE },
  day: { lengthS: DAY, width: "1h", widthS: HOUR },
  week: { lengthS: 7 * DAY, width: "1h", widthS: HOUR },
  month: { lengthS: 30 * DAY, width: "1d", widthS: DAY },
};

/**
 * The first second of a range that ends now: a whole number of buckets, including the current one.
 * @param {Range} range @param {number} nowS
 */
export function startOf(range, nowS) {
  return (Math.floor(nowS / range.widthS) + 1) * range.widthS - range.lengthS;
}

/**
 * The path for the usage in a range.
 * @param {"completions" | "embeddings"} kind @param {Range} range @param {number} nowS
 * @param {"model" | "api_key_id"} by @param {string} project "" for all
 */
export function usagePath(kind, range, nowS, by, project) {
  const query = new URLSearchParams({
    start_time: String(startOf(range, nowS)),
    bucket_width: range.width,
    limit: String(range.lengthS / range.widthS),
    group_by: by,
  });
  if (project) query.set("project_ids", project);
  return `v1/organization/usage/${kind}?${query}`;
}
