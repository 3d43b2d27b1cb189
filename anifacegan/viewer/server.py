"""The viewer's server: one page over HTTP, and a WebSocket for each open page, on one port.

A page that is closed or loses its connection changes nothing, but that what it has recorded is written; it connects
again by itself. The subject on view may change while the server runs: pages load another one, or the server watches
for one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from anifacegan.runtime.errors import InputError, last_line, say
from anifacegan.runtime.files import encoded
from anifacegan.viewer.access import Access, is_loopback
from anifacegan.viewer.connection import Connection, is_closed
from anifacegan.viewer.page import page_html
from anifacegan.viewer.requests import MOST_CHARACTERS
from anifacegan.viewer.stage import Stage, said
from anifacegan.viewer.subjects import Subject

MOST_PAGES = 8
"""Largest number of open pages."""
MOST_BYTES = max(2**18, 4 * MOST_CHARACTERS)
"""Largest message from a page, a camera's picture."""
WATCH_S = 5.0
"""Time between two looks for a newer subject, seconds."""
INSTALL_EXTRA = "pip install 'anifacegan[viewer]'"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_silent = logging.getLogger("anifacegan.viewer")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False  # what strangers send to the port is nothing for the terminal
Watch = Callable[[], Subject | None]
"""Returns a newer subject than the one on view, or None; called in a thread of its own."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    """IP address; 0.0.0.0 and :: are all of the machine's."""
    port: int
    token: str

    @property
    def shown(self) -> str:
        """Address by which this machine reaches the server, as a URL writes it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host

    @property
    def url(self) -> str:
        """Address of the page, with its secret."""
        return f"http://{self.shown}:{self.port}/?token={self.token}"

    @property
    def forward(self) -> str:
        """Command that makes the page's address work on another machine."""
        bound = "" if self.shown == "127.0.0.1" else f"{self.shown}:"
        return f"ssh -N -L {bound}{self.port}:{self.shown}:{self.port} USER@THIS_MACHINE"


