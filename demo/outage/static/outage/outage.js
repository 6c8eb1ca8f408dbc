/**
 * Asks for pages as a visitor would, shows how they were answered, and asks twice a
 * second how the servers are. The buttons are a form that works without this module.
 */
import { milliseconds } from "../flightboard/timing.js";
import { load } from "./load.js";
import { draw, SPAN } from "./strip.js";

/** @typedef {import("./load.js").Answer} Answer */
/** @typedef {{at: number, kind: string, text: string, mark: string, count: number}} Entry */
/**
 * @typedef {object} Latest
 * @property {number} now
 * @property {string} nodes
 * @property {string[]} away what is wrong with the servers, in words
 * @property {Entry[]} entries newest first
 */

const EVERY = 500;
const LATELY = 1000;

const page = /** @type {HTMLElement} */ (document.querySelector("[data-outage]"));
/** @param {string} selector */
const find = (selector) => /** @type {HTMLElement} */ (page.querySelector(selector));
const strip = /** @type {SVGElement} */ (page.querySelector("[data-strip]"));
const form = /** @type {HTMLFormElement} */ (page.querySelector("[data-servers]"));

/** @type {Answer[]} */
let answers = [];
const counts = { cached: 0, made: 0, without: 0, failed: 0 };
/** @type {Latest} */
let latest = { now: Date.now(), nodes: "", away: [], entries: [] };

load((page.dataset.pages ?? "").trim().split(" "), (answer) => {
  answers.push(answer);
  counts[answer.kind] += 1;
});

/** @param {number} span in ms */
const within = (span) => answers.filter((each) => Date.now() - each.at < span);

function show() {
  answers = within(SPAN + 1000);
  const total = counts.cached + counts.made + counts.without + counts.failed;
  if (total) {
    const share = (100 * (total - counts.failed)) / total;
    // 99.99 must not read as all of them.
    find("[data-share]").textContent = `${counts.failed ? Math.min(share, 99.9).toFixed(1) : 100}%`;
    find("[data-total]").textContent = `of ${total.toLocaleString("en")} requests`;
    const whole = within(3000).filter((each) => each.kind !== "failed").length / 3;
    find("[data-rate]").textContent = whole.toFixed(1);
    const times = within(10_000).map((each) => each.ms).sort((a, b) => a - b);
    if (times.length) {
      find("[data-typical]").textContent = milliseconds(times[Math.floor(times.length / 2)]);
      find("[data-slowest]").textContent = milliseconds(times[times.length - 1]);
    }
    say(...verdict());
  }
  for (const [kind, count] of Object.entries(counts)) {
    find(`[data-count=${kind}]`).textContent = count.toLocaleString("en");
  }
  const turns = latest.entries.filter((each) => each.mark).reverse();
  draw(strip, answers, turns, Date.now());
}

/** @returns {[string, "good" | "slow" | "bad"]} */
function verdict() {
  const now = within(LATELY);
  /** @param {import("./load.js").Kind} kind */
  const count = (kind) => now.filter((each) => each.kind === kind).length;
  const [without, failed] = [count("without"), count("failed")];
  if (failed || !now.length) return ["The site does not answer. Is it still running?", "bad"];
  if (latest.away.length) {
    const away = `${sentence(latest.away)}. `;
    if (!without) return [`${away}No visitor notices: every answer comes from the cache.`, "good"];
    return without === now.length
      ? [`${away}The site is up: the database answers instead of the cache.`, "slow"]
      : [`${away}The site is up: the pages that were kept there come from the database.`, "slow"];
  }
  if (without) return ["Everything runs again. The breaker lets one request look, then all go on.", "slow"];
  return count("made")
    ? ["The cache is being filled: what it does not have yet, the database answers once.", "good"]
    : ["All is well: every answer comes from the cache.", "good"];
}

/** @param {string[]} parts */
function sentence(parts) {
  if (parts.length > 3) return `${parts.length} nodes are away`;
  return parts
    .map((part, index) => (index ? part[0].toLowerCase() + part.slice(1) : part))
    .join(", ")
    .replace(/, ([^,]*)$/, " and $1");
}

/**
 * @param {string} text
 * @param {"good" | "slow" | "bad"} kind
 */
function say(text, kind) {
  const line = find("[data-verdict]");
  line.dataset.kind = kind;
  // A live region is read out when it changes, so it changes only when it must.
  if (line.textContent !== text) line.textContent = text;
}

/**
 * Changes only what is another: a button that is replaced while it is pressed would
 * not be clicked.
 *
 * @param {string} html
 */
function showNodes(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  for (const fresh of made.content.querySelectorAll("[data-node]")) {
    const number = /** @type {HTMLElement} */ (fresh).dataset.node;
    const shown = form.querySelector(`[data-node="${number}"]`);
    [...fresh.children].forEach((part, index) => {
      const old = shown?.children[index];
      if (!old || old.innerHTML === part.innerHTML) return;
      const focused = old.contains(document.activeElement);
      old.innerHTML = part.innerHTML;
      if (focused) old.querySelector("button")?.focus();
    });
  }
}

let told = "";

/** @param {Entry[]} entries newest first */
function showEntries(entries) {
  const text = JSON.stringify(entries);
  if (text === told) return;
  told = text;
  find("[data-entries]").replaceChildren(
    ...entries.map(({ at, kind, text, count }) => {
      const line = document.createElement("li");
      line.className = kind;
      line.append(
        part("quiet", new Date(at).toLocaleTimeString("en-GB")),
        part("kind", kind),
        part("text", text),
        part("quiet", count > 1 ? `× ${count.toLocaleString("en")}` : ""),
      );
      return line;
    }),
  );
}

/**
 * @param {string} name
 * @param {string} text
 */
function part(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

let asking = false;

async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const response = await fetch(page.dataset.url ?? "", { cache: "no-store" });
    if (response.ok) {
      latest = await response.json();
      showNodes(latest.nodes);
      showEntries(latest.entries);
    }
  } catch {
    // The site is away; the verdict says so.
  }
  asking = false;
}

form.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!(button instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const body = new FormData(form, button);
  button.setAttribute("aria-busy", "true");
  try {
    await fetch(form.action, { method: "POST", body, redirect: "manual" });
  } finally {
    button.removeAttribute("aria-busy");
    await ask();
  }
});

ask();
setInterval(ask, EVERY);
setInterval(() => document.hidden || show(), 200);
new ResizeObserver(show).observe(strip);
