"""Adjacent inline operators become one generated Python function with a plain loop.

There is no call per operator and no generator per operator: `map(f).filter(p).map(g)` is

    for x0 in items:
        x1 = fn_0(x0)
        if not fn_1(x1):
            continue
        x2 = fn_2(x1)
        append(x2)

State lives in variables of an enclosing function, so that the loop reads and writes it directly.
The source is registered with `linecache`: tracebacks and debuggers show the line.
"""

from __future__ import annotations

import copy
import itertools
import linecache
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import field
from types import CodeType, FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from reactive.fast_dataclasses import dataclass
from reactive.operator import Inline
from reactive.recipes import Recipe, kind_of, make_recipe

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.levels import Tracked

NESTED_LOOPS = 8
"""CPython allows 20 nested blocks in a function; past this many `flat_map` a group is cut."""

_INDENT = "    "
_WORD = re.compile(r"[A-Za-z_]\w*")
_file_numbers = itertools.count(1)
_COMPILED_KEPT = 512
_compiled: OrderedDict[str, tuple[CodeType, str]] = OrderedDict()
_sources: OrderedDict[Hashable, _Source] = OrderedDict()
_recipes: OrderedDict[Hashable, Recipe] = OrderedDict()


@dataclass(slots=True)
class _Body:
    """The lines of one generated function, with the operator each line belongs to."""

    lines: list[tuple[int, str, int]] = field(default_factory=list)
    depth: int = 1
    exits: list[list[str]] = field(default_factory=lambda: [[]])


class Code:
    """What an inline operator writes with. `item` names the variable that holds the item.

    An operator's `emit` is called once for every place its code is needed; names given by
    `bind` and `state` are the operator's own and the same in all of them.
    """

    def __init__(self) -> None:
        self.item = "x0"
        self.context: Context
        self._index = 0
        self._variables = 0
        self._body = _Body()
        self._bindings: dict[str, Any] = {}
        self._states: dict[str, tuple[int, str]] = {}
        self._by_key: set[str] = set()
        self._first_checks: dict[str, str] = {}
        self._passed: list[str] = []

    def bind(self, hint: str, value: Any) -> str:
        """A name by which the code reaches a Python object, such as the user's function."""
        name = f"{hint}_{self._index}"
        if name in self._states:
            self._refuse_both(hint)
        self._bindings[name] = value
        return name

    def state(self, hint: str, initial: str) -> str:
        """A variable that keeps its value between items; `initial` is an expression."""
        name = f"{hint}_{self._index}"
        if name in self._bindings:
            self._refuse_both(hint)
        self._states[name] = (self._index, initial)
        return name

    def by_key(self, hint: str, make: Callable[[], Tracked[Any]]) -> str:
        """A variable for what is held by key: checkpoints keep what has changed of it."""
        name = self.state(hint, f"{self.bind(f'make_{hint}', make)}()")
        self._by_key.add(name)
        return name

    def _refuse_both(self, hint: str) -> NoReturn:
        raise ValueError(
            f"{self.context.where()} uses {hint!r} for a binding and for a state; "
            "each needs a name of its own"
        )

    def check_first_call(self, name: str, check: Callable[[Any], None]) -> None:
        """Have `check` look at the first result of the bound function, at no cost after it."""
        self._first_checks[name] = self.bind("check", check)

    def line(self, text: str) -> None:
        """Add a line at the current depth."""
        self._body.lines.append((self._body.depth, text, self._index))

    def block(self, header: str, *lines: str) -> None:
        """Add a block: a header line and what stands under it."""
        self.line(header)
        self._body.depth += 1
        for text in lines:
            self.line(text)
        self._body.depth -= 1

    def let(self, expression: str) -> None:
        """Make `expression` the item from here on."""
        name = self._fresh()
        self.line(f"{name} = {expression}")
        self.item = name

    def keep(self, expression: str) -> str:
        """Hold a value under a fresh name; the item stays what it is."""
        name = self._fresh()
        self.line(f"{name} = {expression}")
        return name

    def skip_unless(self, condition: str) -> None:
        """Go on with the item only if `condition` holds."""
        self.block(f"if not ({condition}):", *self.skipping())

    def skipping(self) -> list[str]:
        """The lines that drop the current item."""
        return [*self._body.exits[-1], "continue"]

    def stop(self) -> str:
        """The statement that ends the stream at once, dropping the current item."""
        return f"return {self._index + 1}"

    def stop_giving(self) -> str:
        """The statement that ends the stream at once; what `end` gives still leaves."""
        return f"return {self._index}"

    def stop_after_item(self, condition: str) -> None:
        """End the stream once the current item has gone all the way, if `condition` holds."""
        self._body.exits[-1].append(f"if {condition}: {self.stop()}")

    def loop(self, iterable: str) -> None:
        """Go on with every item of `iterable` in place of the current one."""
        name = self._fresh()
        self.line(f"for {name} in {iterable}:")
        self._body.depth += 1
        self._body.exits.append([])
        self.item = name
        self.line("budget -= 1")
        self.block("if budget < 0:", "append, append_time, budget = yield")

    def guarded(self, expression: str, on_failure: str | None, replaces: bool) -> None:
        """Make `expression` the item; on an error call `on_failure(item, error)` instead, whose
        result replaces the item or, without `replaces`, drops it."""
        if on_failure is None:
            self.let(expression)
            return
        before, name = self.item, self._fresh()
        self.block("try:", f"{name} = {expression}")
        error = f"error_{self._index}"
        call = f"{on_failure}({before}, {error})"
        if replaces:
            self.block(f"except Exception as {error}:", f"{name} = {call}")
        else:
            self.block(f"except Exception as {error}:", call, *self.skipping())
        self.item = name

    def _fresh(self) -> str:
        self._variables += 1
        return f"x{self._variables}"


