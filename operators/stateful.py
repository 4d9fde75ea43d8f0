"""stateful: what is done with the items of each key, with a memory of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from operators.assigners import check_span
from operators.checking import MISSING, check_plain, check_seconds
from operators.deduplicating import Deduplicate, Scan
from operators.handling import KeyedProcess
from operators.mapping import Factory
from operators.matching import Matcher
from operators.patterns import Match, Pattern
from operators.processing import process_operator
from reactive.graph import Blueprint
from reactive.operator import Holding

if TYPE_CHECKING:
    from reactive.stream import SideOutput, Stream

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
U = TypeVar("U")


class Stateful(Generic[K, T]):
    """process, deduplicate, scan, match: the operators of keyed streams that remember."""

    __slots__ = ()

    _stream: Blueprint[T]
    _key: Callable[[T], K]

    def process(
        self,
        handler: Callable[[], KeyedProcess[K, T, U]],
        *,
        late: SideOutput[Any] | None = None,
    ) -> Stream[U]:
        """Run a handler of your own on the items of each key, with state and timers.

        ```text
        --a--a-----b-----|
        key_by(str).process(Quiet)
        --------a?----b?-|
        ```

        Here `Quiet` sets a timer of the loop's clock at every item, which is moved if it was set
        before, and tells when it is due that nothing has come for its key for three seconds.

        `handler` is a subclass of `rx.KeyedProcess`, or a function that makes one (also called
        when this is described, to know its class). Each run makes one, for all keys: what it
        remembers of a key is in the states its class declares. It is called for every item, in
        the order in which they came, and for the timers it sets: those of event time when the
        watermark comes to them, in the order of time and before the watermark is passed on;
        those of the loop's clock when they are due. Late items (`context.late`) are given to it
        like the others, or to the side output `late`, counted as `late`.

        In batch, where no watermark says how far event time has come, a handler that has an
        `on_timer` is called when all input is there: for the items in the order of their event
        times, and for the timers between them.

        Emits what it gives, with the event time of the item or timer, but no earlier than the
        watermark. Backpressures when downstream does; timers wait too, and however many are due
        at once, others are let in between. Completes with upstream, after all timers have fired,
        those of event time first; a failing upstream fires none. Loses nothing. Holds what the
        states hold: keys without end need times to live, or timers that clear them. With
        `rx.Settings(state_memory=...)` states past so many bytes go to disk and come back; timers
        stay in memory.

        Raises what the handler raises, with a note of the key. `TypeError` for a handler whose
        methods are async, for event time asked for where there is none, and for state or a key
        that would have to go to disk and does not pickle.

        ```python
        class Alerts(rx.KeyedProcess[str, float, str]):
            highest = rx.ValueState(0.0)

            def on_item(self, item, context):
                if item > self.highest:
                    self.highest = item
                    context.set_timer(context.after(60), "calm")

            def on_timer(self, time, context):
                yield f"{context.key} stayed at {self.highest}"
                del self.highest

        readings = rx.of(1.0, 3.0).event_time(lambda x: x)
        readings.key_by(lambda x: "here").process(Alerts)
        ```
        """
        return self._stream._then(process_operator(self._key, handler, "process", late))

    def deduplicate(
        self,
        *,
        within: float,
        by: Callable[[T], Hashable] | None = None,
        late: SideOutput[Any] | None = None,
    ) -> Stream[T]:
        """Leave out items of a key that come again `within` so many seconds of event time.

        ```text
        --a1--a3--b4--a12--a11--|
        event_time(lambda e: int(e[1:]), lateness=2).key_by(lambda e: e[0]).deduplicate(within=10)
        --a1------b4--a12-------|
        ```

        An item is left out if one that was given, of the same key and the same `by(item)`, is
        less than `within` seconds of event time away, before or after it; of several, the one
        that came first is given. That is exact for items in any disorder the watermark allows.
        Late items cannot be told and are left out, counted as `late` and sent to the side output
        `late`. `distinct(within=...)` goes by the loop's clock, without event time.

        Emits an item as it comes. Backpressures and completes with its neighbours. Loses the
        repeated and the late. Holds the event times of what was given, for each key and `by`
        until the watermark is `within` seconds past it (in batch, until the end).

        `TypeError` without event time; `ValueError` for a time not above 0. Raises what `by`
        raises.

        ```python
        clicks = rx.of(("ann", 1), ("ann", 2)).event_time(lambda click: click[1])
        clicks.key_by(lambda click: click[0]).deduplicate(within=600)
        ```
        """
        check_span("deduplicate", "`within`", within)
        if by is not None:
            check_plain("deduplicate", by)
        return self._stream._then(
            process_operator(
                self._key,
                partial(Deduplicate, within, by),
                "deduplicate",
                late,
                {"within": f"{within:g} s"},
                (Holding("for each key, when items came", f"those of {within:g} s"),),
            )
        )

    @overload
    def scan(self, fn: Callable[[T, T], T], *, ttl: float | None = None) -> Stream[tuple[K, T]]: ...

    @overload
    def scan(
        self, fn: Callable[[U, T], U], initial: U, *, ttl: float | None = None
    ) -> Stream[tuple[K, U]]: ...

    @overload
    def scan(
        self, fn: Callable[[U, T], U], *, factory: Factory[U], ttl: float | None = None
    ) -> Stream[tuple[K, U]]: ...

    def scan(
        self,
        fn: Callable[[Any, Any], Any],
        initial: Any = MISSING,
        *,
        factory: Factory[Any] | None = None,
        ttl: float | None = None,
    ) -> Stream[tuple[K, Any]]:
        """Give the running result of folding the items of each key, as pairs of key and result.

        ```text
        --1---2---3---4---|
        key_by(lambda x: x % 2).scan(lambda total, x: total + x)
        --11--02--14--06--|
        ```

        Emits `(key, fn(result so far, item))` for every item; without a start, the first item of
        a key is its first result. A start is not emitted: `initial`, which all keys share and
        `fn` must not change in place, or what `factory` makes anew for each key. Where `fn`
        changes and gives the same object, downstream gets that object every time. Backpressures
        and completes with its neighbours. Loses nothing. Holds a result for each key; with `ttl`,
        one is forgotten that many seconds after the last item of its key, in event time, or by
        the loop's clock where there is none (see `rx.ValueState`).

        Raises what `fn` and `factory` raise. `TypeError` for both starts at once, `ValueError`
        for a `ttl` not above 0.

        ```python
        rx.of("a", "bb", "c").key_by(len).scan(lambda n, word: n + 1, 0, ttl=3600)
        ```
        """
        check_plain("scan", fn)
        if factory is not None:
            check_plain("scan (factory)", factory)
            if initial is not MISSING:
                raise TypeError("scan starts from `initial` or from what `factory` makes, not both")
        if ttl is not None:
            check_seconds("scan", "`ttl`", ttl)
        bounds: dict[str, object] = {} if ttl is None else {"ttl": f"{ttl:g} s"}
        lives = None if ttl is None else f"for {ttl:g} s after its last item"
        held = Holding("for each key, its result so far", lives, "give scan a `ttl`")
        handler = partial(Scan, fn, initial, factory, ttl)
        return self._stream._then(
            process_operator(self._key, handler, "scan", None, bounds, (held,))
        )

    def match(
        self,
        pattern: Pattern[T],
        *,
        overlapping: bool = True,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Match[K, T]]:
        """Find items of a key that follow one another as a pattern says.

        ```text
        --1--4--2--8--9--------|
        event_time(int, lateness=2).key_by(lambda x: "all")
        .match(rx.Pattern("low", lambda x: x < 5).then("next", bool).within(9))
        .map(lambda m: [m["low"], m["next"]])
        -----------([12] [24])-([48] |)
        ```

        The items of a key are looked at in the order of their event times, those of one time as
        they came: each waits until the watermark has passed it, so disorder that the watermark
        allows changes nothing. Late items are left out, counted as `late` and sent to the side
        output `late`.

        Every item that fits the first part of the `rx.Pattern` begins an attempt, and each gives
        at most one match: a `followed_by` takes the first item that fits, a `then` fails unless
        the very next one does. An item may be part of several matches; with
        `overlapping=False` a match ends all other attempts that began up to its last item, and
        that item begins none. Where several are complete at once, the one that began first
        counts. A pattern needs `within`: what is longer than that is no match, and its attempt
        is forgotten when the watermark comes there.

        Emits a match when the watermark has passed its last item, with that item's event time;
        for a pattern that ends with `not_followed_by`, when it comes to the end of its time,
        with that time. Matches of one key come in the order of these. Backpressures with its
        neighbours. Completes with upstream, after what is complete then. Loses items that are in
        no match. Holds items from their coming until the watermark has passed them, but for
        those that fit no part of a pattern without `then`, and for each key the attempts of the
        last `within` seconds; in batch, all items until the input has ended.

        `TypeError` without event time and for what is no pattern; `ValueError` for one without
        `within`. Raises what its functions raise.

        ```python
        guessed = (
            rx.Pattern[tuple[str, str, int]]("failed", lambda e: e[1] == "failed")
            .followed_by("worked", lambda e: e[1] == "ok")
            .within(60)
        )
        logins = rx.of(("ann", "failed", 1), ("ann", "ok", 2)).event_time(lambda e: e[2])
        logins.key_by(lambda e: e[0]).match(guessed).map(lambda m: (m.key, m["worked"]))
        ```
        """
        if not isinstance(pattern, Pattern):
            raise TypeError(f"match needs a rx.Pattern, not {pattern!r}")
        if pattern.seconds is None:
            raise ValueError(
                f"match would hold attempts at the pattern ({pattern}) for ever; say how long it "
                "may take with .within(seconds)"
            )
        bounds: dict[str, object] = {"pattern": str(pattern)}
        if not overlapping:
            bounds["overlapping"] = False
        return self._stream._then(
            process_operator(
                self._key,
                partial(Matcher, pattern, overlapping),
                "match",
                late,
                bounds,
                (
                    Holding(
                        "for each key, items that the watermark has not passed, and attempts",
                        f"those of {pattern.seconds:g} s",
                    ),
                ),
            )
        )
