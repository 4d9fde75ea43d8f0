"""Worker processes for `map(on="process")`, owned by one run."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

_pickled_function = b""
_function: Callable[[Any], Any] | None = None


def _install(pickled: bytes) -> None:
    global _pickled_function
    _pickled_function = pickled
    # An interrupt goes to the whole process group; what it means is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(pickled: bytes) -> bytes:
    """Apply the function in a worker; whatever happens comes back as bytes."""
    global _function
    try:
        function = _function or pickle.loads(_pickled_function)
        _function = function
        result = function(pickle.loads(pickled))
        with _noted("the result has to pickle"):
            return _dumps((True, result, ""))
    except BaseException as error:
        text = traceback.format_exc()
        try:
            answer = _dumps((False, error, text))
            pickle.loads(answer)
        except Exception:
            stand_in = RuntimeError(f"{type(error).__qualname__}: {error}")
            stand_in.add_note("this exception stands in for one that does not pickle")
            return _dumps((False, stand_in, text))
        return answer


def _dumps(value: Any) -> bytes:
    pickled: bytes = _cloudpickle().dumps(value)
    return pickled


@contextmanager
def _noted(note: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError as error:
        raise ImportError(
            'map(on="process") needs cloudpickle: pip install "reactive-pipelines[processes]"'
        ) from error
    return cloudpickle


class ProcessWorkers:
    """A pool of spawned processes that hold the function; items and results are pickled."""

    def __init__(self, fn: Callable[[Any], Any], count: int, where: str) -> None:
        _cloudpickle()
        self._where = where
        try:
            pickled = _dumps(fn)
        except Exception as error:
            raise TypeError(f"{where}: the function does not pickle: {error}") from error
        self._pool = ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_install,
            initargs=(pickled,),
        )

    async def call(self, item: Any) -> Any:
        """Apply the function to an item in some worker."""
        with _noted("the item has to pickle"):
            pickled = _dumps(item)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, _work, pickled)
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"{self._where}: a worker process died (killed, out of memory, or the program's "
                'main module lacks `if __name__ == "__main__":`)'
            ) from error
        with _noted("the result has to unpickle"):
            succeeded, outcome, text = pickle.loads(answer)
        if succeeded:
            return outcome
        outcome.add_note(f"in the worker process:\n{text}")
        raise outcome

    async def close(self) -> None:
        """End the workers; one in the middle of a call is terminated."""
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        while any(process.is_alive() for process in processes):  # noqa: ASYNC110  wakes nobody
            await asyncio.sleep(0.005)
        manager = getattr(self._pool, "_executor_manager_thread", None)
        while manager is not None and manager.is_alive():  # noqa: ASYNC110  wakes nobody
            await asyncio.sleep(0.005)
        for process in processes:
            process.join()
