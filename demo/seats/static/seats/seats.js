/**
 * Lets the buyers in without leaving the page, and shows how the sale goes. The button
 * is a form that works without this module.
 */

/**
 * @typedef {object} Latest
 * @property {Record<string, string>} parts each part's HTML
 * @property {string} verdict
 * @property {string} kind
 * @property {"closed" | "coming" | "selling" | "over"} phase
 */

const EVERY = 200;
/** Between sales only another tab could change anything. */
const BETWEEN = 2000;

const page = /** @type {HTMLElement} */ (document.querySelector("[data-seats]"));
const form = /** @type {HTMLFormElement} */ (page.querySelector("[data-sell]"));
const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
const line = /** @type {HTMLElement} */ (page.querySelector("[data-verdict]"));

/** @type {Map<string, string>} */
const shown = new Map();
/** @type {number | undefined} */
let next;

async function ask() {
  clearTimeout(next);
  let pause = BETWEEN;
  try {
    const response = document.hidden
      ? null
      : await fetch(page.dataset.url ?? "", { cache: "no-store" });
    if (response?.ok) {
      /** @type {Latest} */
      const latest = await response.json();
      show(latest);
      if (["coming", "selling"].includes(latest.phase)) pause = EVERY;
    }
  } catch {
    say("The site does not answer. Is it still running?", "bad");
  }
  clearTimeout(next);
  next = setTimeout(ask, pause);
}

/** @param {Latest} latest */
function show({ parts, verdict, kind, phase }) {
  for (const [name, html] of Object.entries(parts)) {
    if (shown.get(name) === html) continue;
    shown.set(name, html);
    const part = page.querySelector(`[data-part="${name}"]`);
    if (part) part.innerHTML = html;
  }
  const busy = phase === "coming" || phase === "selling";
  // Not `disabled`: the keyboard's focus would be lost.
  button.setAttribute("aria-disabled", String(busy));
  page.dataset.phase = phase;
  say(verdict, kind);
}

/**
 * @param {string} text
 * @param {string} kind
 */
function say(text, kind) {
  line.dataset.kind = kind;
  // A live region is read out when it changes, so it changes only when it must.
  if (line.textContent !== text) line.textContent = text;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
  } catch {
    // The next question says so.
  }
  await ask();
});

document.addEventListener("visibilitychange", () => document.hidden || ask());
ask();
