/**
 * The last minute: each answer a dot, as high as it took long, and below them how many
 * came in each second. Colours say where they came from.
 *
 * @typedef {import("./load.js").Answer} Answer
 * @typedef {import("./load.js").Kind} Kind
 * @typedef {{at: number, mark: string}} Turn something that happened
 */
import { element } from "../flightboard/svg.js";

export const SPAN = 60_000;
const KINDS = /** @type {const} */ (["cached", "made", "without", "failed"]);
const LEVELS = /** @type {const} */ ([[1, "1 ms"], [10, "10 ms"], [100, "100 ms"], [1000, "1 s"]]);
const HIGHEST = 5000;
const MARGIN = { right: 4, bottom: 17, left: 46 };
const LABEL_ROWS = [9, 22, 35];
const GAP = 14;

/**
 * @param {SVGElement} svg
 * @param {Answer[]} answers oldest first
 * @param {Turn[]} turns oldest first
 * @param {number} now in ms since the epoch
 */
export function draw(svg, answers, turns, now) {
  const { width, height } = svg.getBoundingClientRect();
  if (!width) return;
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  // On a phone it is half as high, and has one row of labels.
  const isLow = height < 200;
  const rows = LABEL_ROWS.slice(0, isLow ? 1 : 3);
  const top = rows[rows.length - 1] + 6;
  const high = isLow ? 20 : 44;
  const floor = bottom - high - GAP;
  /** @param {number} at */
  const x = (at) => right - ((right - MARGIN.left) * (now - at)) / SPAN;
  const slowest = Math.max(1000, ...answers.map((each) => each.ms));
  const ceiling = Math.log10(Math.min(slowest, HIGHEST) * 1.15);
  /** @param {number} ms */
  const y = (ms) => {
    const level = Math.log10(Math.min(Math.max(ms, 1), HIGHEST));
    return floor - ((floor - top) * level) / ceiling;
  };
  const parts = [];

  for (const [ms, name] of LEVELS) {
    parts.push(
      element("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(ms), y2: y(ms) }),
      element("text", { x: MARGIN.left - 6, y: y(ms) + 4, "text-anchor": "end" }, name),
    );
  }
  parts.push(
    element("line", { class: "grid", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }),
    element("text", { x: MARGIN.left - 6, y: bottom - high + 8, "text-anchor": "end" }, "10 / s"),
    element("text", { x: MARGIN.left, y: height - 4 }, "a minute ago"),
    element("text", { x: right, y: height - 4, "text-anchor": "end" }, "now"),
    ...bars(answers, x, bottom, high / 10),
  );
  for (const kind of KINDS) {
    const dots = answers
      .filter((each) => each.kind === kind && x(each.at) >= MARGIN.left)
      .map((each) => `M${x(each.at).toFixed(1)} ${y(each.ms).toFixed(1)}h0`);
    parts.push(element("path", { class: `dot ${kind}`, d: dots.join("") }));
  }
  parts.push(...labelled(turns.filter((each) => x(each.at) >= MARGIN.left), x, right, bottom, rows));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

/**
 * @param {Answer[]} answers
 * @param {(at: number) => number} x
 * @param {number} bottom
 * @param {number} high of one answer
 */
function bars(answers, x, bottom, high) {
  /** @type {Map<number, Record<Kind, number>>} */
  const seconds = new Map();
  for (const { at, kind } of answers) {
    const second = Math.floor(at / 1000);
    const counts = seconds.get(second) ?? { cached: 0, made: 0, without: 0, failed: 0 };
    counts[kind] += 1;
    seconds.set(second, counts);
  }
  const paths = { cached: "", made: "", without: "", failed: "" };
  for (const [second, counts] of seconds) {
    const left = Math.max(x(second * 1000), MARGIN.left);
    const wide = Math.min(x(second * 1000 + 1000), x(answers[answers.length - 1].at)) - 1 - left;
    let base = bottom;
    for (const kind of KINDS) {
      // Twelve at most: when the site was away for a moment, more come at once.
      const tall = Math.min(counts[kind] * high, base - (bottom - 12 * high));
      if (tall > 0 && wide > 0) paths[kind] += `M${left} ${base}v${-tall}h${wide}v${tall}z`;
      base -= tall;
    }
  }
  return KINDS.map((kind) => element("path", { class: `bar ${kind}`, d: paths[kind] }));
}

/**
 * @param {Turn[]} turns
 * @param {(at: number) => number} x
 * @param {number} right
 * @param {number} bottom
 * @param {number[]} baselines of the labels' rows
 */
function labelled(turns, x, right, bottom, baselines) {
  const rows = baselines.map((baseline) => ({ baseline, begins: Infinity }));
  const lines = turns.map(({ at }) =>
    element("line", { class: "turn", x1: x(at), x2: x(at), y1: 2, y2: bottom }),
  );
  // The newest first: where they are many, the older ones go without a name.
  const names = [...turns].reverse().flatMap(({ at, mark }) => {
    const wide = mark.length * 6.2 + 6;
    const start = Math.min(x(at) + 3, right - wide);
    const row = rows.find((each) => each.begins >= start + wide);
    if (!row) return [];
    row.begins = start;
    return [element("text", { class: "turn-name", x: start, y: row.baseline }, mark)];
  });
  return [...lines, ...names];
}
