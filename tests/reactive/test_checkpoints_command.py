"""`reactive checkpoints`: what it shows of a store, and what it deletes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from recovery import Ledger, LedgerSink, Ticks

import reactive as rx
from reactive.cli import main
from reactive.sqlite_store import SqliteStore
from reactive.testing import VirtualTimeLoop


async def _fill(address: str) -> None:
    totals = rx.from_source(Ticks(20, 1.0)).scan(lambda total, n: total + n, 0).named("total")
    job = totals.to(LedgerSink(Ledger()))
    async with rx.start(job, checkpoint=rx.Checkpoint(address, every=1.0)) as run:
        await asyncio.sleep(5.5)
        await run.stop(savepoint="release")


@pytest.fixture(params=["{}/state.db", "file://{}/state"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    address: str = request.param.format(tmp_path)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_fill(address))
    return address


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["checkpoints", *words]) == status
    printed = capsys.readouterr()
    return printed.out if status == 0 else printed.err


def test_list_show_and_delete(capsys: pytest.CaptureFixture[str], store: str) -> None:
    head, *rows = run(capsys, "list", store).splitlines()
    assert head.split() == ["epoch", "taken", "written"]
    assert rows[-1].endswith("release")
    first = rows[0].split()[0]
    shown = run(capsys, "show", store)
    assert "the savepoint release" in shown
    for word in ("sources", "ticks", "operators", "total", "scan", "sinks", "ledgersink"):
        assert word in shown
    assert run(capsys, "show", store, "release") == shown
    assert run(capsys, "delete", store, first) == f"deleted epoch {first}\n"
    assert first not in [row.split()[0] for row in run(capsys, "list", store).splitlines()]
    run(capsys, "delete", store, *[row.split()[0] for row in rows[1:]])
    assert run(capsys, "list", store) == f"{store} has no epochs\n"
    assert "has no epochs" in run(capsys, "show", store, status=1)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], store: str) -> None:
    said = run(capsys, "show", store, "relaese", status=1)
    assert said.startswith(f"reactive: {store}: has no epoch 'relaese'; there are: ")
    assert said.count("\n") == 1
    assert "no checkpoint store" in run(capsys, "list", f"{store}-not-there", status=1)


def test_delete_says_who_uses_the_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.open()
    try:
        assert "another run uses" in run(capsys, "delete", str(path), "1", status=1)
        assert run(capsys, "list", str(path)) == f"{path} has no epochs\n"
    finally:
        store.close()


@pytest.mark.parametrize("words", [[], ["list"], ["show"], ["delete"]])
def test_help_teaches(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["checkpoints", *words, "--help"])
    assert left.value.code == 0
    assert "STORE" in capsys.readouterr().out
