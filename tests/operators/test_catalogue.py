"""Every operator, with every option, is where the tests of every operator look for it."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import Build, Case, collected
from catalogue import Uses, methods, options, watched

import reactive as rx
from operators import creating

OPTIONS = options()
HERE = Path(__file__).parent


def used_by(registry: str) -> Uses:
    """What the cases of one kind use, as far as it shows where they are built."""
    with watched() as uses:
        for case in collected(registry).values():
            build: Build = case.build if isinstance(case, Case) else case
            build(rx.of(1, 2, 3))
    return uses


LAWS = used_by("LAWS")
RULES = used_by("RULES")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_laws_are_checked_with_every_option(name: str) -> None:
    missing = OPTIONS[name] - LAWS[name] if name in LAWS else {"anything"}
    assert not missing, (
        f"no case of the laws uses {name} with {', '.join(sorted(missing))}; add one to `LAWS` in "
        "the cases_FAMILY.py of its family, next to this file"
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_the_rules_are_checked(name: str) -> None:
    assert name in RULES, (
        f"no case of the rules uses {name}; add one to `RULES` in the cases_FAMILY.py of its "
        "family, next to this file"
    )


METHODS = {name: function for name, _, _, function in methods()}
SIGNATURES = {name: inspect.signature(function) for name, function in METHODS.items()}


def positional(operator: str) -> list[str]:
    """The options that can be given by position; of those that take any number, only the first."""
    options = list(SIGNATURES[operator].parameters.values())[1:]
    return [each.name for each in options if each.kind is not each.KEYWORD_ONLY]


def named(operator: str, keyword: str) -> str:
    """The option that a keyword stands for, which may be one that takes any."""
    parameters = SIGNATURES[operator].parameters
    if keyword in parameters:
        return keyword
    return next((n for n, each in parameters.items() if each.kind is each.VAR_KEYWORD), keyword)


class Module:
    """The functions and values of a test file, and what each of them mentions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, ast.AST] = {}
        for node in ast.walk(tree := ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.parts.setdefault(node.name, node)
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            self.parts |= {each.id: node for each in targets if isinstance(each, ast.Name)}

    def claims(self) -> Iterator[tuple[str, list[str]]]:
        """The tests that say that they have a model, and of what."""
        for name, node in self.parts.items():
            for decorator in getattr(node, "decorator_list", ()):
                if ast.unparse(decorator).startswith("model_of("):
                    yield name, [ast.literal_eval(each) for each in decorator.args]

    def reached(self, name: str) -> list[ast.AST]:
        """Everything in a test, and in what it mentions, and in what that mentions."""
        found: dict[str, ast.AST] = {}
        due = [name]
        while due:
            part = self.parts[due.pop()]
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and node.id in self.parts and node.id not in found:
                    found[node.id] = self.parts[node.id]
                    due.append(node.id)
        return [node for part in (self.parts[name], *found.values()) for node in ast.walk(part)]


def given_to(operator: str, nodes: list[ast.AST]) -> set[str] | None:
    """The options that code gives to an operator; None if it does not mention it."""
    attribute = operator.rpartition(".")[2]
    if attribute == "__getitem__":
        slices = [each for each in nodes if isinstance(each, ast.Subscript)]
        return set(OPTIONS[operator]) if slices else None
    mentions = [
        each for each in nodes if isinstance(each, ast.Attribute) and each.attr == attribute
    ]
    found: set[str] = set()
    calls = [each for each in nodes if isinstance(each, ast.Call)]
    for call in calls:
        if call.func in mentions:
            keywords = {each.arg for each in call.keywords}
            if None in keywords:  # With `**options`, what is in them may come from any call.
                keywords = {each.arg for any_call in calls for each in any_call.keywords}
            found |= {named(operator, each) for each in keywords if each is not None}
            found |= set(positional(operator)[: len(call.args)])
    return found if mentions else None


MODELS: dict[str, set[str]] = defaultdict(set)
PROBLEMS: list[str] = []
for _module in map(Module, sorted(HERE.glob("test_*.py"))):
    for _test, _operators in _module.claims():
        _nodes = _module.reached(_test)
        _where = f"{_module.path.name}::{_test}"
        if not any(isinstance(each, ast.Name) and each.id == "given" for each in _nodes):
            PROBLEMS.append(f"{_where} has a model_of and no @given: a model is for random inputs")
        for _operator in _operators:
            _options = given_to(_operator, _nodes)
            if _options is None:
                PROBLEMS.append(f"{_where} says it has a model of {_operator}, and never calls it")
            MODELS[_operator] |= _options or set()


@pytest.mark.parametrize("name", OPTIONS)
def test_there_is_a_model(name: str) -> None:
    missing = OPTIONS[name] - MODELS[name] if name in MODELS else {"anything"}
    assert not missing, (
        f"no test compares {name} with {', '.join(sorted(missing))} to a model; write one in "
        f'tests/operators and mark it @model_of("{name}"), see catalogue.py'
    )


def test_who_says_to_have_a_model_has_one() -> None:
    assert PROBLEMS == []


SAID = {
    "emits": ("emits",),
    "backpressures": ("backpressure",),
    "completes": ("complete",),
    "loses": ("lose", "lost", "drop"),
}
"""What is said of every operator, in one of these words."""


@pytest.mark.parametrize("name", METHODS)
def test_every_operator_says_what_it_does_to_a_stream(name: str) -> None:
    text = (inspect.getdoc(METHODS[name]) or "").lower()
    missing = [what for what, words in SAID.items() if not any(word in text for word in words)]
    assert not missing, (
        f"the docstring of {name} does not say when, or what, it {' and '.join(missing)}; see "
        "the others of its file, and CONTRIBUTING.md"
    )
    assert "```python" in text, f"{name} has no example in its docstring"
    assert "```text" in text, (
        f"{name} has no marble diagram in its docstring; see reactive/testing/diagrams.py for how "
        "to draw one"
    )


MAKERS = [
    name
    for name in rx.__all__
    if inspect.isfunction(made := getattr(rx, name)) and made.__module__ == creating.__name__
]


@pytest.mark.parametrize("name", MAKERS)
def test_every_function_that_makes_a_stream_shows_when_it_emits(name: str) -> None:
    text = inspect.getdoc(getattr(creating, name)) or ""
    assert name == "from_source" or "```text" in text, f"{name} has no diagram in its docstring"


def test_the_types_of_every_operator_are_checked() -> None:
    """With a lambda, where it takes functions, as that is where inference may fail."""
    plain, with_lambda = set(), set()
    for path in (HERE.parent / "typing").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
                plain.add("__getitem__")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                plain.add(node.func.attr)
                given = [*node.args, *(each.value for each in node.keywords)]
                if any(isinstance(each, ast.Lambda) for each in given):
                    with_lambda.add(node.func.attr)
    for name, method in METHODS.items():
        parameters = inspect.signature(method).parameters.values()
        takes = any("Callable[[" in str(each.annotation) for each in parameters)
        assert name.rpartition(".")[2] in (with_lambda if takes else plain), (
            f"tests/typing does not show that a type checker infers {name}"
            f"{' with a lambda' * takes}; add a line with assert_type there"
        )


def test_every_operator_is_measured() -> None:
    tree = ast.parse((HERE.parent.parent / "benchmarks/catalogue/ours.py").read_text())
    measured = {
        text.value.split(",")[0]
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for text in ast.walk(node)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    }
    wanted = {name.replace("__getitem__", "slices") for name in OPTIONS if "." not in name}
    assert not wanted - measured, (
        f"nobody measures {', '.join(sorted(wanted - measured))}: add a pipeline to "
        "benchmarks/catalogue/ours.py, or the reason to NOT_MEASURED there"
    )
