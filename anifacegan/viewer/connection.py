"""One page's connection: reads its messages, and draws the newest view that it asks for.

While a frame is being drawn and sent, only the newest request waits; older ones are dropped.
"""

import asyncio
import json
import struct
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Protocol, TypeVar, runtime_checkable

from anifacegan.runtime.errors import InputError
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
    """

    def __init__(self, socket: Socket, stage: Stage, to_all: Callable[[], Any]) -> None:
        self._socket, self._stage, self._to_all = socket, stage, to_all
        self._pending: Draw | None = None
        self._picture: bytes | None = None
        self._asked = asyncio.Event()
        self._recording: Recording | None = None
        self._webcam = False
        self._orders: set[asyncio.Task] = set()
        self.dropped = 0
        """Number of requests that newer ones have replaced."""

    async def run(self) -> None:
        """Serve the page until it is closed."""
        await self.say(self._stage.description())
        drawing = asyncio.create_task(self._draw_newest())
        try:
            async for message in self._socket:
                await self._guarded(self._receive(message))
        finally:
            running = [drawing, *self._orders]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

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
            self._recording = Recording(monotonic())
            await self.say({"type": "recording", "on": True, "most_s": MOST_S, "most_mb": MOST_MB})
            return
        recording, self._recording = self._recording, None
        await self._write_film(recording, full=False)

    async def _write_film(self, recording: Recording | None, full: bool) -> None:
        """End a recording, and write it while frames are drawn; ``full``: it has reached its largest size."""
        await self.say({"type": "recording", "on": False, "full": full})
        if recording is None:
            raise InputError("record: nothing is being recorded, expected it to be started first")
        frames = recording.finish(monotonic())
        loop, stage = asyncio.get_running_loop(), self._stage
        path = await loop.run_in_executor(stage.film_thread, stage.files.film, frames, FPS)
        await self._tell(f"wrote {path}")

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
                self._begin(self._write_film(self._recording, full=True))
                self._recording = None
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
        await self.say({"type": "said", "line": line})

    async def _guarded(self, work: Any, request: int | None = None) -> None:
        """Wait for work; what it raises becomes a line on the page. A closed connection ends it."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  nothing that a page sends may end the server
            if is_closed(error):
                raise
            await self.say({"type": "error", "line": said(error), "id": request})


def is_closed(error: BaseException) -> bool:
    """Return whether an error says that the page has gone."""
    from websockets.exceptions import ConnectionClosed

    return isinstance(error, ConnectionClosed)
