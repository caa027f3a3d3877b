// The data set as points: marks told apart by shape and colour, or the pictures themselves.

shows.features = (page) => { if (page.querySelector("script.data")) once(page, (data) => makeScatter(page, data)); };

const SHAPES = [
  "M-5,0A5,5 0 1,1 5,0A5,5 0 1,1 -5,0Z", "M-4.5,-4.5H4.5V4.5H-4.5Z", "M0,-6L5.6,4.4H-5.6Z", "M0,-6.2L5.2,0L0,6.2L-5.2,0Z",
  "M0,6L5.6,-4.4H-5.6Z", "M-1.8,-5.5H1.8V-1.8H5.5V1.8H1.8V5.5H-1.8V1.8H-5.5V-1.8H-1.8Z"];
const MOST = 30;                       // classes that marks can tell apart
const [WIDTH, HEIGHT, PAD] = [760, 560, 30];

function makeScatter(page, data) {
  const box = page.querySelector(".scatter");
  const aside = page.querySelector(".point");
  const sheet = sheetClass(data.sheet);
  const told = data.classes.length <= MOST;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `${-PAD} ${-PAD} ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-hidden", "true");
  box.append(svg);
  let places = [];
  let chosen = -1;
  const ways = page.querySelector("[data-tool=way]");
  const kinds = page.querySelector("[data-tool=marks]");

  const marks = data.names.map((_, i) => {
    const mark = document.createElementNS(svg.namespaceURI, "path");
    const kind = told ? data.kind[i] : 0;
    mark.setAttribute("d", SHAPES[kind % SHAPES.length]);
    mark.setAttribute("class", `mark c${kind % 5}`);
    mark.dataset.kind = data.kind[i];
    return mark;
  });
  svg.append(...marks);
  const thumbs = data.names.map((_, i) => {
    const tile = element("span", { class: `tile ${sheet}`, "aria-hidden": "true" });
    lay(tile, i, data.columns, data.rows);
    tile.style.width = `${Math.min(Math.max(55 / Math.sqrt(data.names.length), 3), 8)}%`;
    return tile;
  });
  const overlay = element("div", { class: "thumb-layer" }, ...thumbs);
  overlay.hidden = true;
  box.append(overlay);

  function arrange() {
    places = data.ways[Number(ways.value)].points.map(([x, y]) => [700 * x, 500 * (1 - y)]);
    places.forEach(([x, y], i) => {
      marks[i].setAttribute("transform", `translate(${x.toFixed(1)},${y.toFixed(1)})`);
      thumbs[i].style.left = `${(100 * (x + PAD)) / WIDTH}%`;
      thumbs[i].style.top = `${(100 * (y + PAD)) / HEIGHT}%`;
    });
    const small = kinds.value === "thumbs";
    overlay.hidden = !small;
    svg.classList.toggle("faint", small);
  }
  function choose(i) {
    if (i < 0) return;
    for (const each of [marks[chosen], thumbs[chosen]]) if (each) each.classList.remove("lit");
    chosen = i;
    marks[i].classList.add("lit");
    thumbs[i].classList.add("lit");
    svg.append(marks[i]);
    const tile = aside.querySelector(".tile");
    tile.className = `tile ${sheet}`;
    lay(tile, i, data.columns, data.rows);
    tile.setAttribute("aria-label", `${data.names[i]}, ${data.classes[data.kind[i]]}`);
    aside.querySelector("#point-readout").replaceChildren(element("b", {}, data.classes[data.kind[i]]), element("br"), data.names[i]);
  }
  box.addEventListener("pointermove", (event) => {
    const rect = box.getBoundingClientRect();
    const x = ((event.clientX - rect.left) / rect.width) * WIDTH - PAD;
    const y = ((event.clientY - rect.top) / rect.height) * HEIGHT - PAD;
    let best = -1;
    let least = 30 ** 2;
    places.forEach(([px, py], i) => {
      const d = (px - x) ** 2 + (py - y) ** 2;
      if (d < least) [best, least] = [i, d];
    });
    choose(best);
  });
  box.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (dx === undefined) return;
    event.preventDefault();
    const [x, y] = places[chosen];
    let best = -1;
    let least = Infinity;
    places.forEach(([px, py], i) => {
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along > 0 && along + 2 * across < least) [best, least] = [i, along + 2 * across];
    });
    choose(best);
  });
  ways.addEventListener("change", arrange);
  kinds.addEventListener("change", arrange);
  if (!told) kinds.value = "thumbs";
  else {
    page.querySelector(".legend").append(...data.classes.map((name, kind) => {
      const key = document.createElementNS(svg.namespaceURI, "svg");
      key.setAttribute("viewBox", "-8 -8 16 16");
      key.setAttribute("aria-hidden", "true");
      const mark = marks[data.kind.indexOf(kind)].cloneNode();
      mark.removeAttribute("transform");
      key.append(mark);
      const button = element("button", { type: "button", "aria-pressed": "false" }, key, name);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        for (const other of button.closest(".legend").querySelectorAll("button")) other.setAttribute("aria-pressed", String(on && other === button));
        [...marks, ...thumbs].forEach((each, i) => each.classList.toggle("away", on && data.kind[i % marks.length] !== kind));
      });
      return element("li", {}, button);
    }));
  }
  arrange();
  choose(0);
}
