/**
 * Writes rows into the two tables and touches only what changed.
 *
 * @typedef {Record<"time" | "flight" | "from" | "from_city" | "to" | "to_city" | "gate" | "status" | "state", string>} Row
 * @typedef {{code: string, name: string, flights: number, abroad: number, reached: number}} Country
 */

/**
 * @param {HTMLElement} body
 * @param {Row[]} rows
 */
export function showRows(body, rows) {
  rows.forEach((row, index) => {
    const line = body.children[index] ?? body.appendChild(emptyRow());
    const [time, flight, from, to, gate, status] = line.children;
    show(time.firstElementChild, row.time);
    show(flight.firstElementChild, row.flight);
    place(from, row.from, row.from_city);
    place(to, row.to, row.to_city);
    show(gate.firstElementChild, row.gate);
    if (status.firstElementChild) status.firstElementChild.className = `state ${row.state}`;
    show(status.firstElementChild, row.status);
  });
  while (body.children.length > rows.length) body.lastElementChild?.remove();
}

/**
 * @param {HTMLElement} body
 * @param {Country[]} countries
 */
export function showCountries(body, countries) {
  const most = Math.max(1, ...countries.map((country) => country.flights));
  const text = JSON.stringify(countries);
  if (body.dataset.shown === text) return;
  body.dataset.shown = text;
  body.replaceChildren(
    ...countries.map((country) => {
      const line = document.createElement("tr");
      const bar = document.createElement("td");
      bar.className = "share";
      bar.append(barOf(country.flights / most));
      line.append(
        cell(country.name),
        bar,
        cell(`${country.flights.toLocaleString("en")} flights`),
        cell(`${Math.round((100 * country.abroad) / country.flights)}% abroad`),
        cell(`to ${country.reached} countries`),
      );
      return line;
    }),
  );
}

/**
 * @param {Element | null} target
 * @param {string} text
 */
function show(target, text) {
  if (!target || target.textContent === text) return;
  target.textContent = text;
  target.classList.remove("flap");
  void (/** @type {HTMLElement} */ (target).offsetWidth);
  target.classList.add("flap");
}

/**
 * @param {Element} target
 * @param {string} code
 * @param {string} city
 */
function place(target, code, city) {
  const link = target.querySelector("a");
  if (!link) return;
  link.setAttribute("href", `/airports/${code}/`);
  show(link.children[0], code);
  show(link.children[1], city);
}

/** @param {string} text */
function cell(text) {
  const made = document.createElement("td");
  made.textContent = text;
  return made;
}

/** @param {number} share of the whole width, up to 1 */
function barOf(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const bar = svg.appendChild(document.createElementNS(space, "rect"));
  bar.setAttribute("width", `${100 * share}%`);
  bar.setAttribute("height", "9");
  bar.setAttribute("rx", "2");
  return svg;
}

function emptyRow() {
  const line = document.createElement("tr");
  const link = '<a href=""><span class="code tiles"></span><span class="city"></span></a>';
  line.innerHTML =
    '<td><span class="time tiles"></span></td><td class="wide"><span></span></td>' +
    `<td class="from">${link}</td><td>${link}</td>` +
    '<td class="wide"><span></span></td><td><span></span></td>';
  return line;
}
