"""Only type-checked: what the file connector reads and writes, in both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

import reactive as rx
from connectors import files


@dataclass
class Order:
    id: int


def parse(line: bytes) -> Order:
    return Order(int(line))


def sources(bad: rx.SideOutput[rx.DeadLetter[Any]]) -> None:
    assert_type(files.read_lines("a.txt"), rx.Stream[str])
    assert_type(files.read_lines(["a", Path("b")], encoding="latin-1"), rx.Stream[str])
    assert_type(files.read_lines("a.txt", encoding=None, on_error=bad), rx.Stream[bytes])
    assert_type(files.read_bytes(Path("a")), rx.Stream[bytes])
    assert_type(files.read_jsonl("a.jsonl"), rx.Stream[Any])
    assert_type(files.read_jsonl("a.jsonl", parse=parse), rx.Stream[Order])
    assert_type(files.read_jsonl("a", parse=parse, on_error="skip"), rx.Stream[Order])
    assert_type(files.read_csv("a.csv"), rx.Stream[dict[str, str]])
    assert_type(files.read_csv("a.csv", header=["x"]), rx.Stream[dict[str, str]])
    assert_type(files.read_csv("a.csv", header=False), rx.Stream[list[str]])
    assert_type(files.follow("a.log"), rx.Stream[str])
    assert_type(files.follow("a.log", encoding=None), rx.Stream[bytes])


def sinks() -> None:
    assert_type(rx.of("a").to(files.write_lines("a", rotate=files.Rotation(every=60))), rx.Job)
    assert_type(rx.of(b"a").to(files.write_lines("-")), rx.Job)
    assert_type(rx.of(Order(1)).to(files.write_jsonl("a.jsonl.zst", level=3)), rx.Job)
    assert_type(rx.of({"a": 1}).to(files.write_csv("a.csv", columns=["a"])), rx.Job)
    rx.of(1).to(files.write_lines("a"))  # type: ignore[arg-type]
