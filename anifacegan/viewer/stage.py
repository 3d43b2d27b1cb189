"""What all pages of a viewer share: the subject on view, the thread that draws it, and the folder of saved files.

One thread draws, loads and writes images, one thing after another; the threads of :mod:`anifacegan.runtime.cpu` share
the work of a frame. Another one writes films, which takes minutes.
"""

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import environ
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from numpy import ndarray

from anifacegan.runtime.errors import DEBUG_VARIABLE, InputError, error_line
from anifacegan.runtime.image_files import encoded_image
from anifacegan.viewer.requests import View
from anifacegan.viewer.saved_files import SavedFiles
from anifacegan.viewer.subjects import Subject

JPEG_QUALITY = 92


@runtime_checkable
class CameraDriver(Protocol):
    """Reads facial movements from pictures of a camera."""

    def strengths(self, picture: UInt8[ndarray, "height width 3"]) -> dict[str, float] | None:
        """Return the strength of each action unit by its name; None if there is no face in the picture."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it is sent."""

    facts: dict[str, Any]
    """What the page says about it: what drew it, why not otherwise, and how long it took."""
    jpeg: bytes
    """The frame as a JPEG file."""


class Stage:
    """The subject on view, and all that is done with it.

    Args:
        load: opens a model or an avatar by its path.
        files: where images, people and films are written.
        webcam: reads the pictures of a camera, or None where pages may not send any.
    """

    def __init__(
        self, load: Callable[[str], Subject], files: SavedFiles, webcam: CameraDriver | None = None
    ) -> None:
        self.files, self.webcam, self._load = files, webcam, load
        self.subject: Subject | None = None
        self.waits_for = ""
        """What the page says while there is no subject."""
        self.newest = View()
        """The newest view that was drawn, with which a new page begins."""
        self.thread, self.film_thread = ThreadPoolExecutor(1, "drawing"), ThreadPoolExecutor(1, "films")

    def description(self) -> dict[str, Any]:
        """Return what a page needs to know, as plain values."""
        shared = {
            "type": "hello",
            "out": str(self.files.folder),
            "webcam": self.webcam is not None,
            "view": vars(self.newest),
        }
        subject = self.subject
        if subject is None:
            return shared | {"kind": "nothing", "name": self.waits_for}
        return shared | subject.description()

    def show(self, subject: Subject) -> None:
        """Put another subject on view; what the old one cannot share with it, the view forgets."""
        if self.subject is not None:
            self.subject.close()
        known = subject.description()
        names = {*known["expressions"], *known["units"]}
        kept = {name: value for name, value in self.newest.strengths.items() if name in names}
        shown = self.newest.shown if self.newest.shown in known["shown"] else "colour"
        self.newest = replace(
            self.newest, strengths=kept, coefficients=(), source=known["sources"][0], shown=shown
        )
        self.subject = subject

    def load(self, path: str) -> None:
        """Open a model or an avatar and put it on view.

        Raises:
            InputError: it cannot be read; the old one stays.
        """
        self.show(self._load(path))

    def draw(self, view: View) -> EncodedFrame:
        """Draw a frame.

        Raises:
            InputError: there is nothing on view, or the view is one that the subject cannot show.
        """
        begun = perf_counter()
        frame = self._on_view().draw(view)
        self.newest = view
        drawn = perf_counter()
        jpeg = encoded_image(frame.pixels, ".jpg", quality=JPEG_QUALITY)
        facts = {
            "source": frame.source,
            "note": frame.note,
            "size": len(frame.pixels),
            "draw_ms": round(1000 * (drawn - begun), 1),
            "encode_ms": round(1000 * (perf_counter() - drawn), 1),
        }
        return EncodedFrame(facts, jpeg)

    def save_image(self, view: View) -> Path:
        """Draw a view with smooth outlines, write it, and return the file's path."""
        return self.files.image(self._on_view().draw(view, antialias=True).pixels)

    def save_person(self, view: View) -> Path:
        """Write the latents of the person on view, and return the file's path."""
        return self.files.person(*self._on_view().latents(view))

    def close(self) -> None:
        """End the threads, after the frame that is being drawn and all films that are to be written."""
        if self.subject is not None:
            self.subject.close()
        self.thread.shutdown(cancel_futures=True)
        self.film_thread.shutdown()
        if self.webcam is not None:
            self.webcam.close()

    def _on_view(self) -> Subject:
        if self.subject is None:
            raise InputError(
                self.waits_for or "nothing is on view, expected a model or an avatar to be loaded"
            )
        return self.subject


def said(error: BaseException) -> str:
    """Return an error as one line for the page; where ANIFACEGAN_DEBUG is set, print the traceback of a mistake of the
    program here."""
    if environ.get(DEBUG_VARIABLE) and not isinstance(error, InputError):
        traceback.print_exception(error, file=sys.stderr)
    return error_line(error).removeprefix("error: ")
