from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors import framing
from connectors.framing import Framing
from reactive.errors import DecodeError, FrameTooLongError

LONGEST = 12

FAMILIES: dict[str, Callable[..., Framing]] = {
    "lines": framing.lines,
    "delimiter": lambda **options: framing.delimiter(b"|", **options),
    "long delimiter": lambda **options: framing.delimiter(b"abab", **options),
    "length 1": lambda **options: framing.length_prefixed(1, **options),
    "length 2 little": lambda **options: framing.length_prefixed(2, byteorder="little", **options),
    "length 4": lambda **options: framing.length_prefixed(4, **options),
    "length 8 little": lambda **options: framing.length_prefixed(8, byteorder="little", **options),
    "varint": framing.varint_prefixed,
    "netstring": framing.netstring,
    "octet counted": framing.octet_counted,
    "octet counted or lines": lambda **options: framing.octet_counted(
        non_transparent=True, **options
    ),
}

family = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES.keys())


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(edges)]


def decode(form: Framing, blocks: Iterable[bytes]) -> tuple[list[bytes], str | None, int, int]:
    """Everything that can be observed of decoding these blocks to their end."""
    decoder = form.decoder()
    frames: list[bytes] = []
    error = None
    try:
        for block in blocks:
            frames += decoder.feed(block)
            assert decoder.pending <= form.max_frame + 24
        frames += decoder.end()
    except DecodeError as failure:
        error = f"{type(failure).__name__}: {failure}"
        with pytest.raises(type(failure)):
            decoder.feed(b"more")
    return frames, error, decoder.skipped, decoder.truncated


# Small alphabets that are made of what the framings look for, so that random bytes reach their
# corners: terminators cut in two, headers that lie, separators in the wrong place.
soup = st.text(alphabet="ab|\r\n<0123: ,", max_size=60).map(str.encode) | st.binary(max_size=60)
places = st.lists(st.integers(0, 1000), max_size=12)


def items_for(make: Callable[..., Framing]) -> st.SearchStrategy[list[bytes]]:
    smallest = 1 if make in (FAMILIES["octet counted"], FAMILIES["octet counted or lines"]) else 0
    item = st.binary(min_size=smallest, max_size=60)
    if make is FAMILIES["lines"]:
        item = item.filter(lambda value: b"\n" not in value and not value.endswith(b"\r"))
    elif make is FAMILIES["delimiter"]:
        item = item.filter(lambda value: b"|" not in value)
    elif make is FAMILIES["long delimiter"]:
        item = item.filter(lambda value: (value + b"abab").find(b"abab") == len(value))
    return st.lists(item, max_size=20)


@family
@given(data=st.data())
@settings(deadline=None)
def test_decoding_any_cutting_of_what_was_encoded_gives_the_items(make, data):
    form = make()
    items = data.draw(items_for(make))
    encoded = form.encode(items)
    assert decode(form, cut(encoded, data.draw(places))) == (items, None, 0, 0)
    assert decode(form, [bytes([byte]) for byte in encoded]) == (items, None, 0, 0)


@family
@pytest.mark.parametrize("oversize", ["fail", "skip", "truncate"])
@given(data=soup, where=places)
@settings(max_examples=200, deadline=None)
@example(data=b"a" * LONGEST + b"\r\nb\n", where=[LONGEST + 1])
@example(data=b"a" * LONGEST + b"\rb\nc\n", where=[LONGEST + 1])
@example(data=b"a" * LONGEST + b"ababc", where=[LONGEST + 2])
@example(data=b"13:aaaaaaaaaaaaa,1:b,", where=[5, 16])
@example(data=b"13:aaaaaaaaaaaaaX1:b,", where=[16])
@example(data=b"<1>aaaaaaaaaaaaaaaaa\n1 b", where=[3, 19, 20])
def test_frames_and_errors_are_the_same_under_any_cutting(make, oversize, data, where):
    form = make(max_frame=LONGEST, oversize=oversize)
    whole = decode(form, [data])
    assert decode(form, cut(data, where)) == whole
    assert decode(form, [bytes([byte]) for byte in data]) == whole
    assert all(len(frame) <= LONGEST for frame in whole[0])


