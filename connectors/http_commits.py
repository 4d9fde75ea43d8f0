"""Answers that say that items are committed, and requests that come again, each taken once."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from connectors.http_bodies import Refusal
from connectors.sockets import check_bounds
from reactive.fast_dataclasses import dataclass
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Holding, Step, Stepwise
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

REPEATS = "taken once where it has an Idempotency-Key"

_LONGEST_KEY = 255


@dataclass(frozen=True, kw_only=True)
class CommitOptions:
    """When a request is answered that waits for a commit; `http.ingest` explains each."""

    within: float
    timeout: float
    remember: float

    def check(self, name: str) -> None:
        """Refuse what cannot work."""
        check_bounds(
            name,
            commit_within=self.within,
            commit_timeout=self.timeout,
            remember_keys=self.remember,
        )
        if self.within >= self.timeout:
            raise ValueError(
                f"{name}: commit_within={self.within:g} leaves no time to commit before "
                f"commit_timeout={self.timeout:g}"
            )

    def details(self) -> dict[str, object]:
        """For `explain()`."""
        return {"ack": f"commit, begun within {self.within * 1000:g} ms"}


@dataclass(slots=True)
class Posted:
    """A request on its way to the pipeline."""

    items: list[Any]
    received: float
    """Seconds since 1970."""
    key: str | None = None
    digest: bytes = b""
    contradicts: bool = False
    """Set where its key has come before with another body."""


def digest(body: bytes) -> bytes:
    """What tells one body from another."""
    return blake2b(body, digest_size=16).digest()


def idempotency_key(header: str | None) -> str | None:
    """The key by which a client marks a request that it may send again. Raises `Refusal`."""
    if header is None:
        return None
    key = header.strip()
    if not key or len(key) > _LONGEST_KEY or not key.isprintable():
        raise Refusal(
            400,
            f"an Idempotency-Key is 1 to {_LONGEST_KEY} printable characters, such as a UUID, new "
            "for every request and the same when it is sent again",
        )
    return key


def reused(key: str | None) -> Refusal:
    """The answer to another body under a key that was used."""
    return Refusal(
        422,
        f"the Idempotency-Key {key!r} was used for a request with another body, which was taken; "
        "this one was not: send it with a key of its own",
    )


def not_known(why: str, headers: tuple[tuple[str, str], ...]) -> Refusal:
    """The answer to a request that was taken, and may be committed or not."""
    return Refusal(
        503,
        f"{why}: it is not known whether the items were committed; send the request again, with "
        "the same Idempotency-Key if it had one, and they will be there once",
        headers=headers,
        committed="unknown",
    )


@dataclass(frozen=True)
class TakeOnce(Stepwise):
    """Gives the items of requests, and none for a request whose key it has seen."""

    title: str
    remember: float

    @property
    def label(self) -> str:
        return self.title

    def details(self) -> dict[str, object]:
        return {"remember_keys": f"{self.remember:g} s"}

    def holds(self, batch: bool) -> Sequence[Holding]:
        return (Holding("idempotency keys", f"those of the last {self.remember:g} seconds"),)

    def step(self, context: Context) -> Step[Any, Any]:
        return _TakeOnce(self.remember, context)


class _TakeOnce(Step[Posted, Any]):
    """Holds, by key, when a request came and what tells its body, the oldest first."""

    def __init__(self, remember: float, context: Context) -> None:
        self._remember = remember
        self._meter = context.meter
        self._seen: Tracked[str] = Tracked(context.keeps_changes)
        self._latest = 0.0

    def on_chunk(self, chunk: Chunk[Posted], out: list[Signal[Any]]) -> None:
        items: list[Any] = []
        for posted in chunk.items:
            if posted.key is None or self._is_new(posted.key, posted):
                items += posted.items
        if items:
            out.append(Chunk(items))

    def _is_new(self, key: str, posted: Posted) -> bool:
        self._latest = max(self._latest, posted.received)
        self._forget()
        seen = self._seen.get(key)
        if seen is None:
            self._seen.touch(key)
            self._seen[key] = posted.received, posted.digest
            return True
        posted.contradicts = seen[1] != posted.digest
        self._meter.count("repeated")
        return False

    def _forget(self) -> None:
        over = self._latest - self._remember
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key][0] >= over:
                return
            self._seen.take(key)

    def snapshot(self) -> bytes:
        return self._seen.whole()

    def changes(self) -> Changes:
        return Changes(None, {"keys": self._seen.freeze()})

    def restore(self, state: bytes | Kept) -> None:
        held = state.sections["keys"] if isinstance(state, Kept) else state
        self._seen.load(held, order=itemgetter(0))
        self._latest = max((received for received, _ in self._seen.values()), default=0.0)
