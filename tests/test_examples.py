"""Every example, run as its reader would run it, with all warnings on."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 60

Check = Callable[[str], None]
CHECKS: dict[str, Check] = {}


def checks(number: str) -> Callable[[Check], Check]:
    """Names the example whose output a function checks."""

    def register(check: Check) -> Check:
        (path,) = EXAMPLES.glob(f"{number}_*.py")
        CHECKS[path.name] = check
        return check

    return register


def run(path: Path, *options: str) -> tuple[str, list[str]]:
    """What an example prints, and the lines that it logs, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, *options, str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # In development mode asyncio remarks on every step of more than 0.1 s, such as an import.
    logged = re.sub(r"^Executing <.*> took \d+\.\d+ seconds\n", "", done.stderr, flags=re.M)
    return done.stdout, logged.splitlines()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_does_what_it_says(path: Path) -> None:
    out, logged = run(path, "-W", "error", "-X", "dev")
    expected = [r"retrying operator=retry error=ConnectionError.*"] * 4 if "08" in path.name else []
    assert len(logged) == len(expected), logged
    for line, pattern in zip(logged, expected, strict=True):
        assert re.fullmatch(pattern, line)
    CHECKS[path.name](out)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_explains_itself_and_is_short(path: Path) -> None:
    source = path.read_text()
    documentation = ast.get_docstring(ast.parse(source))
    assert documentation is not None
    assert len(documentation.splitlines()) >= 3
    assert len(source.splitlines()) <= 70


@checks("01")
def first_pipeline(out: str) -> None:
    words = ["QUICK", "BROWN", "JUMPS", "OVER", "LAZY"]
    lines = out.splitlines()
    assert lines[:5] == words
    assert lines[5:11] == [
        str(words),
        "letters: 23",
        "5 words kept, 5 counted by the sink",
        "tick 0",
        "tick 1",
        "tick 2",
    ]
    assert "fused into one loop" in out


@checks("02")
def live_and_batch(out: str) -> None:
    amounts: dict[str, int] = {}
    for n in range(1000):
        country = ["FR", "ES", "NL"][n % 3]
        amounts[country] = amounts.get(country, 0) + n * 10 % 70
    *live, batch, equal = out.splitlines()
    assert len(live) == 4
    assert ast.literal_eval(batch.removeprefix("batch: ")) == amounts
    assert equal == "equal: True"


@checks("03")
def tcp_ingest(out: str) -> None:
    parsed, good, *bad = out.splitlines()
    assert parsed == "parsed 1000, {'dead_letters': 3}"
    assert good == "1000 lines in readings.jsonl"
    letters = {letter["line"]: letter["why"] for letter in map(orjson.loads, bad)}
    assert letters['{"sensor": "attic"}'] == "KeyError('celsius')"
    assert letters["hello?"].startswith("JSONDecodeError(")
    assert letters['{"sensor": "\ufffd"}'].startswith("JSONDecodeError(")


@checks("04")
def web_service(out: str) -> None:
    totals, drained = out.splitlines()
    assert ast.literal_eval(totals) == {"FR": 7, "NL": 1000}
    assert drained == "drained; {'skipped': 1} of the bulk orders"


@checks("05")
def log_follower(out: str) -> None:
    failures = range(3, 120, 10)
    assert out.splitlines() == [f"request {n} failed after {n * 7} ms" for n in failures]


@checks("06")
def server_sent_events(out: str) -> None:
    asked = [line for line in out.splitlines() if line.startswith("server")]
    assert asked == [f"server: somebody wants what follows event {n}" for n in (0, 20, 40, 50)]
    assert "event 48: price 106" in out
    assert out.endswith("each event came once: True\n")


@checks("07")
def batch_report(out: str) -> None:
    cents = [sum(round(n / 4 * 100) for n in range(10_000) if n % 2 == odd) for odd in (1, 0)]
    assert out.splitlines() == [
        "shop,sales,cents",
        f"Bruges,5000,{cents[0]}",
        f"Ghent,5000,{cents[1]}",
        f"web,3000,{sum(range(3000))}",
    ]


@checks("08")
def concurrent_map(out: str) -> None:
    failed, names, faster = out.splitlines()
    assert failed.startswith("13 failed: 404, ")
    assert names == "99 names in order, from Station 0 to Station 99"
    assert faster.endswith(": True")


@checks("09")
def fan_out(out: str) -> None:
    assert "alarms: 3\n" in out
    assert "the sensor ran once: True\n" in out
    assert "shows the newest: True\n" in out
    assert " = 300\n" in out
    assert out.endswith("the queue dropped as many: True\n")


@checks("10")
def marbles(out: str) -> None:
    assert re.search(r"== 5 passed in \d", out)


@checks("11")
def own_operator_and_source(out: str) -> None:
    averages = [sum(n * n for n in range(max(0, i - 3), i + 1)) / min(i + 1, 4) for i in range(8)]
    assert ast.literal_eval(out) == [round(average, 1) for average in averages]


@checks("12")
def hub_of_clients(out: str) -> None:
    told, got = out.splitlines()[:4], out.splitlines()[4:]
    lost = dict(re.findall(r"(quick|slow): (\d+) lost", "\n".join(told)))
    assert sorted(told)[:3] == ["quick: 0 lost"] * 3
    assert int(lost["slow"]) > 0
    for line in got[:3]:
        assert re.fullmatch(r"\d+ prices up to number 599, 0 missing", line)
    assert got[3].endswith(f" prices up to number 599, {lost['slow']} missing")


@checks("13")
def aiostream_bridge(out: str) -> None:
    lines = out.splitlines()
    assert sorted(lines[3:5]) == ["indoors closed", "outdoors closed"]
    assert lines[:3] + lines[5:] == [
        "[6, 22, 17]",
        "[[0, 1, 2, 3], [4, 5, 6, 7]]",
        "[(0, 7), (1, 8), (2, 9)]",
        "['in 0', 'out 0'] 5",
        "True 45",
        "in 2 2",
        "indoors closed",
    ]


@checks("14")
def history_then_live(out: str) -> None:
    minutes = [3, 5, 8]
    assert out.splitlines() == [
        *(f"alert: minute {minute}: pay has 3 errors" for minute in minutes),
        *(f"report: minute {minute}: pay has 5 errors" for minute in minutes),
    ]
