"""The pages of the site: what they name exists, and what people come with is found there."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiostream
import pytest
import reactivex
import reactivex.operators

import reactive as rx

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("coming_from/*.md"))
OPERATORS = {
    name
    for name, value in inspect.getmembers(rx.Stream, inspect.isfunction)
    if not name.startswith("_")
}


def first_column(page: str) -> set[str]:
    """The names in the first column of a page's tables."""
    rows = re.findall(r"^\| ([^|]*) \|", (DOCS / page).read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def test_every_operator_of_aiostream_has_its_counterpart() -> None:
    theirs = {name for name, value in vars(aiostream.stream).items() if hasattr(value, "raw")}
    assert len(theirs) > 40
    assert theirs - first_column("coming_from/aiostream.md") == set()


def test_every_operator_and_function_of_rxpy_has_its_counterpart() -> None:
    operators, functions = (
        set(re.findall(r"`(\w+)", " ".join(re.findall(r"^\| ([^|]*) \|", part, re.MULTILINE))))
        for part in (DOCS / "coming_from/rxpy.md").read_text().split("\n## ")[1:]
    )
    assert set(reactivex.operators.__all__) - operators == set()
    made = {
        name
        for name, value in inspect.getmembers(reactivex, inspect.isfunction)
        if value.__module__.startswith("reactivex")
    }
    assert made - functions == set()


OTHERS = {
    "kotlin_flow": """
        all any asFlow asSharedFlow asStateFlow buffer callbackFlow cancellable catch channelFlow
        chunked collect collectIndexed collectLatest combine combineTransform conflate
        consumeAsFlow count debounce distinctUntilChanged distinctUntilChangedBy drop dropWhile
        emitAll emptyFlow filter filterIsInstance filterNot filterNotNull first firstOrNull
        flatMapConcat flatMapLatest flatMapMerge flattenConcat flattenMerge flow flowOf flowOn fold
        last lastOrNull launchIn map mapLatest mapNotNull merge none onCompletion onEach onEmpty
        onStart onSubscription produceIn receiveAsFlow reduce retry retryWhen runningFold
        runningReduce sample scan shareIn single singleOrNull stateIn take takeWhile timeout
        toCollection toList toSet transform transformLatest transformWhile withIndex zip
    """,
    "fs2": """
        append attempt attempts awakeDelay awakeEvery bracket broadcastThrough buffer bufferAll
        bufferBy changes changesBy chunkAll chunkLimit chunkMin chunkN chunks collect collectFirst
        collectWhile compile concurrently conflate cons constant debounce debug delayBy delete
        drain drop dropLast dropRight dropThrough dropWhile emit emits empty eval evalFilter
        evalFold evalMap evalMapAccumulate evalMapFilter evalScan evalTap exec exists filter
        filterNot filterWithPrevious fixedDelay fixedRate flatMap flatten fold foldMap forall
        foreach groupAdjacentBy groupWithin handleErrorWith head hold ifEmpty interleave
        interleaveAll interleaveOrdered interruptAfter interruptWhen intersperse iterate keepAlive
        last lastOr map mapAccumulate mapChunks mask merge mergeHaltBoth mergeHaltL mergeHaltR
        metered never noneTerminate onComplete onFinalize parEvalMap parEvalMapUnordered parJoin
        parZip pauseWhen prefetch raiseError range reduce repartition repeat repeatEval repeatN
        resource rethrow retry scan scan1 sleep sliding spawn split switchMap tail take takeRight
        takeThrough takeWhile through timeout timeoutOnPull unNone unNoneTerminate unchunks unfold
        zip zipAll zipLeft zipRight zipWith zipWithIndex zipWithNext zipWithPrevious zipWithScan
    """,
    "reactor": """
        all any as blockFirst blockLast buffer bufferTimeout bufferUntil bufferUntilChanged
        bufferWhen bufferWhile cache cancelOn cast checkpoint collect collectList collectMap
        collectMultimap collectSortedList combineLatest concatMap concatMapDelayError
        concatMapIterable concatWith concatWithValues contextCapture contextWrite count create
        defaultIfEmpty defer delayElements delaySequence delaySubscription delayUntil
        dematerialize distinct distinctUntilChanged doAfterTerminate doFinally doFirst doOnCancel
        doOnComplete doOnDiscard doOnEach doOnError doOnNext doOnRequest doOnSubscribe
        doOnTerminate elapsed elementAt empty error expand expandDeep filter filterWhen
        firstWithSignal flatMap flatMapDelayError flatMapIterable flatMapSequential fromIterable
        generate groupBy groupJoin handle hasElement hasElements hide ignoreElements index interval
        join just last limitRate limitRequest log map mapNotNull materialize mergeComparing
        mergePriority mergeWith metrics name never next ofType onBackpressureBuffer
        onBackpressureDrop onBackpressureError onBackpressureLatest onErrorComplete onErrorContinue
        onErrorMap onErrorResume onErrorReturn onErrorStop onTerminateDetach or parallel publish
        publishNext publishOn range reduce reduceWith repeat repeatWhen replay retry retryWhen
        sample sampleFirst sampleTimeout scan scanWith share shareNext single singleOrEmpty skip
        skipLast skipUntil skipUntilOther skipWhile sort startWith subscribe subscribeOn
        subscribeWith switchIfEmpty switchMap switchOnFirst tag take takeLast takeUntil
        takeUntilOther takeWhile then thenEmpty thenMany timed timeout timestamp toIterable
        toStream transform transformDeferred using window windowTimeout windowUntil
        windowUntilChanged windowWhen windowWhile withLatestFrom zip zipWith zipWithIterable
    """,
}
"""The operators of libraries that are not for Python, by their pages."""


@pytest.mark.parametrize("page", OTHERS)
def test_every_operator_of_others_has_its_counterpart(page: str) -> None:
    assert set(OTHERS[page].split()) - first_column(f"coming_from/{page}.md") == set()


FAMILIES = {
    kind.__module__.removeprefix("operators."): kind
    for kind in rx.Stream.__mro__
    if kind.__module__.startswith("operators.")
}


def is_there(page: str, name: str) -> bool:
    """Whether there is what a link into the reference leads to."""
    if page == "operators/creating":
        return callable(getattr(rx, name, None))
    if page.startswith("operators/"):
        kind = FAMILIES[page.removeprefix("operators/")]
        return name.replace("slices", "__getitem__") in vars(kind)
    return name in {each.lower() for each in rx.__all__}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_into_the_reference_lead_to_what_there_is(page: Path) -> None:
    links = re.findall(r"generated/((?:operators|reference)/\w+)\.md#(\w+)\)", page.read_text())
    assert [link for link in links if not is_there(*link)] == []


def calls_in(page: Path) -> Iterator[ast.Call]:
    """The calls that a page's tables show as code."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    for text in re.findall(r"`([^`]+)`", "\n".join(rows)):
        with contextlib.suppress(SyntaxError):
            tree = ast.parse(text.removeprefix("await "))
            yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "coming_from"])
def test_the_calls_that_tables_show_can_be_made(page: Path) -> None:
    """Which tells of an operator, or an option, that has another name by now."""
    for call in calls_in(page):
        *on, name = ast.unparse(call.func).split(".")
        function = getattr(rx if on == ["rx"] else rx.Stream, name, None)
        if not inspect.isfunction(function):
            assert name in ELSEWHERE, f"{page.name} shows {ast.unparse(call)}"
            continue
        given = call.args if on == ["rx"] else [None, *call.args]
        keywords = {each.arg: None for each in call.keywords if each.arg is not None}
        inspect.signature(function).bind_partial(*given, **keywords)


ELSEWHERE = {
    "iter",
    "seconds",
    "fn",
    "itemgetter",
    "metrics",
    "record",
    "to_thread",
    "start",
    "run",
}
"""What they call besides operators and the functions that make streams."""


def test_every_operator_is_on_the_page_that_helps_to_choose() -> None:
    text = (DOCS / "which_operator.md").read_text()
    shown = set(re.findall(r"\.md#(\w+)\)", text))
    plumbing = {"to", "open", "collect", "explain", "named", "pipe"}
    assert sorted(OPERATORS - shown - plumbing) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+\.md)", page.read_text()):
        if "generated/" not in target:
            assert (page.parent / target).exists(), target


def test_the_reference_is_written_from_the_docstrings(tmp_path: Path) -> None:
    code = f"import generate, pathlib; generate.generate(pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=DOCS, check=True, timeout=100)
    page = (tmp_path / "operators" / "limiting.md").read_text()
    assert "## take\n" in page
    assert "take(count: int) -> Stream[T_co]" in page
    assert '<svg class="marbles"' in page
    assert (tmp_path / "connectors" / "files.md").exists()


def test_a_diagram_that_lies_stops_the_build() -> None:
    code = (
        "import reactive as rx, generate\n"
        "text = rx.Stream.take.__doc__.replace('--1--(2|)', '--1--2--|')\n"
        "generate._body(text, 'take')"
    )
    broken = subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS, capture_output=True, text=True, timeout=100
    )
    assert broken.returncode
    assert "the diagram of take draws ['--1--2--|'], and ['--1--(2|)'] came out" in broken.stderr
