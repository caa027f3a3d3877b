"""The report as its reader meets it: opened from the disk in a browser, by mouse, by keys, on a phone, in the dark."""

import json
import re
from urllib.parse import quote

import numpy as np
import pytest


@pytest.fixture
def visit(browser, report):
    """Return a function that opens a part of the report; in the end, nothing was said on the console or loaded."""
    contexts, problems = [], []

    def open_part(route="", **settings):
        contexts.append(browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **settings}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("request", lambda request: problems.append(f"request: {request.url[:90]}")
                if not request.url.startswith(("file://", "data:")) else None)
        page.goto(f"{(report / 'index.html').as_uri()}#/{route}")
        return page

    yield open_part
    for context in contexts:
        context.close()
    assert problems == []


def expect(what):
    """Return Playwright's assertions, which wait: the page follows its address a moment after a click."""
    return pytest.importorskip("playwright.sync_api").expect(what)


def expect_title(page, name):
    expect(page.locator("section.page:not([hidden]) h1")).to_have_text(name)


def test_parts_by_links_and_back(visit):
    page = visit()
    expect_title(page, "Inside zfnet_mini")
    expect(page.locator("section.page:visible")).to_have_count(1)
    page.click("nav[aria-label='Parts of the report'] >> text=Layers")
    expect_title(page, "conv5")
    page.click("section:visible nav[aria-label=Layers] >> text=conv2")
    expect_title(page, "conv2")
    expect(page).to_have_title("conv2 · zfnet_mini")
    for part, name in (("Rules", "Rules side by side"), ("Features", "Features"),
                       ("Truth", "Can these pictures be trusted?")):
        page.click(f"nav[aria-label='Parts of the report'] >> text={part}")
        expect_title(page, name)
    page.go_back()
    page.go_back()
    page.go_back()
    expect_title(page, "conv2")
    page.go_forward()
    expect_title(page, "Rules side by side")


def test_a_click_on_a_map_shows_its_nine_strongest(visit, report):
    page = visit("layer/conv3")
    found = np.load(report / "results" / "strongest_conv3.npz")
    tiles = page.locator("section:visible .maps button")
    assert tiles.count() == 10
    k = int(tiles.nth(4).locator("b").inner_text())
    tiles.nth(4).click()
    dialog = page.locator("dialog[open]")
    assert dialog.locator("h2").inner_text() == f"conv3 · map {k}"
    assert dialog.locator(".nine[data-side=patches] .tile").count() == 9
    assert dialog.locator(".nine[data-side=projections] .tile").count() == 9
    shown = [float(text) for text in dialog.locator("tbody td.num").all_inner_texts()]
    assert shown == pytest.approx(found["values"][k], rel=6e-3)
    first = dialog.locator(".nine .tile").first
    assert "url(" in first.evaluate("tile => getComputedStyle(tile).backgroundImage")
    first.hover()
    assert dialog.locator(".lit").count() == 3, "the patch, its projection and their line"
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect_title(page, "conv3")


def test_maps_by_keyboard_alone(visit):
    page = visit("layer/conv1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.maps button')"):
            break
    button = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert re.match(r"map \d+, strongest .*: open its nine strongest", button)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "no visible focus"
    page.keyboard.press("Enter")
    heading = page.locator("dialog[open] h2")
    before = heading.inner_text()
    page.keyboard.press("ArrowRight")
    expect(heading).not_to_have_text(before)
    after = heading.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text(before)
    page.keyboard.press("ArrowRight")
    expect(page.locator("dialog[open] .own-filter img")).to_have_attribute("alt", f"The weights of {after.split(' · ')[1]}")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.wait_for_function("document.activeElement.matches('.maps button')")
    assert page.evaluate("document.activeElement.querySelector('b').textContent") == after.split()[-1]
    page.wait_for_function("location.hash === '#/layer/conv1'")


def test_an_address_opens_its_part(visit, report):
    entry = json.loads((report / "results" / "strongest_conv5.json").read_text())
    k = int(np.argmax([units[0]["value"] for units in entry["maps"]]))
    page = visit(f"layer/conv5/map/{k}")
    assert page.locator("dialog[open] h2").inner_text() == f"conv5 · map {k}"
    page.evaluate("location.hash = '#/rules'")
    page.wait_for_selector("text=Rules side by side >> visible=true")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.evaluate(f"location.hash = '#/layer/{quote('no such layer')}'")
    page.wait_for_selector("text=There is no such page here")