def _chain(
    code: Code, operators: Sequence[tuple[Inline, Context]], start: int, timed: bool | None
) -> None:
    """Write the operators from `start` on, then the append, then the ends of loops. `timed` is
    None where only the run can tell whether there is event time."""
    body = code._body
    depth = body.depth
    levels = len(body.exits)
    for index in range(start, len(operators)):
        operator, context = operators[index]
        code._index, code.context = index, context
        if timed is not False and gives_at_end(operator):
            code.line(f"{code.state('arrived', 'None')} = time")
        operator.emit(code)
    code.line(f"append({code.item})")
    if timed is None:
        code.line("if time is not None: append_time(time)")
    elif timed:
        code.line("append_time(time)")
    while len(body.exits) > levels:
        for text in body.exits.pop():
            code.line(text)
        body.depth -= 1
    for text in body.exits.pop():
        code.line(text)
    body.exits.append([])
    body.depth = depth


def gives_at_end(operator: Inline) -> bool:
    """Whether it gives items when its input ends; `Inline.end` says at which time."""
    return type(operator).end is not Inline.end


def _function(code: Code, header: str, write: Callable[[], None]) -> _Body:
    """A function whose lines `write` writes, working on local copies of what `make` keeps:
    local variables are the fastest, and state is put back however the function is left."""
    body = code._body = _Body(depth=3)
    write()
    used = {word for _, text, _ in body.lines for word in _WORD.findall(text)}
    states = [name for name in code._states if name in used]
    opening = [(1, header, -1)]
    if states:
        opening.append((2, f"nonlocal {', '.join(f'kept_{name}' for name in states)}", -1))
    names = [name for name in code._bindings if name in used] + states
    opening += [(2, f"{name} = kept_{name}", -1) for name in names]
    opening.append((2, "try:", -1))
    closing = [(3, f"kept_{name} = {name}", -1) for name in states] or [(3, "pass", -1)]
    body.lines = [*opening, *body.lines, (2, "finally:", -1), *closing]
    return body


@dataclass(slots=True)
class Fused:
    """The functions of one fused group, bound for one run."""

    run: FunctionType
    run_timed: FunctionType
    finish: FunctionType
    rise: Callable[[int], None] | None
    """To be told the watermarks that pass, where they matter to what is given at the end."""
    snapshot: Callable[[], dict[int, tuple[Any, ...]]]
    restore: Callable[[dict[int, tuple[Any, ...]]], None]
    filename: str
    owners: list[int]
    source: str


