"""Who may talk to the viewer: programs of this user, and the page that this server sent.

Any web page may open a connection to a server on loopback, and other users of the machine may, too. So the page's
address holds a secret, the page must have been loaded from the very address that it connects to (``Origin`` equals
``Host``), and this address must be one that this machine is known by: a foreign name could have been pointed at it.
"""

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """Rules of one server."""

    host: str
    """Address that the server is bound to."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    """Secret in the page's address."""
    name: str = ""
    """Name of the address, as the user gave it."""

    def refusal(self, path: str, headers: Mapping[str, str], *, opens_socket: bool) -> str | None:
        """Return why a request is refused, as one line; None if it may pass.

        Args:
            path: path of the request, with its query.
            headers: headers of the request.
            opens_socket: whether it opens a WebSocket; browsers then say which page asks.
        """
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return f"host is {host!r}, expected this machine's address"
        origin = headers.get("Origin")
        if opens_socket and origin is not None and origin.lower() != f"http://{host.lower()}":
            return f"origin is {origin!r}, expected the page of this server"
        if opens_socket and origin is None:
            return "no origin, expected the page of this server"
        given = parse_qs(path.partition("?")[2]).get("token", [""])[0]
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return "this address is not complete, expected the one that anifacegan view printed (it changes)"
        return None

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host header names this machine: a loopback name or address, what the user has named it or,
        where the server is bound to more, an IP address or the machine's name."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None:
            return False
        if is_loopback(name) or name == self.name.lower():
            return True
        if is_loopback(self.host):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in (socket.gethostname().lower(), socket.getfqdn().lower())
        return True