def test_sorting_and_sides(visit):
    page = visit("layer/conv4")
    values = "() => [...document.querySelectorAll('section:not([hidden]) .maps .name')].map(e => e.lastChild.textContent)"
    page.select_option("section:visible [data-tool=sort]", "value")
    shown = [0.0 if text == "never fires" else float(text) for text in page.evaluate(values)]
    assert shown == sorted(shown, reverse=True)
    page.select_option("section:visible [data-tool=side]", "patches")
    assert page.locator("section:visible .t-projections:visible").count() == 0


def test_the_square_reads_out_what_the_results_hold(visit, report):
    page = visit("picture/1")
    found = np.load(report / "results" / "picture_1" / "occlusion.npz")
    box = page.locator("section:visible .occlusion")
    for place, (row, column) in ((0, (3, 5)), (1, (20, 11))):
        over = box.locator(".over").nth(place)
        over.scroll_into_view_if_needed()
        area = over.bounding_box()
        R, S = found["probability"].shape
        if place == 0:
            size = json.loads((report / "results" / "picture_1" / "occlusion.json").read_text())["size"]
            y, x = (found["tops"][row] + size[0] / 2) / 64, (found["lefts"][column] + size[1] / 2) / 64
        else:
            y, x = (row + 0.5) / R, (column + 0.5) / S
        page.mouse.move(area["x"] + x * area["width"], area["y"] + y * area["height"])
        assert box.locator("output").inner_text() == f"{100 * round(found['probability'][row, column], 5):.1f} %"
    box.focus()
    page.keyboard.press("ArrowDown")
    assert (box.get_attribute("data-row"), box.get_attribute("data-column")) == ("21", "11")
    assert box.locator("output").inner_text() == f"{100 * round(found['probability'][21, 11], 5):.1f} %"


def test_points_tell_their_names(visit):
    page = visit("features")
    scatter = page.locator(".scatter")
    scatter.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#point-readout").inner_text()
    assert "onerror=" in first, "a name is shown as it is, and is no tag"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.select_option("section:visible [data-tool=marks]", "thumbs")
    assert page.locator(".thumb-layer .tile:visible").count() == 60
    page.locator(".legend button").first.click()
    assert page.locator(".thumb-layer .tile:not(.away)").count() == 6
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("route", ["", "layer/conv1", "layer/conv5/map/0", "rules", "picture/0", "features", "truth"])
def test_a_narrow_phone_needs_no_sideways_scrolling(visit, route):
    page = visit(route, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if "map" in route:
        assert page.evaluate("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth")


CONTRAST = """() => {
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c[0] / 255) + 0.7152 * linear(c[1] / 255) + 0.0722 * linear(c[2] / 255);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    let behind = element, colour = [0, 0, 0, 0];
    while (behind && (colour.length === 4 && colour[3] === 0)) {
      colour = parse(getComputedStyle(behind).backgroundColor);
      behind = behind.parentElement;
    }
    if (colour.length === 4 && colour[3] === 0) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(colour)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_legible(visit, scheme, tmp_path):
    page = visit("picture/0", color_scheme=scheme)
    pixels = {}
    for route in ("", "layer/conv1", "picture/0", "features", "truth", "layer/conv1/map/0"):
        page.evaluate("""route => new Promise(shown => {
            addEventListener("hashchange", () => shown(), {once: true});
            location.hash = `#/${route}`;
        })""", route)
        assert page.evaluate(CONTRAST) == [], f"{route}: text below WCAG AA's 4.5"
        pixels[route] = page.screenshot(path=tmp_path / "shot.png")
    assert len(set(pixels.values())) == len(pixels)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 150) == (scheme == "dark")


def test_nothing_moves_for_those_who_ask(visit):
    page = visit("layer/conv1", reduced_motion="reduce")
    assert page.locator(".maps button").first.evaluate("e => getComputedStyle(e).transitionDuration") == "0s"