@dataclass(slots=True)
class _Source:
    """The source of a group's functions, and what makes them of what is bound."""

    text: str
    owners: list[int]
    bindings: list[str]
    code: CodeType | None = None
    make: Any = None


def generate(operators: Sequence[tuple[Inline, Context]], name: str) -> Fused:
    """Write, compile (or find) and bind the functions of a group."""
    inlines = [operator for operator, _ in operators]
    kind = kind_of(inlines)
    recipe = None if kind is None else _recipes.get(kind)
    if recipe is not None:
        return _bind(recipe.source, recipe.values(inlines), name)
    source, bindings = _find_source(operators)
    if kind is not None:
        recipe = make_recipe(source, source.bindings, inlines, bindings, _find_source(operators)[1])
        if recipe is not None:
            _recipes[kind] = recipe
            if len(_recipes) > _COMPILED_KEPT:
                _recipes.popitem(last=False)
    return _bind(source, [bindings[each] for each in source.bindings], name)


def known_recipe(operators: Sequence[Inline]) -> Recipe | None:
    """How the functions of groups like this one are made, if one like it has been generated."""
    kind = kind_of(operators)
    return None if kind is None else _recipes.get(kind)


def _find_source(operators: Sequence[tuple[Inline, Context]]) -> tuple[_Source, dict[str, Any]]:
    """The source of a group, and what it binds in a run.

    Groups that are made again and again differ only in what is bound. So the loop is written
    once, and the rest only if no group before wrote the same.
    """
    code = Code()
    _write_loop(code, operators, False)
    written: list[Hashable] = [tuple(code._body.lines)]
    for index, (operator, context) in enumerate(operators):
        if gives_at_end(operator):
            code._index, code.context, code._body = index, context, _Body()
            written += (index, operator.end(code), tuple(code._body.lines))
    key = (*written, *code._bindings, *code._states.items(), *code._first_checks.items())
    source = _sources.get(key)
    if source is None:
        source = _sources[key] = _write(operators)
        if len(_sources) > _COMPILED_KEPT:
            _sources.popitem(last=False)
    else:
        _sources.move_to_end(key)
    return source, code._bindings


def _bind(source: _Source, values: Sequence[Any], name: str) -> Fused:
    compiled, filename = compile_source(source.text, name)
    if source.code is not compiled:
        namespace: dict[str, Any] = {"copy": copy.copy, "__name__": "reactive.fused"}
        exec(compiled, namespace)
        source.code, source.make = compiled, namespace["make"]
    run, run_timed, finish, rise, snapshot, restore = source.make(*values)
    owners, text = source.owners, source.text
    return Fused(run, run_timed, finish, rise, snapshot, restore, filename, owners, text)


def _write_loop(code: Code, operators: Sequence[tuple[Inline, Context]], timed: bool) -> None:
    code._index = -1
    code._variables, code.item = 0, "x0"
    code.line("for x0, time in zip(items, times):" if timed else "for x0 in items:")
    code._body.depth += 1
    _chain(code, operators, 0, timed)


def _write(operators: Sequence[tuple[Inline, Context]]) -> _Source:
    """Write the whole source of a group."""
    code = Code()

    def finish() -> None:
        for index, (operator, context) in enumerate(operators):
            code._index, code.context = index, context
            if not gives_at_end(operator):
                continue
            items = operator.end(code)
            code.line(f"if start <= {index}:")
            code._body.depth += 1
            passed = code.state("passed", "None")
            code._passed.append(f"kept_{passed}")
            code.line(f"time = {code.state('arrived', 'None')}")
            behind = f"time is None or time < {passed}"
            code.block(f"if {passed} is not None and ({behind}):", f"time = {passed}")
            name = code._fresh()
            code.line(f"for {name} in {items}:")
            code._body.depth += 1
            code.item = name
            _chain(code, operators, index + 1, None)
            code._body.depth -= 2
        code.line("return None")

    tools = "append, append_time, budget"
    plain = f"def run(items, {tools}):"
    run = _function(code, plain, lambda: _write_loop(code, operators, False))
    timed = f"def run_timed(items, times, {tools}):"
    run_timed = _function(code, timed, lambda: _write_loop(code, operators, True))
    end = _function(code, f"def finish({tools}, start):", finish)
    text, owners = _assemble(code, (run, run_timed, end))
    return _Source(text, owners, list(code._bindings))


