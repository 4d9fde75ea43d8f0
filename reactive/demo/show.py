"""The demo from beginning to end: live, batch, and whether they agree."""

from __future__ import annotations

import argparse
import asyncio
import calendar
from pathlib import Path

import orjson

from reactive.demo import data, runs
from reactive.demo.pipeline import Total
from reactive.demo.view import Cell, Phase, View, open_view

SHOWN = 5


async def show(options: argparse.Namespace) -> int:
    """Run the demo as the options say; returns the exit status."""
    folder: Path = options.folder or data.default_folder()
    recording, totals = folder / "demo-recording.jsonl.gz", folder / "demo-totals.json"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    view = open_view("Reactive: flights from New York, 2013")
    try:
        if options.again:
            return await again(recording, totals, view)
        dataset = (
            data.sample("asked for")
            if options.sample
            else await asyncio.to_thread(data.find, options.folder)
        )
        view.say(f"data: {dataset.title}")
        month = calendar.month_name[options.month]
        if not dataset.has(options.month):
            raise runs.DemoFailed(f"{month} is not in the sample: leave --month out")
        view.say(f"replaying {month} over TCP; recording to {near(recording)}")
        live, sent = await runs.live(dataset, options.month, options.rate, recording, view)
        await asyncio.to_thread(totals.write_bytes, save(live))
        batch = await runs.batch(recording, view)
        return judge(live, batch, sent, options.rate is None, view)
    except runs.DemoFailed as error:
        view.verdict(str(error), good=False)
        return 1
    finally:
        view.close()


async def again(recording: Path, totals: Path, view: View) -> int:
    """The batch half over an earlier recording, against the live totals of then."""
    try:
        live = load(await asyncio.to_thread(totals.read_bytes))
    except FileNotFoundError:
        raise runs.DemoFailed(
            f"there is no recording in {totals.parent}; run the demo without --again first"
        ) from None
    view.say(f"running in batch over {near(recording)}")
    view.show(live)
    return judge(live, await runs.batch(recording, view), None, False, view)


def judge(live: Phase, batch: Phase, sent: runs.Sent | None, comparable: bool, view: View) -> int:
    """Say whether all agree and, where their times are comparable, how much faster batch was."""
    wrong = runs.differences(live, batch)
    if sent is not None and (live.lines, live.dead) != (sent.lines, sent.broken):
        wrong.insert(
            0,
            f"the sender sent {sent.lines:,} lines, {sent.broken:,} of them broken; "
            f"{live.lines:,} came, and {live.dead:,} are dead letters",
        )
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        view.verdict("live and batch do not agree:\n" + "\n".join(wrong[:SHOWN]) + more, good=False)
        return 1
    agreed = (
        f"live and batch agree: {len(live.board)} final panes, {live.departures:,} departures, "
        f"{live.dead:,} dead letters"
    )
    if comparable:
        agreed += f"; batch was {live.seconds / batch.seconds:.1f} times as fast"
    view.verdict(agreed, good=True)
    return 0


def near(path: Path) -> Path:
    """A path as a person in this folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def save(live: Phase) -> bytes:
    """What a later `--again` compares with."""
    board = [[*key, *cell.total, cell.timing] for key, cell in sorted(live.board.items())]
    said = {
        "seconds": live.seconds,
        "lines": live.lines,
        "dead": live.dead,
        "panes": live.panes,
        "board": board,
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2)


def load(saved: bytes) -> Phase:
    """The live run that was saved."""
    said = orjson.loads(saved)
    board = {
        (origin, start): Cell(Total(count, minutes), timing)
        for origin, start, count, minutes, timing in said["board"]
    }
    return Phase(
        "live",
        said["seconds"],
        said["lines"],
        said["dead"],
        board=board,
        panes=said["panes"],
        done=True,
    )
