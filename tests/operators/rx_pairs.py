"""Every operator of RxPY beside ours: pipelines that have to give the same items at the same
times, but for what a `Pair` says."""

from __future__ import annotations

import asyncio
import operator

import reactivex
from reactivex import Observer
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from rx_parts import (
    LATE,
    NO_PAUSE,
    SPAN,
    Pair,
    children,
    counted,
    ends_after_two,
    ends_unopened,
    ends_when_hopeless,
    ends_with_inputs,
    ends_with_last_item,
    failing_in_turn,
    group_lists,
    moment,
    no_empty_end,
    odd,
    only_full,
    our_inner,
    period,
    plus,
    print_nothing,
    small,
    their_inner,
    their_moment,
)

import reactive as rx

PAIRS: dict[str, Pair] = {
    "all": Pair(lambda s: s.all(small), lambda o: o.pipe(ops.all(small))),
    "amb": Pair(lambda s, t: s.race(t), lambda o, p: o.pipe(ops.amb(p)), 2),
    "average": Pair(lambda s: s.mean(), lambda o: o.pipe(ops.average())),
    "buffer": Pair(
        lambda s, t: s.buffer_until(t.concat(rx.never())),
        lambda o, p: o.pipe(ops.buffer(p.pipe(ops.concat(reactivex.never())))),
        2,
        differs=no_empty_end,
        said=(rx.Stream.buffer_until, "RxPY completes with it"),
    ),
    "buffer_when": Pair(
        lambda s: s.buffer_until(rx.interval(SPAN)),
        lambda o: o.pipe(ops.buffer_when(lambda: reactivex.timer(SPAN))),
        differs=no_empty_end,
        said=(rx.Stream.buffer_until, "Rx gives an empty one then too"),
    ),
    "buffer_with_count": Pair(lambda s: s.batch(3), lambda o: o.pipe(ops.buffer_with_count(3))),
    "buffer_with_count, sliding": Pair(
        lambda s: s.sliding(3, 2),
        lambda o: o.pipe(ops.buffer_with_count(3, 2)),
        differs=only_full,
        said=(rx.Stream.sliding, "Rx's buffer gives it"),
    ),
    "buffer_with_time": Pair(
        lambda s: s.buffer_until(rx.interval(SPAN)),
        lambda o: o.pipe(ops.buffer_with_time(SPAN)),
        differs=no_empty_end,
        said=(rx.Stream.buffer_until, "Rx gives an empty one"),
    ),
    "buffer_with_time_or_count": Pair(
        lambda s: s.batch(3, within=LATE),
        lambda o: o.pipe(
            group_lists(
                lambda x: 0,
                lambda group: reactivex.merge(
                    reactivex.timer(LATE), group.pipe(ops.skip(1), ops.take(1))
                ),
            )
        ),
        said=(rx.Stream.batch, "Rx's bufferWithTimeOrCount"),
    ),
    "catch": Pair(lambda s, t: s.recover(t), lambda o, p: o.pipe(ops.catch(p)), 2),
    "catch, by a function": Pair(
        lambda s, t: s.recover_with(lambda error: t),
        lambda o, p: o.pipe(ops.catch(lambda error, source: p)),
        2,
    ),
    "combine_latest": Pair(
        lambda s, t, u: s.combine_latest(t, u),
        lambda o, p, q: o.pipe(ops.combine_latest(p, q)),
        3,
        differs=ends_when_hopeless,
        said=(rx.Stream.combine_latest, "RxPY waits for the others"),
    ),
    "concat": Pair(lambda s, t: s.concat(t), lambda o, p: o.pipe(ops.concat(p)), 2),
    "concat_all": Pair(
        lambda s: s.map(our_inner).concat_all(),
        lambda o: o.pipe(ops.map(their_inner), failing_in_turn, ops.concat_all()),
        said=(rx.Stream.concat_map, "Rx fails at once"),
    ),
    "concat_map": Pair(
        lambda s: s.concat_map(our_inner),
        lambda o: o.pipe(ops.map(their_inner), failing_in_turn, ops.concat_map(lambda one: one)),
        said=(rx.Stream.concat_map, "Rx fails at once"),
    ),
    "concat_map, of items later": Pair(
        lambda s: s.delay_each(lambda x: period(x)),
        lambda o: o.pipe(
            ops.map(lambda x: reactivex.timer(period(x)).pipe(ops.map(lambda _: x))),
            failing_in_turn,
            ops.concat_all(),
        ),
        said=(rx.Stream.delay_each, "Loses nothing, also when upstream fails"),
    ),
    "contains": Pair(lambda s: s.contains(1), lambda o: o.pipe(ops.contains(1))),
    "count": Pair(lambda s: s.count(), lambda o: o.pipe(ops.count())),
    "debounce": Pair(lambda s: s.debounce(SPAN), lambda o: o.pipe(ops.debounce(SPAN))),
    "default_if_empty": Pair(
        lambda s: s.default_if_empty(7), lambda o: o.pipe(ops.default_if_empty(7))
    ),
    "delay": Pair(
        lambda s: s.delay(LATE),
        lambda o: o.pipe(ops.delay(LATE)),
        differs=ends_with_last_item,
        said=(rx.Stream.delay, "RxJava and RxPY complete"),
    ),
    "delay_subscription": Pair(
        lambda s: rx.timer(SPAN).concat_map(lambda _: s),
        lambda o: o.pipe(ops.delay_subscription(SPAN)),
    ),
    "delay_with_mapper": Pair(
        lambda s: s.merge_map(lambda x: rx.timer(period(x)).map(lambda _: x)),
        lambda o: o.pipe(ops.delay_with_mapper(lambda x: reactivex.timer(period(x)))),
    ),
    "distinct": Pair(lambda s: s.distinct(), lambda o: o.pipe(ops.distinct())),
    "distinct_until_changed": Pair(
        lambda s: s.distinct_until_changed(abs),
        lambda o: o.pipe(ops.distinct_until_changed(abs)),
    ),
    "do_while": Pair(
        lambda s: s.concat(rx.from_iterable(iter(counted(2), False)).concat_map(lambda _: s)),
        lambda o: o.pipe(ops.do_while(counted(2))),
    ),
    "do": Pair(lambda s: s.tap(print_nothing), lambda o: o.pipe(ops.do(Observer(print_nothing)))),
    "do_action": Pair(
        lambda s: s.tap(print_nothing).on_complete(print_nothing).on_error(print_nothing),
        lambda o: o.pipe(ops.do_action(print_nothing, print_nothing, print_nothing)),
    ),
    "element_at": Pair(lambda s: s.element_at(2), lambda o: o.pipe(ops.element_at(2))),
    "element_at_or_default": Pair(
        lambda s: s.element_at(2, default=7),
        lambda o: o.pipe(ops.element_at_or_default(2, 7)),
    ),
    "exclusive": Pair(
        lambda s: s.exhaust_map(our_inner),
        lambda o: o.pipe(ops.map(their_inner), ops.exclusive()),
    ),
    "expand": Pair(
        lambda s: s.expand(children),
        lambda o: o.pipe(ops.expand(lambda x: reactivex.from_iterable(children(x)))),
        said=(rx.Stream.expand, "where Rx interleaves them"),
    ),
    "filter": Pair(lambda s: s.filter(odd), lambda o: o.pipe(ops.filter(odd))),
    "filter_indexed": Pair(
        lambda s: s.enumerate().filter(lambda each: each[0] % 2).map(lambda each: each[1]),
        lambda o: o.pipe(ops.filter_indexed(lambda x, n: n % 2)),
    ),
    "finally_action": Pair(
        lambda s: s.finally_(print_nothing), lambda o: o.pipe(ops.finally_action(print_nothing))
    ),
    "find": Pair(lambda s: s.find(odd), lambda o: o.pipe(ops.find(lambda x, n, source: odd(x)))),
    "find_index": Pair(
        lambda s: (
            s.enumerate().find(lambda each: odd(each[1]), default=(-1, 0)).map(lambda each: each[0])
        ),
        lambda o: o.pipe(ops.find_index(lambda x, n, source: odd(x))),
    ),
    "first": Pair(lambda s: s.first(odd), lambda o: o.pipe(ops.first(odd))),
    "first_or_default": Pair(
        lambda s: s.first(odd, default=7), lambda o: o.pipe(ops.first_or_default(odd, 7))
    ),
    "flat_map": Pair(lambda s: s.merge_map(our_inner), lambda o: o.pipe(ops.flat_map(their_inner))),
    "flat_map, of lists": Pair(
        lambda s: s.flat_map(lambda x: [x, x]), lambda o: o.pipe(ops.flat_map(lambda x: [x, x]))
    ),
    "flat_map_indexed": Pair(
        lambda s: s.enumerate().merge_map(lambda each: our_inner(each[0] % 5)),
        lambda o: o.pipe(ops.flat_map_indexed(lambda x, n: their_inner(n % 5))),
    ),
    "flat_map_latest": Pair(
        lambda s: s.switch_map(our_inner), lambda o: o.pipe(ops.flat_map_latest(their_inner))
    ),
    "fork_join": Pair(
        lambda s, t, u: s.fork_join(t, u), lambda o, p, q: o.pipe(ops.fork_join(p, q)), 3
    ),
    "group_by": Pair(
        lambda s: s.group_by(abs).merge_map(lambda group: group.to_list()).to_list().map(sorted),
        lambda o: o.pipe(group_lists(abs), ops.to_list(), ops.map(sorted)),
    ),
    "ignore_elements": Pair(lambda s: s.ignore_items(), lambda o: o.pipe(ops.ignore_elements())),
    "is_empty": Pair(lambda s: s.is_empty(), lambda o: o.pipe(ops.is_empty())),
    "last": Pair(lambda s: s.last(odd), lambda o: o.pipe(ops.last(odd))),
    "last_or_default": Pair(
        lambda s: s.last(odd, default=7), lambda o: o.pipe(ops.last_or_default(7, odd))
    ),
    "map": Pair(lambda s: s.map(abs), lambda o: o.pipe(ops.map(abs))),
    "map_indexed": Pair(
        lambda s: s.enumerate().starmap(lambda n, x: n * x),
        lambda o: o.pipe(ops.map_indexed(lambda x, n: n * x)),
    ),
    "max": Pair(lambda s: s.max(), lambda o: o.pipe(ops.max())),
    "max_by": Pair(
        lambda s: s.max(abs, default=None).filter(lambda x: x is not None),
        lambda o: o.pipe(ops.max_by(abs), ops.flat_map(lambda best: best[:1])),
        said=(rx.Stream.max, "the first of equals"),
    ),
    "merge": Pair(lambda s, t, u: s.merge(t, u), lambda o, p, q: o.pipe(ops.merge(p, q)), 3),
    "merge_all": Pair(
        lambda s: s.map(our_inner).merge_all(),
        lambda o: o.pipe(ops.map(their_inner), ops.merge_all()),
    ),
    "merge, so many at a time": Pair(
        lambda s: s.merge_map(our_inner, concurrency=2),
        lambda o: o.pipe(ops.map(their_inner), ops.merge(max_concurrent=2)),
        fails=False,
        said=(rx.Stream.merge_map, "Rx fails at once"),
    ),
    "min": Pair(lambda s: s.min(), lambda o: o.pipe(ops.min())),
    "min_by": Pair(
        lambda s: s.min(abs, default=None).filter(lambda x: x is not None),
        lambda o: o.pipe(ops.min_by(abs), ops.flat_map(lambda best: best[:1])),
        said=(rx.Stream.min, "the first of equals"),
    ),
    "on_error_resume_next": Pair(
        lambda s, t: s.recover(rx.empty()).concat(t),
        lambda o, p: o.pipe(ops.on_error_resume_next(p)),
        2,
        fails=False,
    ),
    "pairwise": Pair(lambda s: s.pairwise(), lambda o: o.pipe(ops.pairwise())),
    "partition": Pair(lambda s: s.partition(odd)[0], lambda o: o.pipe(ops.partition(odd))[0]),
    "partition_indexed": Pair(
        lambda s: s.enumerate().partition(lambda each: each[0] % 2)[1].map(lambda each: each[1]),
        lambda o: o.pipe(ops.partition_indexed(lambda x, n: n % 2))[1],
    ),
    "pluck": Pair(
        lambda s: s.map(lambda x: {"x": x}).map(operator.itemgetter("x")),
        lambda o: o.pipe(ops.map(lambda x: {"x": x}), ops.pluck("x")),
    ),
    "pluck_attr": Pair(
        lambda s: s.map(operator.attrgetter("real")), lambda o: o.pipe(ops.pluck_attr("real"))
    ),
    "reduce, from a factory": Pair(
        lambda s: s.fold(plus, int), lambda o: o.pipe(ops.reduce(plus, 0))
    ),
    "reduce": Pair(lambda s: s.reduce(plus, 0), lambda o: o.pipe(ops.reduce(plus, 0))),
    "repeat": Pair(lambda s: s.repeat(3), lambda o: o.pipe(ops.repeat(3))),
    "retry": Pair(
        lambda s: s.retry(NO_PAUSE, budget=rx.RetryBudget(2, per=10_000)),
        lambda o: o.pipe(ops.retry(3)),
        said=(rx.Stream.retry, "Rx counts across items"),
    ),
    "sample": Pair(
        lambda s: s.sample(SPAN),
        lambda o: o.pipe(ops.sample(SPAN)),
        differs=ends_with_inputs,
        said=(rx.Stream.sample, "RxPY gives it at the next tick"),
    ),
    "sample, by a stream": Pair(
        lambda s, t: s.sample(t),
        lambda o, p: o.pipe(ops.sample(p)),
        2,
        differs=ends_with_inputs,
        said=(rx.Stream.sample, "RxPY gives it at the next tick"),
    ),
    "scan": Pair(lambda s: s.scan(plus, 0), lambda o: o.pipe(ops.scan(plus, 0))),
    "sequence_equal": Pair(
        lambda s, t: s.map(abs).take(3).sequence_equal(t.map(abs).take(3)),
        lambda o, p: o.pipe(
            ops.map(abs), ops.take(3), ops.sequence_equal(p.pipe(ops.map(abs), ops.take(3)))
        ),
        2,
        fails=False,
        said=(rx.Stream.sequence_equal, "Rx fails at once"),
    ),
    "single": Pair(lambda s: s.take(2).single(), lambda o: o.pipe(ops.take(2), ops.single())),
    "single_or_default": Pair(
        lambda s: s.take(2).single(default=7),
        lambda o: o.pipe(ops.take(2), ops.single_or_default(None, 7)),
    ),
    "single_or_default_async": Pair(
        lambda s: s.single(default=7), lambda o: o.pipe(ops.single_or_default_async(True, 7))
    ),
    "skip": Pair(lambda s: s.skip(2), lambda o: o.pipe(ops.skip(2))),
    "skip_last": Pair(lambda s: s.skip_last(2), lambda o: o.pipe(ops.skip_last(2))),
    "skip_until": Pair(
        lambda s, t: s.skip_until(t),
        lambda o, p: o.pipe(ops.skip_until(p)),
        2,
        differs=ends_unopened,
        said=(rx.Stream.skip_until, "RxPY does not complete"),
    ),
    "skip_until_with_time": Pair(
        lambda s: s.skip_until(moment(LATE)),
        lambda o: o.pipe(ops.skip_until_with_time(their_moment(LATE))),
    ),
    "skip_while": Pair(lambda s: s.skip_while(small), lambda o: o.pipe(ops.skip_while(small))),
    "skip_while_indexed": Pair(
        lambda s: s.enumerate().skip_while(lambda each: sum(each) < 2).map(lambda each: each[1]),
        lambda o: o.pipe(ops.skip_while_indexed(lambda x, n: x + n < 2)),
    ),
    "skip_with_time": Pair(
        lambda s: s.skip_until(rx.timer(LATE)), lambda o: o.pipe(ops.skip_with_time(LATE))
    ),
    "slice": Pair(lambda s: s[1:6:2], lambda o: o.pipe(ops.slice(1, 6, 2))),
    "some": Pair(lambda s: s.any(small), lambda o: o.pipe(ops.some(small))),
    "starmap": Pair(
        lambda s: s.pairwise().starmap(plus), lambda o: o.pipe(ops.pairwise(), ops.starmap(plus))
    ),
    "starmap_indexed": Pair(
        lambda s: s.pairwise().enumerate().starmap(lambda n, pair: (*pair, n)),
        lambda o: o.pipe(
            ops.pairwise(),
            ops.map_indexed(lambda pair, n: (*pair, n)),
            ops.starmap_indexed(lambda a, b, n: (a, b, n)),
        ),
    ),
    "start_with": Pair(lambda s: s.start_with(8, 9), lambda o: o.pipe(ops.start_with(8, 9))),
    "sum": Pair(lambda s: s.sum(), lambda o: o.pipe(ops.sum())),
    "switch_latest": Pair(
        lambda s: s.map(our_inner).switch(),
        lambda o: o.pipe(ops.map(their_inner), ops.switch_latest()),
    ),
    "switch_map": Pair(
        lambda s: s.switch_map(our_inner), lambda o: o.pipe(ops.switch_map(their_inner))
    ),
    "switch_map_indexed": Pair(
        lambda s: s.enumerate().switch_map(lambda each: our_inner(each[0] % 5)),
        lambda o: o.pipe(ops.switch_map_indexed(lambda x, n: their_inner(n % 5))),
    ),
    "take": Pair(lambda s: s.take(3), lambda o: o.pipe(ops.take(3))),
    "take_last": Pair(lambda s: s.take_last(3), lambda o: o.pipe(ops.take_last(3))),
    "take_last_buffer": Pair(
        lambda s: s.take_last(3).to_list(), lambda o: o.pipe(ops.take_last_buffer(3))
    ),
    "take_until": Pair(lambda s, t: s.take_until(t), lambda o, p: o.pipe(ops.take_until(p)), 2),
    "take_until_with_time": Pair(
        lambda s: s.take_until(moment(LATE)),
        lambda o: o.pipe(ops.take_until_with_time(their_moment(LATE))),
    ),
    "take_while": Pair(lambda s: s.take_while(small), lambda o: o.pipe(ops.take_while(small))),
    "take_while, inclusive": Pair(
        lambda s: s.take_while(small, inclusive=True),
        lambda o: o.pipe(ops.take_while(small, inclusive=True)),
    ),
    "take_while_indexed": Pair(
        lambda s: s.enumerate().take_while(lambda each: sum(each) < 4).map(lambda each: each[1]),
        lambda o: o.pipe(ops.take_while_indexed(lambda x, n: x + n < 4)),
    ),
    "take_with_time": Pair(lambda s: s.take_for(LATE), lambda o: o.pipe(ops.take_with_time(LATE))),
    "throttle_first": Pair(lambda s: s.throttle(SPAN), lambda o: o.pipe(ops.throttle_first(SPAN))),
    "tap": Pair(lambda s: s.tap(print_nothing), lambda o: o.pipe(ops.tap(print_nothing))),
    "throttle_with_mapper": Pair(
        lambda s: s.debounce(lambda x: period(x)),
        lambda o: o.pipe(ops.throttle_with_mapper(lambda x: reactivex.timer(period(x)))),
    ),
    "throttle_with_timeout": Pair(
        lambda s: s.debounce(SPAN), lambda o: o.pipe(ops.throttle_with_timeout(SPAN))
    ),
    "time_interval": Pair(
        lambda s: s.with_interval().map(lambda each: (round(each[0], 4), each[1])),
        lambda o: o.pipe(
            ops.time_interval(),
            ops.map(lambda each: (round(each.interval.total_seconds(), 4), each.value)),
        ),
    ),
    "timeout": Pair(
        lambda s, t: s.timeout(LATE, fallback=t),
        lambda o, p: o.pipe(ops.timeout(LATE, p)),
        2,
        said=(rx.Stream.timeout, "unlike in Rx"),
    ),
    "timeout, with an error": Pair(lambda s: s.timeout(SPAN), lambda o: o.pipe(ops.timeout(SPAN))),
    "timeout, in total": Pair(
        lambda s, t: s.timeout(total=LATE, fallback=t),
        lambda o, p: o.pipe(ops.timeout(their_moment(LATE), p)),
        2,
    ),
    "timeout_with_mapper": Pair(
        lambda s, t: s.timeout(SPAN, first=LATE, fallback=t),
        lambda o, p: o.pipe(
            ops.timeout_with_mapper(reactivex.timer(LATE), lambda x: reactivex.timer(SPAN), p)
        ),
        2,
    ),
    "timeout_with_mapper, only the first": Pair(
        lambda s: s.timeout(first=LATE),
        lambda o: o.pipe(ops.timeout_with_mapper(reactivex.timer(LATE))),
    ),
    "timestamp": Pair(
        lambda s: s.with_timestamp(lambda: asyncio.get_running_loop().time()),
        lambda o: o.pipe(
            ops.timestamp(),
            ops.map(lambda each: (VirtualTimeScheduler.to_seconds(each.timestamp), each.value)),
        ),
    ),
    "to_dict": Pair(lambda s: s.to_dict(abs), lambda o: o.pipe(ops.to_dict(abs))),
    "to_list": Pair(lambda s: s.to_list(), lambda o: o.pipe(ops.to_list())),
    "to_set": Pair(lambda s: s.to_set(), lambda o: o.pipe(ops.to_set())),
    "while_do": Pair(
        lambda s: rx.from_iterable(iter(counted(2), False)).concat_map(lambda _: s),
        lambda o: o.pipe(ops.while_do(counted(2))),
    ),
    "with_latest_from": Pair(
        lambda s, t, u: s.with_latest_from(t, u),
        lambda o, p, q: o.pipe(ops.with_latest_from(p, q)),
        3,
    ),
    "zip": Pair(
        lambda s, t, u: s.zip(t, u),
        lambda o, p, q: o.pipe(ops.zip(p, q)),
        3,
        fails=False,
        said=(rx.Stream.zip, "Rx fails at once"),
    ),
    "zip_with_iterable": Pair(
        lambda s: s.zip(rx.from_iterable([8, 9])),
        lambda o: o.pipe(ops.zip_with_iterable([8, 9])),
        differs=ends_after_two,
        said=(rx.Stream.zip, "and its items are used up"),
    ),
    "zip_with_list": Pair(
        lambda s: s.zip(rx.from_iterable([8, 9])),
        lambda o: o.pipe(ops.zip_with_list([8, 9])),
        differs=ends_after_two,
        said=(rx.Stream.zip, "and its items are used up"),
    ),
}
"""What the operators give."""

ELSEWHERE = {
    **dict.fromkeys(
        ["multicast", "publish", "ref_count", "share", "replay", "publish_value"],
        "is for several consumers, see test_rx_sharing.py",
    ),
    **dict.fromkeys(["observe_on", "subscribe_on"], "is about threads"),
    **dict.fromkeys(["to_future", "to_iterable", "to_marbles"], "is a way to run"),
    **dict.fromkeys(["materialize", "dematerialize", "as_observable"], "has no counterpart"),
    **dict.fromkeys(["skip_last_with_time", "take_last_with_time"], "has no counterpart"),
    **dict.fromkeys(["group_join", "join", "group_by_until"], "has no counterpart"),
    **dict.fromkeys(["buffer_toggle", "window_toggle", "zip_latest"], "has no counterpart"),
    **dict.fromkeys(
        [
            "window",
            "window_when",
            "window_with_count",
            "window_with_time",
            "window_with_time_or_count",
        ],
        "has no counterpart; as lists, see those with buffer",
    ),
}
"""Why other operators of RxPY are not among the pairs."""
