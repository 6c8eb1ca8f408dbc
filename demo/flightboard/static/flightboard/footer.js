/** Writes into the footer what this page cost the server. */
import { counted, milliseconds, timing } from "./timing.js";

const line = document.querySelector("[data-page-cost]");
const page = performance.getEntriesByType("navigation")[0];

if (line && page instanceof PerformanceNavigationTiming && page.serverTiming.length) {
  const cost = timing(page.serverTiming);
  const link = line.querySelector("a");
  line.replaceChildren(
    `This page took the server ${milliseconds(cost.total)}: ` +
      `${milliseconds(cost.database)} database ` +
      `(${counted(cost.queries, "query", "queries")}), ` +
      `${milliseconds(cost.cache)} cache ` +
      `(${counted(cost.roundTrips, "round trip", "round trips")}), ` +
      `${milliseconds(cost.rest)} the rest. `,
  );
  if (link) {
    link.textContent = "More";
    line.append(link);
  }
}
