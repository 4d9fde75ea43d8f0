"""HTTP's headers and addresses, without a network."""

import pickle
import time

import pytest

from connectors.http_messages import (
    HttpStatusError,
    Response,
    check_url,
    content_type,
    join_headers,
    link_target,
    origin,
    retry_after_seconds,
    shown_url,
    start_of,
    with_query,
)
from reactive.errors import DecodeError

NOON = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3),
        (" 120 ", 120),
        ("0", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("99999999999999999999", 86_400),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10),
        ("Tuesday, 14-Nov-23 22:13:30 GMT", 10),
        ("Tue Nov 14 22:13:30 2023", 10),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0),
        ("Tue, 14 Nov 2099 22:13:00 GMT", 86_400),
        ("Tue, 99 Nov 2023 22:13:00 GMT", None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_retry_after(
    value: str | None, seconds: float | None, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert retry_after_seconds(value, NOON) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ('<https://a/2>; rel="next"', "https://a/2"),
        ("<https://a/2>;rel=next", "https://a/2"),
        ('<https://a/2> ; REL = "Next"', "https://a/2"),
        ('<https://a/0>; rel="prev", <https://a/2>; rel="next"', "https://a/2"),
        ('<https://a/2>; rel="last next"', "https://a/2"),
        ('<https://a/9>; title="rel=next, <x>; rel=next"; rel=last, </2>; rel=next', "/2"),
        ('<https://a/9>; title="a \\" b", </2>; rel=next', "/2"),
        ('<https://a/9>; rel=last; rel=next, </2>; rel="next"', "/2"),
        ('<https://a/9>; rel=next; anchor="/other", </2>; rel=next', "/2"),
        ('</2?a=1,2;3>; rel="next"', "/2?a=1,2;3"),
        ("<>; rel=next", ""),
        ('</9>; rel="nextish"', None),
        ("nonsense", None),
        ("</unfinished; rel=next", None),
        ('</1>; crossorigin; rel="next"', "/1"),
        (', </1>; rel="next",', "/1"),
        ('<//example.net/2>; rel="http://example.net/foo next"', "//example.net/2"),
    ],
)
def test_link_header(header: str, target: str | None) -> None:
    assert link_target(header, "next") == target


def test_a_link_is_relative_to_where_the_response_came_from() -> None:
    response = Response("https://a/items/1?x=1", 200, {"link": "<?x=2>; rel=next"}, b"")
    assert response.link("next") == "https://a/items/1?x=2"
    assert response.link("prev") is None


def test_headers_of_one_name_are_joined() -> None:
    assert join_headers([("Link", "<a>"), ("ETag", '"1"'), ("LINK", "<b>")]) == {
        "link": "<a>, <b>",
        "etag": '"1"',
    }


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ("", ("", None)),
        ("Application/JSON", ("application/json", None)),
        ("text/plain; charset=UTF-8", ("text/plain", "utf-8")),
        ('text/plain;format=flowed ; Charset="latin-1"', ("text/plain", "latin-1")),
        ("text/plain; notcharset=x", ("text/plain", None)),
    ],
)
def test_content_type(header: str, parsed: tuple[str, str | None]) -> None:
    assert content_type(header) == parsed


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://a/b", "http://", "http:///x", "http://a:0/", "http://a:x/"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"get_lines: .* is not an address such as 'https://"):
        check_url("get_lines", url)


def test_an_address_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a string, not bytes"):
        check_url("get_lines", b"http://a")  # type: ignore[arg-type]


def test_query_parameters_replace_those_of_their_name() -> None:
    url = "https://a/b?x=1&cursor=old&y=%20#part"
    assert with_query(url, {"cursor": "a b", "n": 2}) == (
        "https://a/b?x=1&y=%20&cursor=a+b&n=2#part"
    )
    assert with_query("https://a/b", {"x": 1}) == "https://a/b?x=1"
    assert with_query("https://a/b?x=1", {}) == "https://a/b?x=1"


def test_passwords_are_not_shown() -> None:
    assert shown_url("https://me:secret@a:8443/b?c=1") == "https://a:8443/b?c=1"
    assert shown_url("https://a/@b") == "https://a/@b"


def test_origin_knows_the_usual_ports() -> None:
    assert origin("https://A/b") == origin("https://a:443/c")
    assert origin("http://a/b") != origin("https://a/b")


def test_the_start_of_a_body_is_one_short_line() -> None:
    assert start_of(b"") == "nothing"
    assert start_of(b" \n") == "nothing"
    assert start_of(b"<html>\n  <b>No</b>\xff") == repr("<html> <b>No</b>\N{REPLACEMENT CHARACTER}")
    assert start_of(b"x" * 1000) == repr("x" * 300 + "...")


def test_a_response_says_what_is_wrong_with_its_body() -> None:
    response = Response("https://me:pw@a/b", 200, {"content-type": "text/plain"}, b"\xff<html>")
    with pytest.raises(DecodeError, match=r"^https://a/b: the body is not JSON .*<html>"):
        response.json()
    with pytest.raises(DecodeError, match=r"^https://a/b: the body is not utf-8 text"):
        response.text()
    strange = Response("https://a/b", 200, {"content-type": "text/plain; charset=klingon"}, b"x")
    with pytest.raises(DecodeError, match="klingon"):
        strange.text()
    latin = Response("https://a/b", 200, {"content-type": "text/plain; charset=latin-1"}, b"\xe4")
    assert latin.text() == "ä"


def test_errors_can_be_pickled() -> None:
    error = HttpStatusError("no", url="https://a", status=429, body=b"x", retry_after=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.url, copy.status, copy.body) == ("no", "https://a", 429, b"x")
    assert copy.retriable and copy.retry_after == 2.0
