"""Every exception the library raises of its own. User exceptions pass through as they are."""

from __future__ import annotations


class ReactiveError(Exception):
    """Base of the library's own errors."""


class PlanError(ReactiveError, ValueError):
    """The pipeline cannot run as described; nothing was started."""


class EmptyStreamError(ReactiveError, LookupError):
    """A result was awaited that needs an item, or several, and the stream had too few."""


class TooManyItemsError(ReactiveError, LookupError):
    """A stream that must have one item had a second."""


class OverflowFailure(ReactiveError):
    """An edge with `overflow="fail"` was full when an item came."""


class CircuitOpenError(ReactiveError):
    """A circuit breaker refused a call. `circuit` is its name; `seconds` is for how long it goes
    on refusing, 0 while trials are under way."""

    def __init__(self, message: str, circuit: str = "", seconds: float = 0.0) -> None:
        super().__init__(message)
        self.circuit = circuit
        self.seconds = seconds


class ChannelClosed(ReactiveError):
    """The receiving side of an edge has gone; what is sent there would be lost."""


class StreamClosedError(ReactiveError):
    """An item was pushed into a `Subject` that was closed, or a finished stream was used."""


class SourceConsumedError(ReactiveError):
    """A one-shot iterable was iterated a second time; give a factory or a collection instead."""


class DeadlockError(ReactiveError):
    """Every task of a virtual-time loop waits and nothing is left that could wake one."""


class MisusedFunctionError(ReactiveError, TypeError):
    """A function is of the wrong kind, such as one that gives an awaitable where nobody awaits it.
    No error policy covers that: it is the pipeline that is wrong, not an item."""


class CheckpointError(ReactiveError):
    """A checkpoint cannot be taken or gone on from; the message names the store or the operator,
    and the fix."""


class DamagedError(CheckpointError):
    """What is in a checkpoint store is not what was saved there."""


class ConnectorError(ReactiveError):
    """An input or output failed in a way that names the file, line or peer, and the fix."""


class DecodeError(ConnectorError, ValueError):
    """Bytes from outside do not have the form that was asked for."""


class FrameTooLongError(DecodeError):
    """A frame passed the maximum length of its framing."""


class TruncatedError(DecodeError):
    """An input ended in the middle of a frame, a record or a compressed block."""


class JournalError(ReactiveError):
    """A journal is damaged, in use elsewhere, or not what a run needs; the message names the
    folder or the file with the byte."""
