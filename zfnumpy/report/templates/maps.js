// The pages of the layers: thumbnails of the maps, and the dialog with a map's nine strongest.

const dialog = document.querySelector("dialog.map");
const layers = new Map();              // page -> its data
let open = null;                       // {page, k}: the map in the dialog

leaves.push(closeMap);
shows.layer = (page, rest) => {
  once(page, (data) => makeMaps(page, data));
  const data = layers.get(page);
  const k = rest[0] === "map" ? data.maps.findIndex((map) => String(map.map) === rest[1]) : -1;
  if (k >= 0) openMap(page, k);
  else closeMap();
};

function makeMaps(page, data) {
  layers.set(page, data);
  const list = page.querySelector(".maps");
  const { columns, rows, width, height } = data.sheets;
  const sides = ["patches", "projections"].map((side) => [side, sheetClass(data.sheets[side])]);
  data.buttons = data.maps.map((map, k) => {
    const pair = element("span", { class: "pair", "aria-hidden": "true" });
    for (const [side, sheet] of sides) {
      const tile = element("span", { class: `tile t-${side} ${sheet}${Math.max(width, height) < 32 ? " pixels" : ""}` });
      tile.style.aspectRatio = `${width} / ${height}`;
      lay(tile, k, columns, rows);
      pair.append(tile);
    }
    const value = map.units.length ? map.units[0].value : 0;
    const name = element("span", { class: "name" }, element("b", {}, `${map.map}`), value > 0 ? number(value) : "never fires");
    const button = element("button", { type: "button", "aria-haspopup": "dialog",
      "aria-label": `${data.kind} ${map.map}, strongest ${number(value)}: open its nine strongest` }, pair, name);
    button.addEventListener("click", () => { location.hash = `/${page.dataset.route}/map/${map.map}`; });
    return button;
  });
  data.order = data.maps.map((_, k) => k);
  list.append(...data.buttons.map((button) => element("li", {}, button)));
  page.querySelector("[data-tool=side]").addEventListener("change", (event) => { list.dataset.side = event.target.value; });
  page.querySelector("[data-tool=sort]").addEventListener("change", (event) => {
    const strength = (k) => (data.maps[k].units.length ? data.maps[k].units[0].value : 0);
    data.order.sort((a, b) => (event.target.value === "value" ? strength(b) - strength(a) : a - b));
    list.append(...data.order.map((k) => data.buttons[k].parentElement));
  });
}

function openMap(page, k) {
  const data = layers.get(page);
  const map = data.maps[k];
  open = { page, k };
  dialog.querySelector("h2").textContent = `${data.layer} · ${data.kind} ${map.map}`;
  const dead = !map.units.length || map.units[0].value <= 0;
  dialog.querySelector("#map-note").textContent = dead
    ? "It never answered to any of these pictures; there is nothing to project."
    : `Strongest answers ${number(map.units[0].value)} to ${number(map.units[map.units.length - 1].value)}. Point at a tile or a line to find its partner.`;
  for (const side of ["patches", "projections"]) {
    const sheet = (map.sheet ??= {})[side] ??= sheetClass(map[side]);
    dialog.querySelector(`.nine[data-side=${side}]`).replaceChildren(...map.units.map((unit, i) => {
      const tile = element("span", { class: `tile ${sheet}${data.sheets.width < 32 ? " pixels" : ""}`, role: "img", "data-k": i,
        "aria-label": `${side === "patches" ? "Patch" : "Projection"} ${i + 1}: ${unit.name}, ${unit.class}, value ${number(unit.value)}` });
      tile.style.aspectRatio = `${data.sheets.width} / ${data.sheets.height}`;
      const columns = Math.ceil(Math.sqrt(data.sheets.top));
      lay(tile, i, columns, Math.ceil(data.sheets.top / columns));
      return tile;
    }));
  }
  const own = dialog.querySelector(".own-filter");
  own.hidden = !map.filter;
  if (map.filter) {
    own.querySelector("img").src = map.filter;
    own.querySelector("img").alt = `The weights of map ${map.map}`;
  }
  dialog.querySelector("tbody").replaceChildren(...map.units.map((unit, i) => {
    const [top, left, bottom, right] = unit.box;
    const at = unit.at ? `(${unit.at.join(", ")}), x ${left}–${right - 1}, y ${top}–${bottom - 1}` : "whole picture";
    return element("tr", { "data-k": i }, element("th", { scope: "row" }, `${i + 1}`), element("td", { class: "num" }, number(unit.value)),
      element("td", {}, unit.name), element("td", {}, unit.class), element("td", {}, at));
  }));
  if (!dialog.open) dialog.showModal();
}

function closeMap() {
  if (!open) return;
  const { page, k } = open;
  open = null;
  if (dialog.open) dialog.close();
  if (page === current) layers.get(page).buttons[k].focus();
}

function stepMap(by) {
  const { page, k } = open;
  const { order, maps } = layers.get(page);
  const next = order[(order.indexOf(k) + by + order.length) % order.length];
  history.replaceState(null, "", `#/${page.dataset.route}/map/${maps[next].map}`);
  openMap(page, next);
}

if (dialog) {
  dialog.addEventListener("close", () => {
    if (open) location.hash = `/${open.page.dataset.route}`;
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    else if (event.target.closest("[data-step]")) stepMap(Number(event.target.closest("[data-step]").dataset.step));
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (by) {
      event.preventDefault();
      stepMap(by);
    }
  });
  const light = (event) => {
    const k = event.target.closest("[data-k]")?.dataset.k;
    for (const each of dialog.querySelectorAll("[data-k]")) each.classList.toggle("lit", each.dataset.k === k);
  };
  dialog.addEventListener("pointerover", light);
}
