// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps a page as the server would render it now. The stream has named parts of the page as HTML,
// and cells of the fleet; what has not changed is not sent.
import { takeCells } from "./fleet.js";

// The server says something every five seconds, if only that it is there.
const SILENCE = 15_000;
const sign = document.getElementById("stream");
const url = document.body.dataset.live;
let source, watchdog;

function show(state, text) {
  sign.dataset.state = state;
  sign.textContent = text;
}

function heard() {
  if (sign.dataset.state !== "live") show("live", "live");
  clearTimeout(watchdog);
  watchdog = setTimeout(follow, SILENCE);
}

function lost() {
  if (sign.dataset.state !== "lost") {
    show("lost", `lost ${new Date().toTimeString().slice(0, 5)}`);
  }
  // A browser tries again by itself, but for an answer that is no stream: then the login is over.
  if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5_000);
}

function takePart({ name, html }) {
  const part = document.querySelector(`[data-part="${name}"]`);
  if (!part) return;
  const within = part.contains(document.activeElement) ? document.activeElement : null;
  const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
  const scrolled = [...part.querySelectorAll("[data-scroll]")].map((one) => one.scrollTop);
  part.innerHTML = html;
  open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  part.querySelectorAll("[data-scroll]").forEach((one, i) => (one.scrollTop = scrolled[i] ?? 0));
  const again = within?.id ? document.getElementById(within.id) : null;
  (again ?? same(part, within))?.focus({ preventScroll: true });
}

function same(part, link) {
  const to = link?.getAttribute("href");
  return to ? part.querySelector(`a[href="${CSS.escape(to)}"]`) : null;
}

function follow() {
  source?.close();
  source = new EventSource(url);
  source.addEventListener("open", heard);
  source.addEventListener("error", lost);
  const on = (name, take) =>
    source.addEventListener(name, (event) => {
      heard();
      take(JSON.parse(event.data));
    });
  on("part", takePart);
  on("cells", takeCells);
  on("beat", () => {});
}

if (url) follow();