@given(size=st.integers(1, 9), data=st.binary(max_size=60), where=places)
@settings(deadline=None)
def test_fixed_size_under_any_cutting(size, data, where):
    form = framing.fixed_size(size)
    frames, error, _, _ = decode(form, cut(data, where))
    assert b"".join(frames) == data[: len(data) // size * size]
    assert all(len(frame) == size for frame in frames)
    assert (error is None) == (len(data) % size == 0)
    assert form.encode(frames) == b"".join(frames)


@given(
    items=st.lists(st.binary(max_size=2 * LONGEST), max_size=10),
    where=places,
    make=st.sampled_from(["length 1", "length 4", "varint", "netstring", "octet counted"]),
)
@settings(deadline=None)
def test_skip_and_truncate_find_the_next_frame(items, where, make):
    items = [item + b"." for item in items]
    encoded = FAMILIES[make]().encode(items)
    long = [item for item in items if len(item) > LONGEST]
    short = [item for item in items if len(item) <= LONGEST]
    skip = FAMILIES[make](max_frame=LONGEST, oversize="skip")
    assert decode(skip, cut(encoded, where)) == (short, None, len(long), 0)
    truncate = FAMILIES[make](max_frame=LONGEST, oversize="truncate")
    shortened = [item[:LONGEST] for item in items]
    assert decode(truncate, cut(encoded, where)) == (shortened, None, 0, len(long))


def test_lines_take_both_line_ends_and_keep_other_carriage_returns():
    frames, error, _, _ = decode(framing.lines(), [b"a\r\nb\n\n\r\r\nc\rd\n"])
    assert (frames, error) == ([b"a", b"b", b"", b"\r", b"c\rd"], None)


def test_an_unterminated_line_is_torn_unless_asked_for():
    frames, error, _, _ = decode(framing.lines(), [b"one\ntw"])
    assert frames == [b"one"]
    assert error == (
        "TruncatedError: the bytes ended inside the frame from byte 4: "
        "2 bytes came without the b'\\n'"
    )
    assert decode(framing.lines(unterminated="emit"), [b"one\ntw"])[:2] == ([b"one", b"tw"], None)


def test_good_frames_before_an_oversize_one_are_given_and_the_error_names_it():
    decoder = framing.lines(max_frame=4).decoder()
    assert decoder.feed(b"a\nbb\r\ntoo long\nc\n") == [b"a", b"bb"]
    assert isinstance(decoder.error, FrameTooLongError)
    with pytest.raises(FrameTooLongError, match=r"frame 3 \(from byte 6\) is longer than max_fr"):
        decoder.feed(b"")
    with pytest.raises(FrameTooLongError):
        decoder.end()


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        (framing.length_prefixed(4, max_frame=9), b"\x40\0\0\0", "has 1073741824 bytes, longer"),
        (framing.length_prefixed(2), b"\0\x05abc", "inside the frame from byte 0: only 5 bytes"),
        (framing.length_prefixed(2), b"\0\x01a\0", "inside the frame from byte 3: only 1 bytes"),
        (framing.varint_prefixed(), b"\xff" * 10, "does not end within 10 bytes"),
        (framing.varint_prefixed(), b"\xff" * 9 + b"\x7f", "above 64 bits"),
        (framing.netstring(), b"1:a,01:b,", r"frame 2 \(from byte 4\): its decimal length starts"),
        (framing.netstring(), b"1:ab", "byte 3 is b'b' where b',' must end a frame"),
        (framing.netstring(), b"+1:a,", r"b'\+' is no part of a decimal length"),
        (framing.netstring(), b":,", "it has no decimal length before b':'"),
        (framing.netstring(), b"1" * 30, "more than 19 digits"),
        (framing.netstring(), b"GET / HTTP/1.1\r\n", "frame 1 .from byte 0.: b'G' is no"),
        (framing.octet_counted(), b"0 ", "starts with a zero"),
        (framing.octet_counted(), b"<13>hello\n", "b'<' is no part of a decimal"),
        (framing.octet_counted(non_transparent=True), b"hello\n", "b'h' is no part"),
        (framing.octet_counted(non_transparent=True), b"<13>hello", "only 9 bytes of it came"),
        (framing.fixed_size(4), b"abcdef", "from byte 4: it has 2 of 4 bytes"),
    ],
)
def test_malformed_bytes_say_where_and_why(form, data, message):
    decoder = form.decoder()
    with pytest.raises(DecodeError, match=message):
        decoder.feed(data)
        decoder.end()


