"""The papers' experiments as pages: what the studies' files hold, no more and no less."""

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from zfnumpy.cli import main
from zfnumpy.errors import DataError
from zfnumpy.experiments.statistics import mean_deviation
from zfnumpy.experiments.study import Claim, Figure, Study, Table
from zfnumpy.report.studies import studies_part, write_studies


@dataclass
class Counted(Study):
    """A study of nothing."""

    settings: dict
    values: np.ndarray
    name: str = "evolution"
    title = "Feature <evolution>"
    source = "Zeiler & Fergus 2013, fig. 4"

    def claims(self):
        return [Claim("Lower layers converge first.", "a few epochs", mean_deviation(self.values, 1), True),
                Claim("Rotation is <b>not</b> withstood.", "", "0.4", False), Claim("Who knows.", "", "–", None)]

    def tables(self):
        return [Table("By layer", ["layer", "epoch"], [["conv1", 1.5], ["conv2", "2 ± 3"]])]


def written(folder, name="evolution", side=20):
    own = folder / name
    own.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (side, 2 * side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(own / "a.png")
    study = Counted({"data": "sketches:140", "layers": ["conv1", "conv2"], "scratch": True}, np.array([1.0, 2, 4]), name)
    study.save(own, [Figure("a.png", "Maps by epoch.")])
    return own


def test_a_study_saves_all_that_a_page_needs(tmp_path):
    own = written(tmp_path)
    about = json.loads((own / "evolution.json").read_text())
    # The deviation is the sample's: mean 7/3, squares (16 + 1 + 25)/9 = 42/9, over 2, root 1.5275.
    assert about["claims"][0] == {"says": "Lower layers converge first.", "paper": "a few epochs", "found": "2.3 ± 1.5",
                                  "agrees": True}
    assert about["figures"] == [{"file": "a.png", "caption": "Maps by epoch."}]
    with np.load(own / "evolution.npz") as arrays:
        assert arrays["values"].tolist() == [1, 2, 4]


def test_mean_and_deviation():
    assert mean_deviation([0.5, 0.7], percent=True, digits=1) == "60.0 ± 14.1 %"        # 10 apart from 60: 10·√2
    assert mean_deviation([0.25]) == "0.250"


def test_the_page_shows_claims_tables_and_figures(tmp_path):
    written(tmp_path, "invariance")
    written(tmp_path)
    written(tmp_path, "another")
    path = write_studies(tmp_path)
    text = path.read_text()
    routes = re.findall(r'data-route="([^"]*)"', text)
    assert routes == ["", "study/evolution", "study/invariance", "study/another", "missing"]
    assert text.count("as in the paper</span>") == 2 * 3 * 2
    assert text.count("not as in the paper</span>") == 6
    assert "Rotation is &lt;b&gt;not&lt;/b&gt; withstood." in text
    assert "<b>not" not in text
    assert text.count("data:image/png;base64,") == 3
    assert '<div><dt>layers</dt><dd>conv1, conv2</dd></div><div><dt>scratch</dt><dd>yes</dd></div>' in text


def test_a_large_figure_is_made_smaller(tmp_path):
    written(tmp_path, side=1200)
    figure = studies_part(tmp_path)[0]["figures"][0]["picture"]
    assert figure["uri"].startswith("data:image/webp")
    assert (figure["width"], figure["height"]) == (1800, 900)


def test_a_networks_report_shows_the_studies_too(tmp_path, capsys):
    written(tmp_path / "studies")
    code = main(["report", "sketches_gap", "--data", "sketches:14", "--layers", "conv1", "--maps", "1", "--images", "1",
                 "--no-truth", "--backend", "numpy", "--experiments", str(tmp_path / "studies"), "--out", str(tmp_path)])
    assert (code, capsys.readouterr().err) == (0, "")
    text = (tmp_path / "index.html").read_text()
    assert {"studies", "study/evolution"} <= set(re.findall(r'data-route="([^"]*)"', text))
    assert '<a href="#/studies" data-part="studies">Experiments</a>' in text


def test_no_study_no_page(tmp_path):
    assert write_studies(tmp_path) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("damage", "message"), [
    (lambda own: (own / "evolution.json").write_text("{"), "cannot read the study"),
    (lambda own: (own / "evolution.json").write_text("[]"), "is no study: it lacks claims"),
    (lambda own: (own / "a.png").unlink(), "cannot read the figure .*a.png: No such file or directory; run the study again"),
    (lambda own: (own / "a.png").write_bytes(b"png"), "cannot read the figure"),
])
def test_damaged_studies_are_refused(tmp_path, damage, message):
    damage(written(tmp_path))
    with pytest.raises(DataError, match=message):
        write_studies(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_the_page_in_a_browser(tmp_path, browser):
    playwright = pytest.importorskip("playwright.sync_api")
    written(tmp_path)
    written(tmp_path, "invariance")
    page = browser.new_page(viewport={"width": 360, "height": 740})
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(write_studies(tmp_path).as_uri())
    playwright.expect(page.locator("section.page:not([hidden]) h1")).to_have_text("The papers’ experiments")
    page.click("nav[aria-label='Parts of the report'] >> text=invariance")
    playwright.expect(page.locator("section.page:not([hidden]) h1")).to_have_text("Feature <evolution>")
    playwright.expect(page.locator(".top nav [aria-current]")).to_have_text("invariance")
    playwright.expect(page.locator("section:visible .plate img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
    assert problems == []
