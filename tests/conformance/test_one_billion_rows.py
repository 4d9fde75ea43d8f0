"""The One Billion Row Challenge: minimum, mean and maximum per station, to the letter."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

import reactive as rx
from connectors import files

CASES = Path(__file__).parents[3] / "shared" / "oracles" / "batch" / "1brc"
NAMES = sorted(path.stem for path in CASES.glob("*.txt"))


@dataclass(slots=True)
class Station:
    """Tenths of a degree, as integers, so that nothing is rounded before the end."""

    low: int
    high: int
    total: int
    count: int

    def __str__(self) -> str:
        # Half a tenth goes up, towards the positive.
        mean = (2 * self.total + self.count) // (2 * self.count)
        return "/".join(f"{tenths / 10:.1f}" for tenths in (self.low, mean, self.high))


Stations = dict[str, Station]


def parse(line: str) -> tuple[str, int]:
    name, _, value = line.rpartition(";")
    return name, int(value.replace(".", ""))


def add(stations: Stations, reading: tuple[str, int]) -> Stations:
    name, tenths = reading
    station = stations.get(name)
    if station is None:
        stations[name] = Station(tenths, tenths, tenths, 1)
        return stations
    station.low = min(station.low, tenths)
    station.high = max(station.high, tenths)
    station.total += tenths
    station.count += 1
    return stations


def utf16_order(name: str) -> bytes:
    return name.encode("utf-16-be")


async def report(path: Path) -> str:
    readings = files.read_lines(path).map(parse)
    stations: Stations = await rx.defer(lambda: readings.reduce(add, {})).first()
    told = (f"{name}={stations[name]}" for name in sorted(stations, key=utf16_order))
    return "{" + ", ".join(told) + "}\n"


@pytest.mark.skipif(not NAMES, reason="needs ../shared/oracles/batch/1brc")
@pytest.mark.parametrize("name", NAMES or ["(absent)"])
async def test_the_report_is_exact(name: str) -> None:
    assert await report(CASES / f"{name}.txt") == (CASES / f"{name}.out").read_text()


@pytest.mark.skipif(not NAMES, reason="needs ../shared/oracles/batch/1brc")
def test_all_cases_are_there() -> None:
    assert len(NAMES) >= 6


async def test_many_rows_in_compressed_parts(tmp_path: Path) -> None:
    random_ = random.Random(1)
    names = [f"Station {number}" for number in range(200)]
    lines = [
        f"{random_.choice(names)};{random_.randrange(-999, 1000) / 10:.1f}" for _ in range(60_000)
    ]
    expected: Stations = {}
    for line in lines:
        expected = add(expected, parse(line))
    for number, start in enumerate(range(0, len(lines), 25_000)):
        part = rx.from_iterable(lines[start : start + 25_000])
        await rx.run(part.to(files.write_lines(tmp_path / f"{number}.txt.zst")))
    readings = files.read_lines(tmp_path / "*.txt.zst").map(parse)
    counted = await rx.defer(lambda: readings.reduce(add, {})).first()
    assert counted == expected
