"""The viewer's page: one HTML file with its program and style inside, which loads nothing else."""

import re
from importlib import resources

SCRIPTS = ("state.js", "panel.js", "webcam.js", "main.js")
"""The parts of the page's own program, in the order in which they are put together."""


def page_html() -> str:
    """Return the page; pointer, keys and sliders are those of the exported web page."""
    own = resources.files("anifacegan.viewer") / "page"
    exported = resources.files("anifacegan.avatars.export") / "page"
    parts = [(exported / "controls.js").read_text(), *((own / name).read_text() for name in SCRIPTS)]
    texts = {
        "STYLE": (exported / "style.css").read_text() + (own / "style.css").read_text(),
        "SCRIPT": "\n".join(parts),
    }
    return re.sub("@@([A-Z]+)@@", lambda found: texts[found[1]], (own / "page.html").read_text())
