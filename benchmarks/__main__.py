"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.harness import measure
from benchmarks.model import Contestant
from benchmarks.rows import NAMES, load

_ABOUT = """\
Measures Reactive beside what it replaces and beside the alternatives, against the bars it has set
itself. Every contestant runs in a process of its own, after a warm-up, and the contestants take
turns; what is printed are medians and, for ratios, the median of the ratios of each round. All
contestants of a row must give the same result.

The exit status is 0 unless results differ or a contestant fails; a missed bar does not change it.

The peers are in benchmarks/requirements.txt; one that is not installed is reported as such.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=NAMES,
        help=f"only this row; may be repeated: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--contestant",
        action="append",
        metavar="TEXT",
        help="only contestants whose name contains this; may be repeated",
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each contestant runs")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: compare CPU time in rows that only compute, for a machine busy with other work",
    )
    parser.add_argument(
        "--file-size",
        type=float,
        metavar="GB",
        help="size of the file of lines (1, quick 0.1); it is made in a temporary folder",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure to PATH")
    parser.add_argument(
        "--markdown",
        nargs="?",
        const="-",
        metavar="PATH",
        help="write the tables as Markdown to PATH, or print them in the place of the text",
    )
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    overrides = {}
    if arguments.file_size is not None:
        overrides["bytes"] = int(arguments.file_size * 1e9)

    def chosen(contestant: Contestant) -> bool:
        if arguments.no_peers and contestant.kind == "peer":
            return False
        wanted = arguments.contestant
        return not wanted or any(part in contestant.name for part in wanted)

    def say(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

    about = report.machine(arguments.loop, arguments.clock)
    instead = arguments.markdown == "-"
    if not instead:
        print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    rows = []
    for name in NAMES:
        if arguments.only and name not in arguments.only:
            continue
        measured = measure(
            load(name),
            quick=arguments.quick,
            rounds=arguments.rounds,
            overrides=overrides,
            how={"BENCHMARK_LOOP": arguments.loop, "BENCHMARK_CLOCK": arguments.clock},
            chosen=chosen,
            say=say,
        )
        rows.append(measured)
        say("")
        if not instead:
            print(report.text(measured), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(rows, about), indent=1) + "\n")
    if instead:
        print(report.markdown(rows, about))
    elif arguments.markdown is not None:
        Path(arguments.markdown).write_text(report.markdown(rows, about))
    return 0 if all(measured.agreed for measured in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
