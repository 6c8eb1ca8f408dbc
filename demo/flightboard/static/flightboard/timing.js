/**
 * What an answer cost, read from its Server-Timing header.
 *
 * @typedef {object} Timing
 * @property {number} database milliseconds in the database
 * @property {number} cache milliseconds in the cache
 * @property {number} rest milliseconds in neither
 * @property {number} total milliseconds until the response was made
 * @property {number} queries
 * @property {number} roundTrips
 * @property {number} failed operations of the cache that had no answer
 */

/** @typedef {{name: string, duration: number, description: string}} Entry */

/**
 * @param {Iterable<Entry>} entries
 * @returns {Timing}
 */
export function timing(entries) {
  const found = new Map([...entries].map((entry) => [entry.name, entry]));
  /** @param {string} name */
  const duration = (name) => found.get(name)?.duration ?? 0;
  /** @param {string} name */
  const count = (name) => Number(found.get(name)?.description || 0);
  return {
    database: duration("database"),
    cache: duration("cache"),
    rest: duration("rest"),
    total: duration("total"),
    queries: count("database"),
    roundTrips: count("cache"),
    failed: count("failed"),
  };
}

/**
 * @param {string} header the value of Server-Timing
 * @returns {Entry[]}
 */
export function parse(header) {
  return header.split(",").map((part) => ({
    name: part.trim().split(";")[0],
    duration: Number(/dur=([\d.]+)/.exec(part)?.[1] ?? 0),
    description: /desc="?([^";]*)/.exec(part)?.[1] ?? "",
  }));
}

/**
 * @param {number} value
 * @returns {string} with as many digits as say something
 */
export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
export function counted(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}
