"""PostgreSQL behind the crash harness: the process is killed, the server lives on."""

from __future__ import annotations

import random

import pytest
from postgres_crash import begin, rows, totals
from postgres_server import address, postgres_server

from reactive.testing import check_crashes

__all__ = ["address", "postgres_server"]


@pytest.mark.timeout(600)
def test_rows_are_in_postgres_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES", address)
    told = check_crashes(totals, setup=begin, output=rows, kills=8, seed=random.getrandbits(32))
    assert ": 8 kills (" in told
