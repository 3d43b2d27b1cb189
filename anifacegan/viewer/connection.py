"""One page's connection: reads its messages, and draws the newest view that it asks for.

While a frame is being drawn and sent, only the newest request waits; older ones are dropped.
"""

import asyncio
import json
import struct
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, TypeVar, runtime_checkable

from anifacegan.runtime.errors import InputError, one_line
from anifacegan.runtime.image_files import image_size, read_image
from anifacegan.viewer.recording import FPS, MOST_MB, MOST_S, Recording
from anifacegan.viewer.requests import (
    Draw,
    Load,
    Message,
    Record,
    SavePerson,
    Screenshot,
    Webcam,
    parse_message,
)
from anifacegan.viewer.stage import Stage, said

LARGEST_PICTURE_PX = 640
"""Largest height and width of a camera's picture."""
MOST_ORDERS = 4
"""Largest number of files to write, models to load and the like, that a page may wait for."""
Result = TypeVar("Result")


@runtime_checkable
class Socket(Protocol):
    """The part of a WebSocket that is used here."""

    async def send(self, message: str | bytes) -> None: ...

    def __aiter__(self) -> Any: ...


def binary_message(facts: dict[str, Any], content: bytes) -> bytes:
    """Return a message with content: the length of its facts (4 bytes, big-endian), the facts as JSON, the content."""
    head = json.dumps(facts).encode()
    return struct.pack(">I", len(head)) + head + content


