from __future__ import annotations

import pickle
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.backoff import Backoff


def test_grows_to_the_ceiling_and_stops_after_the_last_attempt():
    backoff = Backoff(initial=0.5, factor=2, maximum=3, jitter=0, attempts=5)
    assert list(backoff.delays()) == [0.5, 1, 2, 3, 3]


def test_no_attempts_gives_no_waits():
    assert list(Backoff(attempts=0).delays()) == []


def test_never_gives_up_without_overflow():
    waits = list(islice(Backoff(jitter=0, factor=10).delays(), 5_000))
    assert waits[-1] == 30


def test_each_iterator_starts_afresh():
    backoff = Backoff(jitter=0, attempts=3)
    first = backoff.delays()
    next(first)
    assert next(backoff.delays()) == 0.1
    assert next(first) == 0.2


def test_a_seeded_random_repeats():
    backoff = Backoff(jitter=0.5, attempts=20)
    assert list(backoff.delays(Random(7))) == list(backoff.delays(Random(7)))
    assert list(backoff.delays(Random(7))) != list(backoff.delays(Random(8)))


@given(
    initial=st.floats(0, 10),
    factor=st.floats(1, 10),
    maximum=st.floats(10, 1e6),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
@settings(deadline=None)
def test_every_wait_lies_within_jitter_of_the_exact_one(initial, factor, maximum, jitter, seed):
    exact = list(Backoff(initial, factor, maximum, 0, 30).delays())
    varied = list(Backoff(initial, factor, maximum, jitter, 30).delays(Random(seed)))
    assert len(exact) == len(varied) == 30
    assert exact == sorted(exact)
    assert exact[-1] <= maximum
    for plain, wait in zip(exact, varied, strict=True):
        assert plain * (1 - jitter) * (1 - 1e-9) <= wait <= plain * (1 + jitter) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial": -1}, "initial must be 0 or more"),
        ({"factor": 0.5}, "factor must be 1 or more"),
        ({"maximum": 0.01}, "must not be below initial"),
        ({"jitter": 1.5}, "from 0 to 1"),
        ({"attempts": -1}, "attempts must be 0 or more"),
        ({"maximum": float("inf")}, "maximum must be a finite number"),
        ({"factor": float("nan")}, "factor must be a finite number"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Backoff(**wrong)


def test_pickles():
    backoff = Backoff(initial=1, attempts=3)
    assert pickle.loads(pickle.dumps(backoff)) == backoff
