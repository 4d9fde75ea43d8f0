"""Only type-checked: what the HTTP connector gives and takes, in both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import reactive as rx
from connectors import http


@dataclass
class Order:
    id: int


def parse(line: bytes) -> Order:
    return Order(int(line))


def sources(bad: rx.SideOutput[rx.DeadLetter[Any]]) -> None:
    assert_type(http.get_bytes("https://a", headers={"a": "b"}, timeout=5), rx.Stream[bytes])
    assert_type(http.get_lines("https://a"), rx.Stream[str])
    assert_type(http.get_lines("https://a", encoding="latin-1", on_error=bad), rx.Stream[str])
    assert_type(http.get_lines("https://a", encoding=None), rx.Stream[bytes])
    assert_type(http.get_jsonl("https://a", params={"page": 1}), rx.Stream[Any])
    assert_type(http.get_jsonl("https://a", parse=parse), rx.Stream[Order])
    assert_type(http.get_jsonl("https://a", parse=parse, on_error="skip"), rx.Stream[Order])
    assert_type(http.events("https://a", retry=None), rx.Stream[http.Event])
    assert_type(http.poll("https://a", every=1), rx.Stream[http.Response])
    assert_type(http.pages("https://a", next=http.cursor("next")), rx.Stream[http.Response])
    assert_type(
        http.pages("https://a", next=lambda page: page.link("next")).first(),
        rx.Single[http.Response],
    )
    assert_type(http.listen("127.0.0.1", 0), rx.Stream[Any])
    assert_type(http.ingest("/orders").stream, rx.Stream[Any])
    http.get_bytes("https://a", header={"a": "b"})  # type: ignore[call-arg]  # pyright: ignore


def sinks() -> None:
    assert_type(rx.of(Order(1)).to(http.post("https://a", concurrency=4)), rx.Job)
    assert_type(rx.of(b"a").to(http.post("https://a", format="raw")), rx.Job)
    http.post("https://a", format="xml")  # type: ignore[arg-type]  # pyright: ignore


async def server(application: http.Application) -> None:
    async with http.serve(application, port=0) as serving:
        assert_type(serving.url, str)
        assert_type(serving.address.port, int)
    async with http.serve(http.ingest(), port=0):
        pass
