"""Worker processes for `map(on="process")`, owned by one run."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

_function: Callable[[Any], Any] | None = None


def _install(pickled: bytes) -> None:
    global _function
    _function = pickle.loads(pickled)


def _work(pickled: bytes) -> bytes:
    cloudpickle = _cloudpickle()
    assert _function is not None
    result: bytes = cloudpickle.dumps(_function(pickle.loads(pickled)))
    return result


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
        self._cloudpickle = _cloudpickle()
        self._where = where
        try:
            pickled = self._cloudpickle.dumps(fn)
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
        pickled = self._cloudpickle.dumps(item)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, _work, pickled)
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"{self._where}: a worker process died (killed, out of memory, or the program's "
                'main module lacks `if __name__ == "__main__":`)'
            ) from error
        return pickle.loads(answer)

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
