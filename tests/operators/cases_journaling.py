"""Cases of `operators/journaling.py` for the tests of every operator."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from cases import Build, Case

import reactive as rx


def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="journal-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


JOURNAL = folder() / "journal"
"""One for all runs of the laws, each of which goes on behind what is there: the one that continues
a snapshot needs the journal that it was taken with."""


def journal(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    return stream.journal(JOURNAL)


def journal_in_small_files(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    return stream.journal(
        JOURNAL.with_name("small"),
        serializer="pickle",
        start="end",
        sync_every=0,
        segment_bytes=200,
        limit_bytes=10_000_000,
        retain_bytes=20_000,
        retain_seconds=3600,
    )


LAWS: dict[str, Build | Case] = {
    # It takes in what comes without backpressure, and two runs cannot write it at a time.
    "journal": Case(journal, skip=("backpressure", "reuse"), examples=8),
    "journal in small files": Case(
        journal_in_small_files, skip=("backpressure", "reuse"), examples=6
    ),
}

RULES: dict[str, Build] = {
    "journal": lambda s: s.journal(folder() / "rules", serializer="pickle"),
}
