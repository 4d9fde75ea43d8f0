"""What `module:name` on the command line stands for: the jobs it names, or an error that says
what to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from reactive.errors import ReactiveError
from reactive.graph import Blueprint
from reactive.stream import Job, Stream

LISTED = 8
Found: TypeAlias = Stream[Any] | list[Job]


class TargetError(ReactiveError):
    """A command line names something that cannot be run; the message says what to do."""


def find(target: str) -> Any:
    """The object that `module:name` names. The current folder is searched first."""
    module_name, colon, path = target.partition(":")
    if module_name.endswith(".py") and Path(module_name).exists():
        dotted = ".".join(Path(module_name).with_suffix("").parts)
        raise TargetError(
            f"{module_name} is a file; name the module instead: {dotted}:{path or 'job'}"
        )
    if not colon or not module_name or not path:
        raise TargetError(
            f"{target!r} does not say what to run; write module:name, such as pipelines:job for "
            "`job` in pipelines.py"
        )
    found: Any = _module(module_name)
    for depth, name in enumerate(path.split(".")):
        try:
            found = getattr(found, name)
        except AttributeError:
            where = ".".join([module_name, *path.split(".")[:depth]])
            raise TargetError(f"{where} has no {name!r}{_instead(found, name)}") from None
    return found


def _module(name: str) -> Any:
    folder = str(Path.cwd())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing == name or name.startswith(missing + "."):
            raise TargetError(
                f"there is no module {missing!r} in {Path.cwd()} or on sys.path; start the "
                "command in the folder that holds it, or install its package"
            ) from None
        raise TargetError(
            f"module {name!r} imports {missing!r}, which is not installed in {sys.prefix}"
        ) from None


def _instead(holder: Any, name: str) -> str:
    runnable = [
        key
        for key, value in getattr(holder, "__dict__", {}).items()
        if not key.startswith("_") and (isinstance(value, (Job, Blueprint)) or _own(holder, value))
    ]
    close = difflib.get_close_matches(name, runnable, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = ", ..." if len(runnable) > LISTED else ""
    return f"; it has {', '.join(sorted(runnable)[:LISTED])}{more}" if runnable else ""


def _own(holder: Any, value: Any) -> bool:
    """A function the module defines itself: one it imported is no job of its."""
    return inspect.isfunction(value) and value.__module__ == getattr(holder, "__name__", None)


async def resolve(target: str) -> Found:
    """The stream or the jobs that a target names; functions, also async ones, are called."""
    found = find(target)
    if inspect.isfunction(found) or inspect.ismethod(found) or inspect.isbuiltin(found):
        found = await _call(target, found)
    if isinstance(found, Stream):
        return found
    if isinstance(found, Job):
        return [found]
    if isinstance(found, Sequence) and found and all(isinstance(job, Job) for job in found):
        return list(found)
    raise TargetError(
        f"{target} is {_describe(found)}, not something to run; it must be a Job, as "
        "stream.to(sink) gives it, a list of Jobs, a Stream, or a function that returns one"
    )


async def _call(target: str, function: Any) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TargetError(
            f"{target} is a function that cannot be called without arguments ({error}); give "
            "them defaults or name a function that takes none"
        ) from None
    found = function()
    return await found if inspect.isawaitable(found) else found


def _describe(found: Any) -> str:
    if isinstance(found, Sequence) and not isinstance(found, (str, bytes)):
        odd = next((item for item in found if not isinstance(item, Job)), None)
        return "an empty list" if not found else f"a list that holds {_describe(odd)}"
    if found is None:
        return "None"
    if isinstance(found, type):
        return f"the class {found.__qualname__}"
    kind = type(found).__qualname__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
