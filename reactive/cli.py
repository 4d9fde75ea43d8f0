"""The `reactive` command: run a pipeline as a process, look at its plan, see the demo."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast, get_args

from reactive.checkpoint import Checkpoint
from reactive.context import Mode, Settings
from reactive.errors import CheckpointError, ConnectorError, PlanError
from reactive.explain import explain_jobs
from reactive.plan import JobPlan
from reactive.printing import Printed, ReaderGone
from reactive.stream import Stream
from reactive.supervision import Interrupted, LogFile, supervise
from reactive.targets import TargetError, resolve

FAILED, MISUSED = 1, 2
ROOT = Path(__file__).parents[1]
FOREIGN = (
    *(f"{ROOT / room}{os.sep}" for room in ("reactive", "operators", "connectors")),
    *(f"{Path(str(module.__file__)).parent}{os.sep}" for module in (asyncio, importlib)),
    "<",
)
"""Where code lies that is not the user's; generated code has a name in angle brackets."""

ABOUT = "Run Reactive pipelines from the command line."
EXAMPLES = """\
examples:
  reactive run pipelines:job             run `job`, defined in pipelines.py in this folder
  reactive run shop.ingest:main          run what the function main() in shop/ingest.py returns
  reactive run pipelines:lines | head    a stream without a sink prints its items as lines
  reactive explain pipelines:job         what would run: tasks, fused operators, bounds
  reactive checkpoints list state.db     what a run has saved, to go on from
  reactive demo                          real flights over TCP, live and then in batch

`reactive COMMAND --help` says more.
"""
TARGET = """\
MODULE:NAME is a module as `import` takes it, searched in the current folder first, and a name in
it: a Job (`stream.to(sink)`), a list of Jobs, a Stream, or a function, also an async one, that
returns one of these.
"""
RUN = f"""\
Run a pipeline until it completes or is told to stop.

{TARGET}
The items of a Stream go to standard output, one a line: text as it is, everything else as JSON.
Progress, with a bar where files or other sources know their size, and the report (items in and out
of every operator, dead letters, seconds) go to standard error.

Ctrl-C or SIGTERM drains: sources take no more, and what was already taken flows through to the
sinks. A second one cancels at once, and unfinished output is discarded.

With --checkpoint, all that is needed to go on is saved in FILE, a SQLite database, now and then and
after Ctrl-C or SIGTERM; the same command goes on from there, also after a crash. `reactive explain`
says for each source and sink what is then there exactly once, at least once or at most once.
"""
RUN_EXAMPLES = """\
exit status:
  0    completed, or drained after Ctrl-C or SIGTERM
  1    the pipeline failed; its traceback is on standard error
  2    MODULE:NAME or an option is not usable; one line says why
  130  cancelled by a second Ctrl-C (143: by SIGTERM)
  141  nobody reads standard output any more

example, in ticks.py:
  import reactive as rx
  evens = rx.interval(0.5).filter(lambda n: n % 2 == 0)

  $ reactive run ticks:evens

a deployment that loses and repeats nothing:
  $ reactive run shop:orders --checkpoint state.db      (SIGTERM, a new version, the same again)
"""
EXPLAIN = f"""\
Print the plan of a pipeline: the tasks it runs in, which operators were fused into one loop, every
bounded edge and its policy, and the line that defined each operator. Nothing is run or opened.

{TARGET}"""
EXPLAIN_EXAMPLES = """\
examples:
  reactive explain pipelines:job
  reactive explain pipelines:job --mermaid > plan.mmd
"""


