"""Server-Sent Events: what the rules leave to us, and what any cutting of the bytes must keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.server_sent_events import Event, EventDecoder
from reactive.errors import FrameTooLongError

PIECES = st.sampled_from(
    [
        b"data: one\n",
        b"data:two\r\n",
        b"data\r",
        b"\n",
        b"\r\n",
        b"\r",
        b"id: 7\n",
        b"id\n",
        b"event: tick\n",
        b"retry: 1500\n",
        b": comment\n",
        b"data: \xe2\x82\xac \xff\n",
        b"\xef\xbb\xbf",
        b"nonsense\n",
    ]
)


@given(st.lists(PIECES, max_size=30), st.randoms(use_true_random=False))
def test_cutting_does_not_matter(pieces: list[bytes], random: object) -> None:
    text = b"".join(pieces)
    expected = EventDecoder("start")
    events = expected.feed(text)
    decoder = EventDecoder("start")
    found: list[Event] = []
    rest = text
    while rest:
        size = random.randint(1, 5)  # type: ignore[attr-defined]
        found += decoder.feed(rest[:size])
        rest = rest[size:]
    assert found == events
    assert decoder.last_event_id == expected.last_event_id
    assert decoder.retry_seconds == expected.retry_seconds


def test_the_last_event_id_of_before_stays_until_the_server_sets_another() -> None:
    decoder = EventDecoder("41")
    assert decoder.feed(b"data: a\n\nid: 42\ndata: b\n\nid\ndata: c\n\n") == [
        Event("message", "a", "41"),
        Event("message", "b", "42"),
        Event("message", "c", ""),
    ]


def test_an_empty_block_between_return_and_line_feed() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n\r\n") == [Event("message", "a")]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"0", 0),
        (b"000", 0),
        (b"1500", 1.5),
        (b"-1", None),
        (b"1.5", None),
        (b"\xd9\xa1", None),
        (b"", None),
    ],
)
def test_retry(said: bytes, seconds: float | None) -> None:
    decoder = EventDecoder()
    decoder.feed(b"retry: " + said + b"\n")
    assert decoder.retry_seconds == seconds


def test_a_retry_of_absurd_length_stays_a_number() -> None:
    decoder = EventDecoder()
    decoder.feed(b"retry: " + b"9" * 100_000 + b"\n")
    assert decoder.retry_seconds is not None
    assert 1e6 < decoder.retry_seconds < 1e12


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("long", [b"data: " + b"x" * 200, b"data: 1234567890\n" * 20, b":" * 200])
def test_an_event_above_the_limit_comes_after_the_events_before_it(long: bytes, size: int) -> None:
    decoder = EventDecoder(max_event=100)
    text = b"data: good\n\n" + long + b"\n\ndata: never\n\n"
    events: list[Event] = []
    with pytest.raises(FrameTooLongError, match="max_event=100"):
        for start in range(0, len(text) + size, size):
            events += decoder.feed(text[start : start + size])
        decoder.feed(b"")
    assert events == [Event("message", "good")]


def test_comments_do_not_add_up_to_an_event() -> None:
    decoder = EventDecoder(max_event=100)
    assert decoder.feed(b":keep alive\n" * 1000 + b"data: x\n\n") == [Event("message", "x")]