class Connection:
    """A page.

    Args:
        socket: its WebSocket.
        stage: what it shows.
        to_all: sends every page what it needs to know about a new subject.
        announce: says a message to this page or, once it has gone, to all others; called in any thread.
    """

    def __init__(
        self,
        socket: Socket,
        stage: Stage,
        to_all: Callable[[], Any],
        announce: Callable[[dict[str, Any], "Connection"], None],
    ) -> None:
        self._socket, self._stage, self._to_all, self._announce = socket, stage, to_all, announce
        self._pending: Draw | None = None
        self._picture: bytes | None = None
        self._asked = asyncio.Event()
        self._recording: Recording | None = None
        self._webcam = False
        self._orders: set[asyncio.Task] = set()
        self.dropped = 0
        """Number of requests that newer ones have replaced."""

    async def run(self, news: str = "") -> None:
        """Serve the page until it is closed; a recording that runs then is written. ``news``, if there are any, are
        told first."""
        await self.say(self._stage.description())
        if news:
            await self._tell(news)
        drawing = asyncio.create_task(self._draw_newest())
        try:
            async for message in self._socket:
                await self._guarded(self._receive(message))
        finally:
            running = [drawing, *self._orders]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            if self._recording is not None:
                with suppress(InputError):  # nothing was shown
                    self._write_film(", of a page that was closed while it recorded")

    async def say(self, facts: dict[str, Any]) -> None:
        """Send plain values."""
        await self._socket.send(json.dumps(facts))

    async def _receive(self, content: str | bytes) -> None:
        if isinstance(content, bytes):
            if not self._webcam:
                raise InputError("a binary message came, expected 'webcam' to be on before pictures")
            self._picture = content
            self._asked.set()
            return
        message = parse_message(content)
        if isinstance(message, Draw):
            self.dropped += self._pending is not None
            self._pending = message
            self._asked.set()
        elif isinstance(message, Webcam):
            if message.on and self._stage.webcam is None:
                raise InputError("webcam: not started with it, expected anifacegan view --webcam")
            self._webcam, self._picture = message.on, None
        elif len(self._orders) >= MOST_ORDERS:
            raise InputError(f"{MOST_ORDERS} orders are being carried out, expected to wait for one")
        else:  # beside the messages to come: a film takes a while to write
            self._begin(self._obey(message))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry out an order beside all else."""
        order = asyncio.create_task(self._guarded(work))
        self._orders.add(order)
        order.add_done_callback(self._orders.discard)

    async def _obey(self, message: Message) -> None:
        """Do what is no frame; the answer is a line for the page."""
        stage = self._stage
        if isinstance(message, Screenshot):
            await self._tell(f"wrote {await self._off_loop(stage.save_image, message.view)}")
        elif isinstance(message, SavePerson):
            await self._tell(f"wrote {await self._off_loop(stage.save_person, message.view)}")
        elif isinstance(message, Load):
            await self._tell(f"loading {message.path}")
            await self._off_loop(stage.load, message.path)
            await self._to_all()
        elif isinstance(message, Record):
            await self._record(message.on)

    async def _record(self, on: bool) -> None:
        if on:
            if self._recording is not None:
                raise InputError("record: a recording is running, expected it to be ended first")
            self._recording = Recording(monotonic())
            await self.say({"type": "recording", "on": True, "most_s": MOST_S, "most_mb": MOST_MB})
            return
        try:
            writing = self._write_film()
        except InputError:
            await self._recorded()
            raise
        await self._recorded(writing)

    async def _recorded(self, writing: "Future[Path] | None" = None, full: bool = False) -> None:
        """Say that nothing is recorded any more, and wait for the film; ``full``: it has reached its largest size."""
        await self.say({"type": "recording", "on": False, "full": full})
        if writing is not None:
            waiting = asyncio.wrap_future(writing)
            # what nobody has looked at, asyncio prints
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([waiting])  # who waits may be cancelled, the film is not

    def _write_film(self, whose: str = "") -> "Future[Path]":
        """End the recording, and let it be written while frames are drawn, whatever becomes of this page; ``whose`` is
        added to the line that then says so.

        Raises:
            InputError: nothing is being recorded, or nothing was shown.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            raise InputError("record: nothing is being recorded, expected it to be started first")
        stage = self._stage
        writing = stage.film_thread.submit(stage.files.film, recording.finish(monotonic()), FPS)

        def tell(written: "Future[Path]") -> None:
            error = written.exception()
            facts = (
                {"type": "said", "line": f"wrote {written.result()}{whose}"}
                if error is None
                else failure(error)
            )
            self._announce(facts, self)

        writing.add_done_callback(tell)
        return writing

    async def _draw_newest(self) -> None:
        """Draw the newest request, again and again."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            request, self._pending = self._pending, None
            picture, self._picture = self._picture, None
            if picture is not None:
                await self._guarded(self._follow(picture))
            if request is not None:
                await self._guarded(self._draw(request), request.id)

    async def _draw(self, request: Draw) -> None:
        frame = await self._off_loop(self._stage.draw, request.view)
        now = monotonic()
        if self._recording is not None:
            self._recording.add(frame.jpeg, now)
            if self._recording.is_full(now):
                self._begin(self._recorded(self._write_film(), full=True))
        facts = {"type": "frame", "id": request.id, "dropped": self.dropped} | frame.facts
        await self._socket.send(binary_message(facts, frame.jpeg))

    async def _follow(self, picture: bytes) -> None:
        """Tell the page the strengths of the face in a camera's picture."""
        strengths = await self._off_loop(self._strengths, picture)
        await self.say({"type": "strengths", "strengths": strengths})

    def _strengths(self, picture: bytes) -> dict[str, float] | None:
        assert self._stage.webcam is not None
        try:
            if max(image_size(picture)) > LARGEST_PICTURE_PX:
                raise InputError(f"webcam: a picture is larger than {LARGEST_PICTURE_PX} pixels")
            return self._stage.webcam.strengths(read_image(picture, "RGB"))
        except OSError as error:
            raise InputError(f"webcam: a picture cannot be read ({error})") from None

    async def _off_loop(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the stage's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._stage.thread, work, *arguments)

    async def _tell(self, line: str) -> None:
        await self.say({"type": "said", "line": one_line(line)})

    async def _guarded(self, work: Any, request: int | None = None) -> None:
        """Wait for work; what it raises becomes a line on the page. A closed connection ends it."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  nothing that a page sends may end the server
            if is_closed(error):
                raise
            await self.say(failure(error, request))


def failure(error: BaseException, request: int | None = None) -> dict[str, Any]:
    """Return the message that says an error; ``request`` is the frame that it concerns."""
    return {"type": "error", "line": said(error), "id": request}


def is_closed(error: BaseException) -> bool:
    """Return whether an error says that the page has gone."""
    from websockets.exceptions import ConnectionClosed

    return isinstance(error, ConnectionClosed)
