"""Only type-checked: what goes into databases and comes out of them, in both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

import reactive as rx
from connectors import http, postgres, sqlite
from reactive.testing import check_sink


@dataclass
class Order:
    id: int


def sources() -> None:
    assert_type(sqlite.read("a.db", "SELECT 1"), rx.Stream[dict[str, Any]])
    assert_type(sqlite.read(Path("a"), "SELECT ?", [1], key="id"), rx.Stream[dict[str, Any]])


def sinks() -> None:
    assert_type(rx.of(Order(1)).to(sqlite.write("a.db", "orders", create=True)), rx.Job)
    types = {"id": "bigint"}
    orders = postgres.write("postgresql:///a", "orders", columns=types, key="id", create=True)
    assert_type(rx.of((1,), {"id": 1}).to(orders), rx.Job)
    statement = postgres.write("postgresql:///a", statement="INSERT INTO a VALUES ($1)")
    assert_type(rx.of([1]).to(statement), rx.Job)
    assert_type(rx.of(Order(1)).to(http.post("http://a", key="epoch")), rx.Job)
    assert_type(rx.of(Order(1)).to(http.post("http://a", key=lambda it: str(it.id))), rx.Job)


def laws() -> None:
    async def seen(folder: Path) -> list[int]:
        return []

    check_sink(lambda folder: sqlite.write(folder / "a.db", "a"), range(3), lambda folder: [1])
    check_sink(lambda folder: sqlite.write(folder / "a.db", "a"), range(3), seen, ordered=False)
