"""One small report for all tests of it, with everything in it, and a browser to open it in."""

import shutil

import pytest
from awkward_data import Awkward, small_network

from zfnumpy.data import sketches
from zfnumpy.report.book import Book
from zfnumpy.report.build import build
from zfnumpy.report.settings import Settings, convolutions


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The folder of a report with everything in it, figures too."""
    net, part = small_network(), Awkward(sketches.load(60, seed=5, cache=False, processes=1))
    book = Book(tmp_path_factory.mktemp("report"), figures=True)
    settings = Settings(tuple(convolutions(net)), maps=10, pictures=2, tested=3, command=("zfnumpy", "report", "'a b'"))
    build(net, part, book, settings, {"data": "<b>sketches</b>"})
    return book.folder


@pytest.fixture(scope="session")
def browser():
    """A browser without a window; skips without Playwright or Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[browser]'")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium to open the report in: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=[
            "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-quic"])
        yield opened
        opened.close()
