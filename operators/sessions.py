"""Sessions that give one result each: the fast path.

A session is a list of the times of its first and last item, its key, the older sessions of its
key, if there are any, and its accumulators: a million of them take little more than the
accumulators do. When they end is kept in buckets of time, in which sessions are looked at when
the watermark comes there, and put farther on if they have grown.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any, TypeAlias

from operators.assigners import Session
from operators.engines import Engine, Refuse, Results
from operators.window_loops import SessionLoops
from reactive.levels import Changes, Kept
from reactive.signals import Chunk
from reactive.windows import LATEST

_AT_ONCE = 512
_PARTS = 64
"""Into so many buckets the gap is divided: sessions that do not grow are looked at about twice."""

_Session: TypeAlias = list[Any]


class Sessions(Engine):
    """Sessions of all keys: for each the latest one, which has the older ones with it, by their
    start. An item after the start of the latest and before its end touches no other."""

    def __init__(
        self,
        session: Session,
        loops: SessionLoops,
        refuse: Refuse,
    ) -> None:
        self._gap = session.length
        self._loops = loops
        self._refuse = refuse
        self._live = self.held()
        self._span = max(1, self._gap // _PARTS)
        self._buckets: dict[int, list[_Session]] = {}
        self._numbers: list[int] = []
        self._count = 0

    def take(self, chunk: Chunk[Any], out: Results) -> None:
        assert chunk.times is not None
        self._loops.add(chunk.items, chunk.times, self._live, self._place, self._refuse)

    def _place(self, key: Any, time: int) -> _Session | None:
        """The session for an item that is not within the latest one of its key."""
        latest: _Session | None = self._live.find(key)
        if latest is not None and time < latest[1] + self._gap:
            return self._place_among([*(latest[3] or ()), latest], time)
        if time + self._gap <= self.watermark:
            return None
        older = None
        if latest is not None:
            older, latest[3] = latest[3], None
            if older is None:
                older = []
            older.append(latest)
        session = self._live[key] = self._loops.create(time, key, older)
        self._remember(session)
        self._count += 1
        return session

    def _place_among(self, sessions: list[_Session], time: int) -> _Session | None:
        """The same where it may make several one, or come before some."""
        gap, key = self._gap, sessions[0][2]
        touched = [one for one in sessions if one[0] < time + gap and time < one[1] + gap]
        if touched:
            session, *others = touched
            for other in others:
                self._loops.merge(session, other)
                session[1] = other[1]
                # By this its bucket knows that it is no more.
                other.clear()
            session[0], session[1] = min(time, session[0]), max(time, session[1])
            self._count -= len(others)
            sessions = [one for one in sessions if one]
        elif time + gap <= self.watermark:
            return None
        else:
            session = self._loops.create(time, key, None)
            self._remember(session)
            self._count += 1
            sessions = sorted([*sessions, session], key=itemgetter(0))
        for one in sessions:
            one[3] = None
        latest = self._live[key] = sessions.pop()
        latest[3] = sessions or None
        return session

    def _remember(self, session: _Session) -> None:
        number = (session[1] + self._gap) // self._span
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = []
            heappush(self._numbers, number)
        bucket.append(session)

    def advance(self, watermark: int) -> bool:
        if self._numbers and self._numbers[0] * self._span <= watermark:
            return True
        self.watermark = watermark
        return False

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        self.watermark = watermark
        due: list[list[_Session]] = []
        while self._numbers and self._numbers[0] * self._span <= watermark:
            due.append(self._buckets.pop(heappop(self._numbers)))
            # What was looked at is let go a little at a time, from the end.
            due[-1].reverse()
        due.reverse()
        while due:
            sessions: list[_Session] = []
            while due and len(sessions) < _AT_ONCE:
                rest = len(sessions) - _AT_ONCE
                sessions += due[-1][: rest - 1 : -1]
                del due[-1][rest:]
                if not due[-1]:
                    due.pop()
            self._look(sessions, out)
            yield _AT_ONCE

    def _look(self, sessions: list[_Session], out: Results) -> None:
        """Give those that are complete, put the others where they belong now."""
        gap, live = self._gap, self._live
        over = self.watermark - gap
        complete: list[_Session] = []
        for session in sessions:
            if not session:
                continue
            if session[1] > over:
                self._remember(session)
                continue
            complete.append(session)
            latest = live.find(session[2])
            older: list[_Session] | None = latest[3]
            if older is None:
                live.forget(session[2])
            elif session is latest:
                latest = live[session[2]] = older.pop()
                latest[3] = older or None
            else:
                # It is the first of them, or one of the first.
                older.remove(session)
                latest[3] = older or None
        self._count -= len(complete)
        out.add_all(self._loops.results(complete), [session[1] + gap - 1 for session in complete])

    def on_end(self, out: Results) -> Iterator[int]:
        return self.on_watermark(LATEST, out)

    def live(self) -> int:
        return self._count

    def snapshot(self) -> Any:
        return self.watermark, self._count, pickle.dumps(dict(self._live.everything()))

    def changes(self) -> Changes:
        self._live, pieces = self._live.freeze()
        return Changes((self.watermark, self._count), {"sessions": pieces})

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            self.watermark, self._count = state.shared
            self._live = self.held(state.sections["sessions"])
        else:
            self.watermark, self._count, held = state
            self._live = self.held(pickle.loads(held), changed=True)

    def come(self, held: _Session) -> None:
        for session in (held, *(held[3] or ())):
            self._remember(session)
