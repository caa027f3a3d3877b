"use strict";
// One part of the page at a time, chosen by the address: #/, #/layer/conv3, #/layer/conv3/map/17, #/rules …

const pages = [...document.querySelectorAll(".page")];
const shows = {};                      // what to do when a page of a kind is shown: shows.layer(page, the rest)
const leaves = [];                     // what to do when a page is left
const made = new Set();                // pages whose pictures are laid out already

function place() {
  const hash = location.hash.replace(/^#\/?/, "");
  const found = pages
    .filter((page) => hash === page.dataset.route || (page.dataset.route && hash.startsWith(page.dataset.route + "/")))
    .sort((a, b) => b.dataset.route.length - a.dataset.route.length)[0];
  if (!found) return { page: pages.find((page) => page.dataset.route === "missing"), rest: [] };
  return { page: found, rest: hash.slice(found.dataset.route.length).split("/").filter(Boolean) };
}

let current = null;

function go() {
  const { page, rest } = place();
  const kind = page.dataset.route.split("/")[0];
  const moved = page !== current;
  if (moved) {
    const first = current === null;
    for (const other of pages) other.hidden = other !== page;
    current = page;
    for (const leave of leaves) leave();
    const title = page.querySelector("h1");
    document.title = `${title.textContent.trim()} · ${document.querySelector(".brand strong").textContent}`;
    for (const link of document.querySelectorAll(".top nav a")) {
      if ([kind, page.dataset.route].includes(link.dataset.part)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!first) {
      scrollTo(0, 0);
      title.focus({ preventScroll: true });
    }
  }
  if (shows[kind]) shows[kind](page, rest);
}

function once(page, make) {
  if (made.has(page)) return;
  made.add(page);
  make(JSON.parse(page.querySelector("script.data").textContent));
}

// A sheet's picture is a rule of its own, so that hundreds of tiles share one copy of it.
const rules = document.querySelector("style").sheet;
let sheets = 0;

function sheetClass(uri) {
  const name = `sheet-${sheets++}`;
  rules.insertRule(`.${name} { background-image: url("${uri}"); }`, rules.cssRules.length);
  return name;
}

function lay(tile, k, columns, rows) {
  const at = (i, n) => (n > 1 ? `${(100 * i) / (n - 1)}%` : "0");
  tile.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  tile.style.backgroundPosition = `${at(k % columns, columns)} ${at(Math.floor(k / columns), rows)}`;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const number = (value) => (value !== 0 && (Math.abs(value) < 0.01 || Math.abs(value) >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3))));

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector("#main").focus();
});
if (matchMedia("(max-width: 46rem)").matches) {
  for (const about of document.querySelectorAll(".about, .chips")) about.open = false;
}
addEventListener("hashchange", go);
addEventListener("DOMContentLoaded", go);
