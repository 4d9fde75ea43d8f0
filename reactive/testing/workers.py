"""Tells the idle workers of thread pools from threads that are at work."""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading


def is_anyio_worker(thread: threading.Thread) -> bool:
    """Whether a thread is one of those in which anyio runs blocking calls."""
    kind = type(thread)
    return (
        kind.__name__ == "WorkerThread"
        and kind.__module__.startswith("anyio.")
        and hasattr(getattr(thread, "queue", None), "unfinished_tasks")
    )


def has_unanswered_call(worker: threading.Thread) -> bool:
    """Whether an anyio worker was given a call whose answer has not reached the loop yet.

    Its queue counts a call as unfinished from before the worker takes it until after the answer
    was handed to the loop, so there is no moment in between that would be missed.
    """
    unfinished: int = getattr(worker, "queue").unfinished_tasks  # noqa: B009
    return unfinished > 0


def is_idle_worker(thread: threading.Thread) -> bool:
    """Whether a thread is a pool's worker, of anyio or `concurrent.futures`, with no call to run.

    A worker of `concurrent.futures` is idle when its innermost frame is the pool's own code:
    it then waits for its queue.
    """
    if is_anyio_worker(thread):
        return not has_unanswered_call(thread)
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_filename == concurrent.futures.thread.__file__