class UsageError(Exception):
    """An option that cannot be honoured here; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of the command; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
        return status
    except (TargetError, UsageError, PlanError) as error:
        print(f"reactive: {error}", file=sys.stderr)
        return MISUSED
    except (ReaderGone, BrokenPipeError):
        # What Python still holds for standard output cannot be written when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Interrupted as error:
        return 128 + error.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def build_parser() -> argparse.ArgumentParser:
    """All commands and their help."""
    parser = _parser(argparse.ArgumentParser, "reactive", ABOUT, EXAMPLES)
    parser.add_argument("--version", action="version", version=version("reactive-pipelines"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _parser(commands.add_parser, "run", RUN, RUN_EXAMPLES, help="run a pipeline")
    run.add_argument("target", metavar="MODULE:NAME", help="what to run")
    run.add_argument("-q", "--quiet", action="store_true", help="no progress and no report")
    _add_checkpoints(run)
    run.set_defaults(command=_run)

    explain = _parser(
        commands.add_parser, "explain", EXPLAIN, EXPLAIN_EXAMPLES, help="print a pipeline's plan"
    )
    explain.add_argument("target", metavar="MODULE:NAME", help="what to explain")
    explain.add_argument("--mermaid", action="store_true", help="as a Mermaid flowchart")
    explain.add_argument(
        "--checkpoint", metavar="FILE", help="as it would run with checkpoints, which is not opened"
    )
    explain.set_defaults(command=_explain)
    for command in (run, explain):
        command.add_argument(
            "--mode",
            choices=get_args(Mode),
            default="auto",
            help="batch: windows give one final result each, at the end, and nothing is late; "
            "stream: they give results as event time goes on; auto: batch if every source ends by "
            "itself (default: %(default)s)",
        )

    from reactive.demo import options as demo_options

    demo = _parser(
        commands.add_parser,
        "demo",
        demo_options.ABOUT,
        demo_options.EXAMPLES,
        help="see a pipeline at work, live and in batch",
    )
    demo_options.add_to(demo)
    demo.set_defaults(command=_demo)

    from reactive import checkpoints_command

    checkpoints = _parser(
        commands.add_parser,
        "checkpoints",
        checkpoints_command.ABOUT,
        checkpoints_command.EXAMPLES,
        help="look at the checkpoints of a pipeline, delete some",
    )
    checkpoints_command.add_to(checkpoints, _parser)
    for command in (run, demo):
        command.add_argument("--uvloop", action="store_true", help="use uvloop's event loop")
    return parser


def _add_checkpoints(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("checkpoints")
    group.add_argument(
        "--checkpoint", metavar="FILE", help="save what is needed to go on here, and go on from it"
    )
    group.add_argument(
        "--every", metavar="SECONDS", type=float, help="from one checkpoint to the next (10)"
    )
    group.add_argument(
        "--restore",
        metavar="NAME",
        help="go on from this savepoint, or the epoch of this number, and discard what came after "
        "it; `latest` (the default), or `none` to start afresh",
    )
    group.add_argument(
        "--savepoint",
        metavar="NAME",
        help="keep the checkpoint that is taken after Ctrl-C or SIGTERM, under this name, until "
        "it is deleted",
    )


def _checkpoint(options: argparse.Namespace) -> Checkpoint | None:
    """What the options say of checkpoints. Raises `UsageError`."""
    more = {name: getattr(options, name) for name in ("every", "restore", "savepoint")}
    given = {name: value for name, value in more.items() if value is not None}
    if options.checkpoint is None:
        if given:
            raise UsageError(f"--{next(iter(given))} needs --checkpoint FILE")
        return None
    given.pop("savepoint", None)
    if (wanted := given.get("restore")) is not None:
        given["restore"] = None if wanted == "none" else int(wanted) if wanted.isdigit() else wanted
    try:
        return Checkpoint(options.checkpoint, **given)
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def _parser(
    make: Callable[..., argparse.ArgumentParser],
    name: str,
    about: str,
    epilog: str,
    **more: Any,
) -> argparse.ArgumentParser:
    return make(
        name,
        description=about,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )


def _run(options: argparse.Namespace) -> int:
    _log_to_stderr()
    checkpoint = _checkpoint(options)

    async def work() -> int:
        found = await resolve(options.target)
        jobs = [found.to(Printed())] if isinstance(found, Stream) else found
        await supervise(
            jobs,
            settings=Settings(mode=options.mode),
            quiet=options.quiet,
            checkpoint=checkpoint,
            savepoint=options.savepoint,
        )
        return 0

    return _in_loop(work(), options.uvloop)


def _explain(options: argparse.Namespace) -> int:
    async def work() -> int:
        found = await resolve(options.target)
        if not isinstance(found, Stream):
            planned = [job.planned for job in found]
        elif options.checkpoint is None:
            planned = [JobPlan(found.node)]
        else:
            planned = [found.to(Printed()).planned]
        explanation = explain_jobs(planned, mode=options.mode, checkpoint=options.checkpoint)
        print(explanation.mermaid() if options.mermaid else explanation)
        return 0

    return _in_loop(work())


def _demo(options: argparse.Namespace) -> int:
    from reactive.demo.show import show

    _log_to_stderr(logging.WARNING)
    return _in_loop(show(options), options.uvloop)


def _in_loop(work: Coroutine[Any, Any, int], uvloop: bool = False) -> int:
    """Run `work` in a new event loop; what fails in the pipeline is printed and gives 1."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if uvloop:
        if importlib.util.find_spec("uvloop") is None:
            work.close()
            raise UsageError('--uvloop needs uvloop: pip install "reactive-pipelines[uvloop]"')
        import uvloop as fast

        factory = fast.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(work)
    except (TargetError, PlanError, ReaderGone, Interrupted, asyncio.CancelledError):
        raise
    except (ConnectorError, CheckpointError) as error:
        # It names the file, line or peer and the fix; frames of the library would bury that.
        print("\n".join([f"reactive: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return FAILED
    except Exception as error:
        shown = None if isinstance(error, SyntaxError) else _user_part(error.__traceback__)
        traceback.print_exception(error.with_traceback(shown))
        return FAILED


def _user_part(whole: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame that is not the library's; the whole if there is none."""
    part = whole
    while part is not None:
        if not part.tb_frame.f_code.co_filename.startswith(FOREIGN):
            return part
        part = part.tb_next
    return whole


def _log_to_stderr(level: int = logging.INFO) -> None:
    """Standard output is for items. A pipeline's own logging configuration goes first."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LogFile())),
        )
