/**
 * The last 60 answers as stacked bars: database, cache and rest.
 *
 * @typedef {import("../flightboard/timing.js").Timing} Timing
 * @typedef {Timing & {cacheOn: boolean, redisOn: boolean}} Answer
 */
import { element } from "../flightboard/svg.js";
import { milliseconds } from "../flightboard/timing.js";

export const SLOTS = 60;
const LAYERS = /** @type {const} */ (["rest", "cache", "database"]);
const CEILINGS = [50, 100, 200, 500, 1000, 2000, 5000];
const LABEL_ROWS = [9, 22];
const LABEL_WIDTH = 62;
const MARGIN = { top: 28, right: 2, bottom: 18, left: 46 };

/**
 * @param {SVGElement} svg
 * @param {Answer[]} answers oldest first, at most SLOTS
 */
export function draw(svg, answers) {
  const { width, height } = svg.getBoundingClientRect();
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const tallest = Math.max(0, ...answers.map((answer) => answer.total));
  const ceiling = CEILINGS.find((each) => each >= tallest) ?? tallest;
  const slot = (right - MARGIN.left) / SLOTS;
  /** @param {number} value */
  const y = (value) => bottom - ((bottom - MARGIN.top) * value) / ceiling;
  const parts = [];

  for (const value of [0, ceiling / 2, ceiling]) {
    parts.push(
      element("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }),
      element("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, value < 1000 ? `${value} ms` : `${value / 1000} s`),
    );
  }
  parts.push(
    element("text", { x: MARGIN.left, y: height - 4 }, "a minute ago"),
    element("text", { x: right, y: height - 4, "text-anchor": "end" }, "now"),
  );

  const rows = LABEL_ROWS.map((baseline) => ({ baseline, ends: 0 }));
  answers.forEach((answer, index) => {
    const x = right - (answers.length - index) * slot;
    let base = 0;
    const bar = element("g", {});
    bar.append(element("title", {}, described(answer)));
    for (const layer of LAYERS) {
      const top = y(base + answer[layer]);
      // A bar too short to see would look like no answer.
      const tall = Math.max(y(base) - top, layer === "rest" ? 1.5 : 0);
      bar.append(
        element("rect", { class: layer, x: x + 1, y: y(base) - tall, width: Math.max(slot - 1.5, 1), height: tall }),
      );
      base += answer[layer];
    }
    parts.push(bar);
    const turned = turns(answers[index - 1], answer);
    if (turned) {
      parts.push(element("line", { class: "turn", x1: x, x2: x, y1: 2, y2: bottom }));
      const start = Math.min(x + 3, right - LABEL_WIDTH);
      const row = rows.find((each) => each.ends <= start);
      if (row) {
        parts.push(element("text", { class: "turn-name", x: start, y: row.baseline }, turned));
        row.ends = start + LABEL_WIDTH;
      }
    }
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

/**
 * @param {Answer | undefined} before
 * @param {Answer} now
 * @returns {string} what was switched between the two
 */
function turns(before, now) {
  if (!before) return "";
  if (before.redisOn !== now.redisOn) return now.redisOn ? "Redis on" : "Redis off";
  if (before.cacheOn !== now.cacheOn) return now.cacheOn ? "cache on" : "cache off";
  return "";
}

/** @param {Answer} answer */
function described(answer) {
  return (
    `${milliseconds(answer.total)}: database ${milliseconds(answer.database)}, ` +
    `cache ${milliseconds(answer.cache)}, rest ${milliseconds(answer.rest)}`
  );
}
