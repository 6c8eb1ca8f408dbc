/**
 * Asks the server once a second and shows the answer and what it cost.
 *
 * Works with what the page holds already: the switches are forms that work without
 * this module, the first rows were rendered by the server.
 */
import { counted, milliseconds, parse, timing } from "../flightboard/timing.js";
import { draw, SLOTS } from "./chart.js";
import { showCountries, showRows } from "./rows.js";

/** @typedef {import("./chart.js").Answer} Answer */
/**
 * @typedef {object} World
 * @property {import("./rows.js").Row[]} rows
 * @property {import("./rows.js").Country[]} countries
 * @property {{flights: number, airports: number, countries: number}} world
 * @property {"on" | "off"} cache
 * @property {"on" | "part" | "off"} redis
 * @property {"closed" | "open"} breaker
 */

const EVERY = 1000;
const KEPT = "answers";

const page = /** @type {HTMLElement} */ (document.querySelector("[data-board]"));
/** @param {string} selector */
const find = (selector) => /** @type {HTMLElement} */ (page.querySelector(selector));
const chart = /** @type {SVGElement} */ (page.querySelector("[data-chart]"));

/** @type {Answer[]} */
const answers = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");

/** @type {number | undefined} */
let timer;
let asking = false;

async function ask() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  const started = performance.now();
  try {
    const response = await fetch(page.dataset.url ?? "", { cache: "no-store" });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    const world = /** @type {World} */ (await response.json());
    note(world, timing(parse(response.headers.get("server-timing") ?? "")));
  } catch {
    say("The site does not answer. Is it still running?", "bad");
  }
  asking = false;
  const wait = Math.max(0, EVERY - (performance.now() - started));
  if (!document.hidden) timer = setTimeout(ask, wait);
}

/**
 * @param {World} world
 * @param {import("../flightboard/timing.js").Timing} cost
 */
function note(world, cost) {
  const answer = { ...cost, cacheOn: world.cache === "on", redisOn: world.redis !== "off" };
  answers.push(answer);
  answers.splice(0, answers.length - SLOTS);
  sessionStorage.setItem(KEPT, JSON.stringify(answers));

  find("[data-total]").textContent = milliseconds(cost.total);
  for (const layer of /** @type {const} */ (["database", "cache", "rest"])) {
    find(`[data-layer=${layer}]`).textContent = milliseconds(cost[layer]);
  }
  find("[data-queries]").textContent = counted(cost.queries, "query", "queries");
  find("[data-round-trips]").textContent = counted(cost.roundTrips, "round trip", "round trips");
  draw(chart, answers);
  showRows(find("[data-rows]"), world.rows);
  showCountries(find("[data-countries]"), world.countries);
  const { flights, airports, countries } = world.world;
  find("[data-world]").textContent =
    `· ${flights.toLocaleString("en")} flights from ` +
    `${airports.toLocaleString("en")} airports in ${countries} countries`;
  showSwitch("cache", answer.cacheOn);
  showSwitch("redis", answer.redisOn);
  say(...verdict(world, cost));
  find("[data-compare]").replaceChildren(...comparison());
}

/**
 * @param {World} world
 * @param {import("../flightboard/timing.js").Timing} cost
 * @returns {[string, "good" | "slow" | "bad"]}
 */
function verdict(world, cost) {
  if (world.redis === "off" && world.cache === "on") {
    return world.breaker === "open"
      ? ["Redis is off, and the site is up: the breaker is open, and the database answers.", "bad"]
      : ["Redis is off: this answer waited for its deadline, then the database answered.", "bad"];
  }
  if (world.redis === "off") {
    return ["Redis is off, and nobody notices: with the cache off, only the database is asked.", "slow"];
  }
  if (world.cache === "off") {
    return ["The cache is off: the database works out every answer, second after second.", "slow"];
  }
  if (world.redis === "part") {
    return cost.failed
      ? ["A part of Redis is away, and the site is up: the database answers for it.", "slow"]
      : ["A part of Redis is away, and nobody notices: the cache has every row.", "good"];
  }
  if (cost.failed) {
    return ["Redis is back. The breaker lets one request look, then all go on.", "slow"];
  }
  return cost.queries
    ? ["A new minute has begun: the database answered once, and the cache keeps it.", "good"]
    : ["Redis is on: answered from the cache, without asking the database.", "good"];
}

/** @returns {(string | Node)[]} */
function comparison() {
  const fast = median(answers.filter((each) => each.cacheOn && each.redisOn && !each.queries));
  const slow = median(answers.filter((each) => each.queries && !each.roundTrips));
  if (!fast || !slow) return ["The last 60 answers, by what took the time."];
  const times = document.createElement("strong");
  times.textContent = `${Math.round(slow / fast)} times faster`;
  return [`Cached ${milliseconds(fast)}, uncached ${milliseconds(slow)}: `, times, "."];
}

/** @param {Answer[]} some */
function median(some) {
  const sorted = some.map((each) => each.total).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * @param {string} text
 * @param {"good" | "slow" | "bad"} kind
 */
function say(text, kind) {
  const line = find("[data-status]");
  line.dataset.kind = kind;
  // A live region is read out when it changes, so it changes only when it must.
  if (line.textContent !== text) line.textContent = text;
}

const SAYS = {
  cache: {
    true: "Rows from Redis; the database is asked once a minute.",
    false: "Every answer is worked out by the database.",
  },
  redis: {
    true: "It runs. Off freezes its process: connected, but silent.",
    false: "It is frozen. The site goes on without it.",
  },
};

/**
 * @param {"cache" | "redis"} name
 * @param {boolean} on
 */
function showSwitch(name, on) {
  const form = page.querySelector(`[data-switch=${name}]`);
  if (!form) return;
  form.querySelector("button")?.setAttribute("aria-checked", String(on));
  form.querySelector("[name=on]")?.setAttribute("value", on ? "0" : "1");
  const says = form.querySelector("[data-says]");
  if (says) says.textContent = SAYS[name][on ? "true" : "false"];
}

for (const form of page.querySelectorAll("form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    button.setAttribute("aria-busy", "true");
    try {
      await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
      showSwitch(
        /** @type {"cache" | "redis"} */ (form.dataset.switch),
        button.getAttribute("aria-checked") !== "true",
      );
    } finally {
      button.removeAttribute("aria-busy");
      ask();
    }
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
});
new ResizeObserver(() => draw(chart, answers)).observe(chart);
ask();
