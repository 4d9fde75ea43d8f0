"""A batch report: sales from compressed CSV and JSON Lines files in, a CSV report out.

The readers take globs and recognise the compression; they hold one block at a time, so the size of
the files does not matter. The report takes the place of an old one only when it is complete.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import reactive as rx
from connectors import files


class Total(NamedTuple):
    shop: str
    sales: int
    cents: int


def from_till(row: dict[str, str]) -> Total:
    return Total(row["shop"], 1, round(float(row["euros"]) * 100))


def from_web(sale: dict[str, Any]) -> Total:
    return Total("web", 1, sale["cents"])


def add(totals: dict[str, Total], sale: Total) -> dict[str, Total]:
    _, sales, cents = totals.get(sale.shop, Total(sale.shop, 0, 0))
    return {**totals, sale.shop: Total(sale.shop, sales + sale.sales, cents + sale.cents)}


async def write_samples(folder: Path) -> None:
    tills = rx.range(10_000).map(lambda n: {"shop": ["Ghent", "Bruges"][n % 2], "euros": n / 4})
    await rx.run(
        tills.take(5000).to(files.write_csv(folder / "till-1.csv.gz")),
        tills.skip(5000).to(files.write_csv(folder / "till-2.csv.xz")),
        rx.range(3000).map(lambda n: {"cents": n}).to(files.write_jsonl(folder / "web.jsonl.bz2")),
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await write_samples(folder)
        tills = files.read_csv(folder / "till-*.csv.*").map(from_till)
        sales = tills.merge(files.read_jsonl(folder / "web.jsonl.bz2").map(from_web))
        totals = sales.reduce(add, dict[str, Total]())
        report = totals.flat_map(lambda totals: sorted(totals.values()))
        await rx.run(report.to(files.write_csv(folder / "report.csv", columns=Total._fields)))
        print("\n".join(await files.read_lines(folder / "report.csv").collect()))


if __name__ == "__main__":
    asyncio.run(main())
