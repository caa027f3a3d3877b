// A picture's page: the square over the picture, and what the network answers there.

shows.picture = (page) => once(page, (data) => makeOcclusion(page, data));

function makeOcclusion(page, data) {
  const box = page.querySelector(".occlusion");
  const [stage, map] = box.querySelectorAll(".stage .over");
  const rows = data.tops.length;
  const { columns } = data;
  const percent = (p) => `${(100 * p).toFixed(1)} %`;
  let [row, column] = data.at;

  const draw = (svg, x, y, width, height) => {
    for (const rect of svg.querySelectorAll("rect")) {
      for (const [key, value] of Object.entries({ x, y, width, height })) rect.setAttribute(key, value);
    }
  };
  const show = (r, c) => {
    row = Math.min(Math.max(r, 0), rows - 1);
    column = Math.min(Math.max(c, 0), columns - 1);
    const k = row * columns + column;
    const top = Math.max(data.tops[row], 0);
    const left = Math.max(data.lefts[column], 0);
    const bottom = Math.min(data.tops[row] + data.size[0], data.image[0]);
    const right = Math.min(data.lefts[column] + data.size[1], data.image[1]);
    draw(stage.querySelector("svg"), left, top, right - left, bottom - top);
    draw(map.querySelector("svg"), column, row, 1, 1);
    box.dataset.row = row;
    box.dataset.column = column;
    box.querySelector(".readout").replaceChildren(
      element("span", {}, "probability of ", element("b", {}, data.label), " ", element("output", {}, percent(data.p[k])), ` (uncovered ${percent(data.p0)})`),
      element("span", {}, "most probable ", element("b", {}, data.kinds[data.kind[k]])),
      element("span", { class: "muted" }, `square at x ${left}–${right - 1}, y ${top}–${bottom - 1}`));
  };
  const nearest = (edges, size, at) => edges.reduce((best, edge, i) => (Math.abs(edge + size / 2 - at) < Math.abs(edges[best] + size / 2 - at) ? i : best), 0);
  const follow = (over, place) => {
    const point = (event) => {
      const rect = over.getBoundingClientRect();
      show(...place((event.clientY - rect.top) / rect.height, (event.clientX - rect.left) / rect.width));
    };
    over.addEventListener("pointermove", point);
    over.addEventListener("pointerdown", point);
  };
  follow(stage, (y, x) => [nearest(data.tops, data.size[0], y * data.image[0]), nearest(data.lefts, data.size[1], x * data.image[1])]);
  follow(map, (y, x) => [Math.floor(y * rows), Math.floor(x * columns)]);
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    show(row + by[0], column + by[1]);
  });
  show(row, column);
}
