"""The examples of docs/testing.md, run as the tests they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

GUIDE = Path(__file__).parents[3] / "docs" / "testing.md"


def test_the_guides_examples_pass(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    pytester.makeini(
        """
        [pytest]
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
        """
    )
    pytester.makepyfile("\n\n".join(blocks))
    tests = sum(block.count("def test_") for block in blocks)
    pytester.runpytest().assert_outcomes(passed=tests)
