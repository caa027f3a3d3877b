"""What a report writes beside its page: results, figures, and the manifest that names them all."""

import json
import re
from pathlib import Path

from .. import plots
from ..paths import save_result, writable_folder, written_whole


class Book:
    """The folder of a report. Every figure is entered once, with the file that holds its data and its settings.

    figures: also draw every figure as PNG, in figures/.
    """

    def __init__(self, folder, figures=False):
        self.folder, self.figures, self.entries, self.skipped = writable_folder(folder), figures, [], []
        for name in ("results", *["figures"] * figures):
            writable_folder(self.folder / name)

    def save(self, result, name, under=""):
        """Write a result, which calls its file `name`, into results/ or a folder there; return the file, relative."""
        result.save(self.folder / "results" / under)
        return Path("results", under, f"{name}.npz").as_posix()

    def keep(self, name, arrays, about):
        """Write arrays and what is known about them into results/, and return the file of the arrays, relative."""
        return save_result(self.folder / "results", name, arrays, about)[0].relative_to(self.folder).as_posix()

    def enter(self, name, section, title, data, settings=None, draw=None):
        """Enter a figure: its name, the section it stands in, its title, its data's file, and its settings.

        draw(path) writes it as PNG; it is called only where figures are wanted.
        """
        entry = {"name": name, "section": section, "title": title, "data": data, "settings": settings or {}}
        if self.figures and draw is not None:
            path = self.folder / "figures" / f"{file_name(name)}.png"
            draw(path)
            entry["figure"] = path.relative_to(self.folder).as_posix()
        self.entries.append(entry)

    def enter_sheet(self, name, section, title, data, settings=None, sheet=None):
        """Enter a figure that sheet() returns as a picture uint8 (H, W, 3)."""
        self.enter(name, section, title, data, settings, lambda path: plots.save_picture(path, sheet()))

    def close(self, page, about):
        """Write index.html and manifest.json; return the path of the page."""
        path = self.folder / "index.html"
        with written_whole(path) as beside:
            Path(beside).write_text(page, encoding="utf-8", newline="\n")
        with written_whole(self.folder / "manifest.json") as beside:
            text = json.dumps({**about, "page": "index.html", "figures": self.entries}, indent=1, ensure_ascii=False)
            Path(beside).write_text(text, encoding="utf-8")
        return path


def file_name(name):
    """Return a name as part of a file's name: what is neither letter, digit, dot nor dash becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", name)