def test_octet_counts_and_lines_mixed():
    form = framing.octet_counted(non_transparent=True)
    data = b"<13>first\n6 <1>two<14>a 3 b\n5 <2>\nx"
    assert decode(form, [data])[:2] == ([b"<13>first", b"<1>two", b"<14>a 3 b", b"<2>\nx"], None)


@pytest.mark.parametrize("make", [FAMILIES[name] for name in ("lines", "length 8 little")])
@pytest.mark.parametrize("oversize", ["fail", "skip", "truncate"])
def test_a_frame_of_a_gigabyte_is_never_held(make, oversize):
    """The sender announces, or begins, a gigabyte; memory stays at the maximum frame."""
    gigabyte = 1 << 30
    block = bytes([120]) * (1 << 20)
    form = make(max_frame=1 << 16, oversize=oversize)
    decoder = form.decoder()
    prefix = gigabyte.to_bytes(8, "little") if make is not FAMILIES["lines"] else b""
    frames = decoder.feed(prefix)
    tracemalloc.start()
    try:
        for _ in range(gigabyte // len(block)):
            if decoder.error is not None:
                break
            frames += decoder.feed(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    if oversize == "fail":
        assert isinstance(decoder.error, FrameTooLongError)
        return
    frames += decoder.feed(b"\n" if not prefix else b"")
    frames += decoder.feed(replace(form, oversize="fail").encode([b"next"]))
    assert frames == ([b"next"] if oversize == "skip" else [b"x" * (1 << 16), b"next"])
    assert decoder.skipped + decoder.truncated == 1


@pytest.mark.parametrize("name", ["lines", "long delimiter", "length 4", "octet counted or lines"])
def test_a_frame_in_tiny_pieces_costs_no_more_than_its_length(name):
    """A peer that sends byte by byte must not make each byte cost the whole frame."""

    def seconds(size: int) -> float:
        form = FAMILIES[name]()
        whole = form.encode([b"<" + b"x" * size])
        if name == "octet counted or lines":
            whole = b"<" + b"x" * size + b"\n"
        pieces = [whole[at : at + 1] for at in range(len(whole))]
        decoder = form.decoder()
        begin = time.process_time()
        frames = [frame for piece in pieces for frame in decoder.feed(piece)]
        elapsed = time.process_time() - begin
        assert frames == [b"<" + b"x" * size]
        return elapsed

    seconds(1000)
    small = min(seconds(20_000) for _ in range(3))
    assert seconds(320_000) < small * 16 * 4


@pytest.mark.parametrize(
    ("form", "items", "error", "message"),
    [
        (framing.lines(), ["text"], TypeError, "a frame is bytes, not str; encode the items first"),
        (framing.lines(), [b"a", b"b\nc"], ValueError, r"b'b\\nc' contains the delimiter b'\\n'"),
        (framing.delimiter(b"aa"), [b"xa"], ValueError, "contains the delimiter"),
        (framing.length_prefixed(1), [b"x" * 256], FrameTooLongError, "at most 255"),
        (framing.lines(max_frame=3), [b"1234"], FrameTooLongError, "max_frame=3"),
        (framing.fixed_size(3), [b"12"], ValueError, "exactly 3 bytes"),
        (framing.octet_counted(), [b""], ValueError, "at least one byte"),
    ],
)
def test_what_cannot_be_encoded_is_refused(form, items, error, message):
    with pytest.raises(error, match=message):
        form.encode(items)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: framing.lines(max_frame=0), "max_frame must be at least 1"),
        (lambda: framing.lines(oversize="drop"), "oversize must be one of fail, skip, truncate"),
        (lambda: framing.lines(unterminated="skip"), "unterminated must be 'fail' or 'emit'"),
        (lambda: framing.delimiter(b""), "at least one byte"),
        (lambda: framing.length_prefixed(3), "1, 2, 4 or 8 bytes"),
        (lambda: framing.length_prefixed(4, byteorder="middle"), "'big' or 'little'"),
        (lambda: framing.fixed_size(0), "at least 1 byte"),
    ],
)
def test_wrong_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@family
def test_blueprints_compare_pickle_and_have_a_name(make):
    form = make(max_frame=77)
    assert pickle.loads(pickle.dumps(form)) == form == make(max_frame=77)
    assert form.name


def test_encode_takes_nothing_and_bytearrays():
    for make in FAMILIES.values():
        assert make().encode([]) == b""
        assert decode(make(), [make().encode([bytearray(b"x")])])[0] == [b"x"]
