"""``anifacegan export web``: write an avatar as one web page."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.avatars.export.config import SEQUENCE_FPS, WebConfig, require_frame_rate
from anifacegan.runtime.errors import ConfigError, printable, say
from anifacegan.runtime.output_places import OutputFile
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class WebCommand:
    """Write an avatar as one HTML file, which plays in a browser with WebGL2 and loads nothing else: drag to turn it,
    sliders for its expressions, and a JavaScript interface for pages that embed it.
    """

    avatar: Path
    """Avatar file, as 'anifacegan bake' and 'anifacegan animate' write it."""
    out: OutputFile
    """File to write; its name ends in .html."""
    expressions: tuple[str, ...] | None = None
    """Expressions with a slider, of an avatar of a photograph. null: those of the avatar; of an avatar of a photograph,
    the named expressions of its model."""
    overwrite: bool = False
    """Replace the file if it is no page of this program, or one that somebody has edited. Other pages of this program
    are always replaced; those of earlier versions have no checksum, so edits of them are not seen."""
    sequence: Path | None = None
    """File of expressions, one a frame, that the page's button Play shows: .mat, or blendshapes of ARKit or MediaPipe
    as .csv or .json. null: no button."""
    fps: float | None = None
    """Frames a second of the sequence. null: 30."""
    web: WebConfig = field(default_factory=WebConfig)
    """Range of views, precision and quality of the pictures."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".html":
            raise ConfigError("out", self.out, "NAME.html")
        require_frame_rate(self)


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan export web`` with the command-line words ``arguments``; prints what was written.

    Raises:
        InputError: a wrong option, or a file that cannot be used.
    """
    config = read_config(WebCommand, arguments, "anifacegan export web", leading=("avatar",))
    from anifacegan.avatars.avatar import load_avatar
    from anifacegan.avatars.export.named_expressions import for_page
    from anifacegan.avatars.export.web_page import Sequence as ExpressionSequence
    from anifacegan.avatars.export.web_page import require_room_for_page, web_page
    from anifacegan.runtime.errors import warnings_in_one_line
    from anifacegan.runtime.files import encoded, remove_abandoned, write_complete
    from anifacegan.runtime.locks import FileLock

    with FileLock(config.out):
        require_room_for_page(config.out, config.overwrite)
        avatar = for_page(load_avatar(config.avatar), config.expressions)
        sequence = None
        if config.sequence is not None:
            with warnings_in_one_line():
                rows = avatar.expressions.sequence(config.sequence)
            lacking = sum(not avatar.can_make(row) for row in rows)
            if lacking:
                say(
                    f"{config.sequence}: {lacking} of {len(rows)} frames have movements that the avatar was not baked "
                    "with, and are shown without them"
                )
            sequence = ExpressionSequence(rows, config.fps or SEQUENCE_FPS)
        page = web_page(avatar, config.web, sequence)
        remove_abandoned(config.out)
        write_complete(config.out, page)
    sent = len(gzip.compress(encoded(page), mtime=0)) / 1e6
    print(printable(f"{config.out}: {len(page) / 1e6:.2f} MB, {sent:.2f} MB as servers send it with gzip"))
