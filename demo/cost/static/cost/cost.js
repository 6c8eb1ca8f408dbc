/** Refreshes the figures every two seconds, but never under a reader's open row. */
const EVERY = 2000;
const figures = /** @type {HTMLElement} */ (document.querySelector("[data-figures]"));

async function refresh() {
  const reading = figures.querySelector("details[open], summary:focus-visible");
  if (!document.hidden && !reading) {
    try {
      const response = await fetch(figures.dataset.url ?? "", { cache: "no-store" });
      if (response.ok) figures.innerHTML = await response.text();
    } catch {
      // The site is away; the last figures stay, and the next try comes anyway.
    }
  }
  setTimeout(refresh, EVERY);
}

setTimeout(refresh, EVERY);