def compile_source(text: str, labels: str) -> tuple[CodeType, str]:
    """The code of a source text and its file name; the texts used last are kept compiled."""
    compiled = _compiled.get(text)
    if compiled is None:
        filename = f"<reactive fused {next(_file_numbers)}: {labels[:80]}>"
        compiled = _compiled[text] = compile(text, filename, "exec"), filename
        linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
        if len(_compiled) > _COMPILED_KEPT:
            _, (_, oldest) = _compiled.popitem(last=False)
            linecache.cache.pop(oldest, None)
    else:
        _compiled.move_to_end(text)
    return compiled


def _assemble(code: Code, bodies: Sequence[_Body]) -> tuple[str, list[int]]:
    """The whole source, and the operator that each of its lines belongs to."""
    arguments = ", ".join(f"kept_{name}" for name in code._bindings)
    lines: list[tuple[int, str, int]] = [(0, f"def make({arguments}):", -1)]
    for name, check in code._first_checks.items():
        lines += [
            (1, f"direct_{name} = kept_{name}", -1),
            (1, f"def first_{name}(*items):", -1),
            (2, f"nonlocal kept_{name}", -1),
            (2, f"result = direct_{name}(*items)", -1),
            (2, f"kept_{check}(result)", -1),
            (2, f"kept_{name} = direct_{name}", -1),
            (2, "return result", -1),
            (1, f"kept_{name} = first_{name}", -1),
        ]
    for name, (_, initial) in code._states.items():
        text = _WORD.sub(lambda m: f"kept_{m[0]}" if m[0] in code._bindings else m[0], initial)
        lines.append((1, f"kept_{name} = {text}", -1))
    for body in bodies:
        lines += body.lines
    owned: dict[int, list[str]] = {}
    for name, (index, _) in code._states.items():
        owned.setdefault(index, []).append(name)
    copies = (
        f"{index}: ({', '.join(_copied(code, name) for name in names)},)"
        for index, names in owned.items()
    )
    lines += [(1, "def snapshot():", -1), (2, f"return {{{', '.join(copies)}}}", -1)]
    lines += [(1, "def restore(states):", -1)]
    for index, names in owned.items():
        given = [f"held_{name}" if name in code._by_key else f"kept_{name}" for name in names]
        lines += [
            (2, f"nonlocal {', '.join(f'kept_{name}' for name in names)}", -1),
            (2, f"if {index} in states:", -1),
            (3, f"{', '.join(given)}, = states[{index}]", -1),
        ]
        loaded = [name for name in names if name in code._by_key]
        lines += [(3, f"kept_{name}.load(held_{name})", -1) for name in loaded]
    lines.append((2, "return None", -1))
    if code._passed:
        lines += [(1, "def rise(time):", -1), (2, f"nonlocal {', '.join(code._passed)}", -1)]
        lines.append((2, f"{' = '.join(code._passed)} = time", -1))
    else:
        lines.append((1, "rise = None", -1))
    lines.append((1, "return run, run_timed, finish, rise, snapshot, restore", -1))
    text = "".join(f"{_INDENT * depth}{line}\n" for depth, line, _ in lines)
    return text, [owner for _, _, owner in lines]


def _copied(code: Code, name: str) -> str:
    return f"kept_{name}" if name in code._by_key else f"copy(kept_{name})"


def owner_of(traceback: TracebackType | None, filename: str, owners: list[int]) -> int | None:
    """Which operator's generated line an error passed through."""
    index: int | None = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            owner = owners[traceback.tb_lineno - 1]
            if owner >= 0:
                index = owner
        traceback = traceback.tb_next
    return index


def annotate(error: BaseException, context: Context) -> None:
    """Note on a user's exception which operator raised it and where that was defined."""
    note = f"in operator {context.where()}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
