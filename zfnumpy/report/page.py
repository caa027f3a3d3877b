"""The page itself: templates filled in, and a policy that lets nothing load but what it holds."""

import base64
import hashlib
import json
from importlib.resources import files
from urllib.parse import quote

SCRIPTS = ("script.js", "maps.js", "occlusion.js", "features.js")


def rendered(parts, template="page.html"):
    """Return the whole page, HTML text, from the parts that `build` puts together."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def source(name):
        return (files(__package__) / "templates" / name).read_text(encoding="utf-8")

    environment = Environment(loader=FunctionLoader(source), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(route=lambda text: quote(str(text), safe=""), json=lambda value: Markup(as_json(value)),
                               percent=lambda value, digits=1: f"{100 * value:.{digits}f} %")
    style, script = source("style.css"), "\n".join(source(name) for name in SCRIPTS)
    return environment.get_template(template).render(
        **parts, style=Markup(style), script=Markup(script), style_hash=_hash(style), script_hash=_hash(script))


def as_json(value):
    """Return a value as JSON that can stand inside a <script>: nothing in it ends one or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace(
        "\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
