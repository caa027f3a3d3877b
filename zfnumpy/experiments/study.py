"""What every study gives: its numbers, its tables, and the paper's statements beside what was found here."""

from dataclasses import asdict, dataclass

from ..paths import arrays_of, save_result


@dataclass(frozen=True)
class Claim:
    """One statement of the paper and what was measured here.

    says: the statement, a sentence. paper: the paper's figures, "" where it gives none. found: ours, with deviations.
    agrees: whether the ordering is the paper's; None where it cannot be told.
    """

    says: str
    paper: str
    found: str
    agrees: bool | None


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers: rows (lists) under `columns`, the first of which names the row."""

    title: str
    columns: list
    rows: list


@dataclass(frozen=True)
class Figure:
    """A picture of a study: its file, beside the study's JSON, and a sentence on what it shows."""

    file: str
    caption: str


class Study:
    """The base of a study's result, a dataclass with a field `settings` (whatever JSON can hold) and arrays.

    A study gives the class attributes `name` (of the command and the files), `title` and `source` (where in the papers),
    and the methods `claims` and `tables`. All else is its own.
    """

    name = title = source = ""

    def claims(self):
        """Return the paper's statements beside what was found: a list of Claim."""
        raise NotImplementedError

    def tables(self):
        """Return the numbers as a reader wants them: a list of Table."""
        raise NotImplementedError

    def numbers(self):
        """Return what else the JSON holds: a dict."""
        return {}

    def arrays(self):
        """Return what the npz holds, {name: array}: the fields that are arrays."""
        return arrays_of(self)

    def save(self, folder, figures=()):
        """Write <name>.json and <name>.npz (all arrays) into `folder`; figures: those drawn there, a list of Figure."""
        about = {"study": self.name, "title": self.title, "source": self.source, "settings": self.settings,
                 "claims": [asdict(claim) for claim in self.claims()], "tables": [asdict(table) for table in self.tables()],
                 "figures": [asdict(figure) for figure in figures], **self.numbers()}
        return save_result(folder, self.name, self.arrays(), about)
