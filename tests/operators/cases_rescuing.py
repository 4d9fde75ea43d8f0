"""Cases of `operators/rescuing.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail, fail_on_nine

import reactive as rx
from reactive.testing import failing_source

LAWS: dict[str, Build | Case] = {
    "recover": lambda s: s.map(fail_on_nine).recover(rx.of(-1)),
    "recover from the start": lambda s: failing_source([7], OSError()).recover(s),
}

RULES: dict[str, Build] = {
    "retry": lambda s: s.retry(0),
    "recover": lambda s: s.recover(rx.empty(), on=KeyError),
}

CALLBACKS: dict[str, Build] = {
    "retry": lambda s: s.map(fail).retry(0),
    "recover": lambda s: s.map(lambda x: x.nothing).recover(fail),
}
