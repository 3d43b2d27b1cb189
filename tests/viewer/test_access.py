"""Who may use the viewer: only the page that this server sent, at an address of this machine."""

import pytest

from anifacegan.viewer.access import Access, is_loopback


def refusal(
    host: str, origin: str | None, token: str = "secret", bound: str = "127.0.0.1", socket: bool = True
) -> str | None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    return Access(bound, "secret").refusal(f"/socket?token={token}", headers, opens_socket=socket)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:9000", "[::1]:8765", "LOCALHOST:1", "127.0.0.2:8"]
)
def test_the_own_page_may_connect_also_through_a_forwarded_port(host: str) -> None:
    assert refusal(host, f"http://{host}") is None


@pytest.mark.parametrize(
    ("host", "origin", "part"),
    [
        ("127.0.0.1:8765", "http://evil.example", "origin is 'http://evil.example'"),
        ("127.0.0.1:8765", "http://127.0.0.1:8000", "origin is"),
        ("127.0.0.1:8765", "null", "origin is 'null'"),
        ("127.0.0.1:8765", "https://127.0.0.1:8765", "origin is"),
        ("127.0.0.1:8765", "file://127.0.0.1:8765", "origin is"),
        ("127.0.0.1:8765", "http://[", "origin is 'http://['"),
        ("127.0.0.1:8765", None, "no origin"),
        (
            "evil.example:8765",
            "http://evil.example:8765",
            "host is 'evil.example:8765'",
        ),  # a name pointed here
        ("192.168.0.7:8765", "http://192.168.0.7:8765", "host is"),
        ("", "http://", "host is ''"),
        ("[::1", "http://[::1", "host is"),
    ],
)
def test_foreign_pages_and_names_are_refused(host: str, origin: str | None, part: str) -> None:
    said = refusal(host, origin)
    assert said is not None and part in said


@pytest.mark.parametrize("token", ["", "wrong", "secre", "%00", "sécret"])
def test_a_wrong_secret_is_refused(token: str) -> None:
    said = refusal("localhost:1", "http://localhost:1", token)
    assert said is not None and "not complete" in said


def test_a_path_that_is_no_address_is_refused() -> None:
    said = Access("127.0.0.1", "secret").refusal("//[x?token=1", {"Host": "localhost:1"}, opens_socket=False)
    assert said is not None and "not complete" in said


def test_a_page_is_asked_for_without_an_origin() -> None:
    assert refusal("localhost:1", None, socket=False) is None
    assert refusal("localhost:1", None, "wrong", socket=False) is not None


def test_a_server_that_is_open_to_others_knows_its_addresses() -> None:
    assert refusal("192.168.0.7:8765", "http://192.168.0.7:8765", bound="0.0.0.0") is None
    assert refusal("evil.example:8765", "http://evil.example:8765", bound="0.0.0.0") is not None


def test_the_name_that_the_user_gave_is_known() -> None:
    access = Access("127.0.1.1", "secret", "Mine")
    assert access.refusal("/?token=secret", {"Host": "mine:8765"}, opens_socket=False) is None
    assert access.refusal("/?token=secret", {"Host": "mine.example:8765"}, opens_socket=False) is not None


def test_loopback_addresses_are_known() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "192.168.0.7", "example.org")] == [False] * 3


def test_every_server_has_a_secret_of_its_own() -> None:
    assert Access("127.0.0.1").token != Access("127.0.0.1").token and len(Access("127.0.0.1").token) >= 20