class Viewer:
    """A server of one page.

    Args:
        stage: what is on view.
        host: address to bind to.
        port: port to bind to; 0 takes a free one.
        watch: looks for a newer subject; None: nothing is watched.

    Raises:
        InputError: websockets is not installed.
    """

    def __init__(self, stage: Stage, host: str, port: int, watch: Watch | None = None) -> None:
        require_websockets()
        self.stage, self.access = stage, Access(host)
        self._host, self._port, self._watch = host, port, watch
        self._pages: set[Connection] = set()
        self._unheard: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._html = page_html()

    async def serve(self, ready: Callable[[Address], None]) -> None:
        """Serve until the task is cancelled; ``ready`` is called with the address once pages can be opened.

        Raises:
            InputError: the address or the port cannot be bound.
        """
        from websockets.asyncio.server import serve

        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            try:
                server = await stack.enter_async_context(
                    serve(
                        self._page,
                        self._host,
                        self._port,
                        process_request=self._answer,
                        compression=None,  # frames are compressed
                        max_size=MOST_BYTES,
                        max_queue=4,
                        logger=_silent,
                    )
                )
            except UnicodeError:  # of the codec "idna"
                raise InputError(
                    f"host is {self._host!r}, expected an address or a name of this machine"
                ) from None
            except (OSError, OverflowError) as error:
                raise InputError(
                    f"port {self._port} of {self._host} cannot be opened ({last_line(error)}), "
                    f"expected another --port or --host"
                ) from None
            bound, port = most_open([socket.getsockname()[:2] for socket in server.sockets])
            self.access = replace(self.access, host=bound, name=self._host)
            ready(Address(bound, port, self.access.token))
            if self._watch is None:
                await asyncio.get_running_loop().create_future()
            while True:
                await self._look_for_newer()
                await asyncio.sleep(WATCH_S)

    def redraw(self) -> None:
        """Tell every page that its view can be drawn anew; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._to_all({"type": "redraw"}), self._loop)

    def announce(self, facts: dict[str, Any], page: Connection) -> None:
        """Send a message with a line to a page or, if it has gone, to all others; where there is none, print the line
        and tell it the next page. May be called from any thread."""
        if self._loop is None or self._loop.is_closed():
            say(facts["line"])
        else:
            asyncio.run_coroutine_threadsafe(self._announced(facts, page), self._loop)

    async def _announced(self, facts: dict[str, Any], page: Connection) -> None:
        told = [page] if page in self._pages else list(self._pages)
        answers = await asyncio.gather(*(one.say(facts) for one in told), return_exceptions=True)
        if all(isinstance(answer, Exception) for answer in answers):  # they have gone
            say(facts["line"])
            self._unheard.append(facts["line"])

    async def _look_for_newer(self) -> None:
        assert self._watch is not None
        try:
            subject = await asyncio.to_thread(self._watch)
        except Exception as error:  # noqa: BLE001  the next look may succeed
            await self._to_all({"type": "error", "line": said(error), "id": None})
            return
        if subject is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self.stage.thread, self.stage.show, subject)
            await self._introduce()

    async def _introduce(self) -> None:
        await self._to_all(self.stage.description())

    async def _to_all(self, facts: dict[str, Any]) -> None:
        await asyncio.gather(*(page.say(facts) for page in self._pages), return_exceptions=True)

    async def _page(self, socket: Any) -> None:
        page = Connection(socket, self.stage, self._introduce, self.announce)
        self._pages.add(page)
        news, self._unheard = "; ".join(self._unheard), []
        try:
            await page.run(news)
        except Exception as error:  # noqa: BLE001  a page that has gone is nobody's mistake
            if not is_closed(error):
                said(error)
        finally:
            self._pages.discard(page)

    def _answer(self, connection: Any, request: Any) -> Any:
        """Answer an HTTP request: with the page, with a refusal, or, with None, by opening a WebSocket."""
        path = request.path.partition("?")[0]
        given = {name: ", ".join(request.headers.get_all(name)) for name in ("Host", "Origin")}
        headers = {name: value for name, value in given.items() if value}  # one that comes twice is nobody's
        refusal = self.access.refusal(request.path, headers, opens_socket=path == "/socket")
        if path not in ("/", "/socket"):
            return response(HTTPStatus.NOT_FOUND, "there is nothing at this address\n")
        if refusal is not None:
            return response(HTTPStatus.FORBIDDEN, f"refused: {refusal}\n")
        if path == "/":
            return response(HTTPStatus.OK, self._html, "text/html")
        if len(self._pages) >= MOST_PAGES:
            return response(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_PAGES} pages are open, close one\n")
        return None


def most_open(places: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """Return the first of a name's addresses and ports that other machines reach; if there is none, the first."""
    return next((place for place in places if not is_loopback(place[0])), places[0])


def response(status: HTTPStatus, text: str, kind: str = "text/plain") -> Any:
    """Return an HTTP response that no other page may show or keep."""
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    body = encoded(text)
    headers = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Length": str(len(body)),
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    return Response(status.value, status.phrase, Headers(headers), body)


def require_websockets() -> None:
    """Require that the package websockets can be imported.

    Raises:
        InputError: it cannot; the message says how to get it.
    """
    try:
        import websockets.asyncio.server  # noqa: F401
    except ImportError as error:
        raise InputError(f"websockets: cannot be imported ({last_line(error)}): {INSTALL_EXTRA}") from None


def ready_lines(address: Address) -> str:
    """Return what the command prints when the page can be opened."""
    lines = [f"open {address.url}"]
    if is_loopback(address.host):
        lines.append(f"from another machine: {address.forward}   then open the same address there")
    else:
        lines.append(f"warning: {address.host} is open to other machines; the address above is the only lock")
    return "\n".join(lines)
