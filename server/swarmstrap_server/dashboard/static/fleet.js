// SPDX-License-Identifier: GPL-2.0-or-later
// The grid of cells: filtered, walked through by keys, picked for an order.
const grid = document.getElementById("grid");
const about = document.getElementById("about");
const search = document.getElementById("search");
const group = document.getElementById("group");
const picked = new Set();
const filter = { kinds: new Set(), group: "", text: "" };

const cells = () => [...grid.children];
const shown = () => cells().filter((cell) => !cell.hidden);

export function takeCells(changed) {
  if (!grid) return;
  for (const { name, kind, letter, tenths, silent, said, groups } of changed) {
    const cell = document.getElementById(`cell-${name}`) ?? added(name, groups);
    cell.dataset.kind = kind;
    cell.dataset.tenths = tenths;
    cell.toggleAttribute("data-silent", silent);
    cell.querySelector("b").textContent = letter;
    cell.setAttribute("aria-label", `${name}: ${said}`);
    cell.hidden = !fits(cell);
    if (cell === document.activeElement || cell.matches(":hover")) tell(cell);
  }
  count();
}

function added(name, groups) {
  const cell = document.createElement("a");
  cell.className = "cell";
  cell.id = `cell-${name}`;
  cell.href = `/nodes/${encodeURIComponent(name)}`;
  cell.dataset.name = name;
  cell.dataset.groups = groups.join(" ");
  cell.tabIndex = -1;
  cell.append(document.createElement("b"));
  if (grid.classList.contains("few")) cell.append(name);
  grid.insertBefore(cell, cells().find((other) => other.dataset.name > name) ?? null);
  return cell;
}

// Filter

function fits({ dataset }) {
  return (
    (filter.kinds.size === 0 || filter.kinds.has(dataset.kind)) &&
    (!filter.group || dataset.groups.split(" ").includes(filter.group)) &&
    dataset.name.includes(filter.text)
  );
}

function refilter() {
  for (const cell of cells()) cell.hidden = !fits(cell);
  for (const chip of document.querySelectorAll("[data-chip]"))
    chip.setAttribute("aria-pressed", filter.kinds.has(chip.dataset.chip));
  const query = new URLSearchParams();
  if (filter.kinds.size) query.set("state", [...filter.kinds].join(","));
  if (filter.group) query.set("group", filter.group);
  if (filter.text) query.set("q", filter.text);
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  reachable();
  count();
}

function count() {
  const all = grid.children.length;
  const some = shown().length;
  const text = some === all ? `${all} nodes` : `${some} of ${all} nodes`;
  const place = document.getElementById("shown");
  if (place.textContent !== text) place.textContent = text;
}

function restored() {
  const query = new URLSearchParams(location.search);
  filter.kinds = new Set((query.get("state") ?? "").split(",").filter(Boolean));
  filter.group = group.value = query.get("group") ?? "";
  filter.text = search.value = query.get("q") ?? "";
}

// Keys: the grid is one stop of the tab key, arrows walk within it.

function reachable() {
  if (!grid.querySelector(".cell[tabindex='0']:not([hidden])")) {
    grid.querySelector(".cell[tabindex='0']")?.setAttribute("tabindex", "-1");
    shown()[0]?.setAttribute("tabindex", "0");
  }
}

function go(cell) {
  if (!cell) return;
  grid.querySelector(".cell[tabindex='0']")?.setAttribute("tabindex", "-1");
  cell.tabIndex = 0;
  cell.focus();
}

function columns(visible) {
  const top = visible[0].offsetTop;
  const next = visible.findIndex((cell) => cell.offsetTop !== top);
  return next === -1 ? visible.length : next;
}

function walk(event) {
  const visible = shown();
  const here = visible.indexOf(event.target.closest(".cell"));
  if (here === -1) return;
  const row = columns(visible);
  const last = visible.length - 1;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
  if (event.key in steps) go(visible[Math.min(last, Math.max(0, here + steps[event.key]))]);
  else if (event.key === "Home") go(visible[0]);
  else if (event.key === "End") go(visible[last]);
  else if (event.key === " ") pick(visible[here]);
  else return;
  event.preventDefault();
}

// Picked nodes, and the bar that says what can be done with them

function pick(cell, wanted = !picked.has(cell.dataset.name)) {
  if (!document.getElementById("picked")) return;
  picked[wanted ? "add" : "delete"](cell.dataset.name);
  cell.toggleAttribute("data-picked", wanted);
  bar();
}

function bar() {
  const place = document.getElementById("picked");
  place.hidden = picked.size === 0;
  const names = [...picked].sort();
  document.getElementById("picked-count").textContent =
    names.length === 1 ? names[0] : `${names.length} nodes`;
  for (const field of place.querySelectorAll("[name=nodes]")) field.value = names.join(" ");
  for (const button of place.querySelectorAll("[data-path]")) {
    button.dataset.body = JSON.stringify({ ...JSON.parse(button.dataset.body), nodes: names });
    button.dataset.confirm = names.length === 1 ? names[0] : String(names.length);
    button.dataset.names = names.join(" ");
  }
}

function tell(cell) {
  const text = cell ? cell.getAttribute("aria-label") : about.dataset.idle;
  if (about.textContent !== text) about.textContent = text;
}

function listen() {
  grid.addEventListener("keydown", walk);
  for (const name of ["mouseover", "focusin"])
    grid.addEventListener(name, (event) => tell(event.target.closest(".cell")));
  grid.addEventListener("mouseleave", () => tell(null));
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || !event.shiftKey) return;
    event.preventDefault();
    pick(cell);
  });
  search.addEventListener("input", () => {
    filter.text = search.value.trim();
    refilter();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      go(shown()[0]);
    }
  });
  group.addEventListener("change", () => {
    filter.group = group.value;
    refilter();
  });
  // The counts are rendered again and again: whoever listens to them sits above them.
  document.querySelector("[data-part=counts]").addEventListener("click", (event) => {
    const kind = event.target.closest("[data-chip]")?.dataset.chip;
    if (!kind) return;
    filter.kinds[filter.kinds.has(kind) ? "delete" : "add"](kind);
    refilter();
  });
  document.getElementById("pick-shown")?.addEventListener("click", () => {
    for (const cell of shown()) pick(cell, true);
  });
  document.getElementById("pick-none")?.addEventListener("click", () => {
    for (const cell of cells()) pick(cell, false);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      search.select();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = filter.text = "";
      refilter();
    }
  });
}

if (grid) {
  restored();
  listen();
  refilter();
}
