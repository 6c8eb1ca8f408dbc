/**
 * A small steady load: this tab as the visitors of the site.
 *
 * @typedef {"cached" | "made" | "without" | "failed"} Kind where an answer came from
 * @typedef {object} Answer
 * @property {number} at when it came, in ms since the epoch
 * @property {number} ms from the question to the last byte
 * @property {Kind} kind
 */
import { parse, timing } from "../flightboard/timing.js";

const EVERY = 100;
const LONGEST = 5000;
/** A site that does not answer is asked no more than so many times at once. */
const AT_ONCE = 20;

/**
 * Asks for the pages, one after the other, as long as somebody looks.
 *
 * @param {string[]} pages
 * @param {(answer: Answer) => void} answered
 */
export function load(pages, answered) {
  let turn = 0;
  let asking = 0;
  setInterval(async () => {
    if (document.hidden || asking >= AT_ONCE) return;
    asking += 1;
    answered(await ask(pages[turn++ % pages.length]));
    asking -= 1;
  }, EVERY);
}

/**
 * @param {string} page
 * @returns {Promise<Answer>}
 */
async function ask(page) {
  const started = performance.now();
  /** @type {Kind} */
  let kind = "failed";
  try {
    // Without cookies: whoever switched the cache off on the board still sees it here.
    const response = await fetch(page, {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(LONGEST),
    });
    await response.arrayBuffer();
    if (response.ok) kind = kindOf(response.headers.get("server-timing") ?? "");
  } catch {
    // No answer, or none in time.
  }
  return { at: Date.now(), ms: performance.now() - started, kind };
}

/**
 * @param {string} header
 * @returns {Kind}
 */
function kindOf(header) {
  const cost = timing(parse(header));
  if (cost.failed) return "without";
  return cost.queries ? "made" : "cached";
}
