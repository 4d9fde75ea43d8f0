"""Reactive: one pipeline, live or batch, inside your own asyncio program.

```python
import reactive as rx

squares = rx.range(10).filter(lambda x: x % 2).map(lambda x: x * x)
total = await squares.sum()
```
"""

from reactive._shadowing import check_packages as _check_packages

_check_packages()

from operators.aggregates import Aggregator, NoResult, count, sum  # noqa: E402
from operators.aggregators import (  # noqa: E402
    distinct,
    first,
    last,
    max,
    mean,
    min,
    quantile,
    to_dict,
    to_list,
    to_set,
    top,
    variance,
)
from operators.assigners import Count, Global, Session, Sliding, Tumbling, WindowAssigner  # noqa: E402
from operators.caches import Cache  # noqa: E402
from operators.calendars import Calendar  # noqa: E402
from operators.circuit import CircuitBreaker  # noqa: E402
from operators.creating import (  # noqa: E402
    defer,
    empty,
    fail,
    from_async_iterable,
    from_iterable,
    from_source,
    interval,
    never,
    of,
    range,
    timer,
    unfold,
    using,
)
from operators.handling import KeyedProcess, ProcessContext  # noqa: E402
from operators.keyed import KeyedStream  # noqa: E402
from operators.patterns import Match, Pattern  # noqa: E402
from operators.rows import Row  # noqa: E402
from operators.tables import Change, Table  # noqa: E402
from operators.triggers import (  # noqa: E402
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterProcessingTime,
    AfterWatermark,
    Never,
    Repeatedly,
    Trigger,
)
from operators.uniting import (  # noqa: E402
    combine_latest,
    concat,
    fork_join,
    interleave,
    merge,
    merge_sorted,
    race,
    zip,
    zip_longest,
)
from operators.watermarks import (  # noqa: E402
    BoundedOutOfOrderness,
    Monotonic,
    Punctuated,
    WatermarkStrategy,
)
from operators.windowing import WindowedStream  # noqa: E402
from reactive.backoff import Backoff, RetryBudget  # noqa: E402
from reactive.checkpoint import Checkpoint  # noqa: E402
from reactive.context import Context, Settings  # noqa: E402
from reactive.endpoint import Extent, Reader, Sink, Source, Writer  # noqa: E402
from reactive.errors import (  # noqa: E402
    ChannelClosed,
    CheckpointError,
    CircuitOpenError,
    ConnectorError,
    DamagedError,
    DecodeError,
    EmptyStreamError,
    FrameTooLongError,
    JournalError,
    MisusedFunctionError,
    OverflowFailure,
    PlanError,
    ReactiveError,
    SourceConsumedError,
    StreamClosedError,
    TooManyItemsError,
    TruncatedError,
)
from reactive.explain import Explanation  # noqa: E402
from reactive.group import Group  # noqa: E402
from reactive.hub import Hub  # noqa: E402
from reactive.latest import Latest  # noqa: E402
from reactive.metrics import OperatorMetrics, Progress  # noqa: E402
from reactive.policy import DeadLetter, ErrorPolicy, replace, replace_with  # noqa: E402
from reactive.run import Report, Run, run, start  # noqa: E402
from reactive.sequel import Sequel  # noqa: E402
from reactive.signals import IDLE, Barrier, Chunk, Idle, Signal, Watermark  # noqa: E402
from reactive.state import ListState, MapState, ReducingState, ValueState  # noqa: E402
from reactive.stream import Job, SideOutput, Single, Stream  # noqa: E402
from reactive.subject import Subject  # noqa: E402
from reactive.windows import GLOBAL, Pane, Window, Windowed  # noqa: E402

__all__ = [
    "GLOBAL",
    "IDLE",
    "AfterAll",
    "AfterAny",
    "AfterCount",
    "AfterEach",
    "AfterProcessingTime",
    "AfterWatermark",
    "Aggregator",
    "Backoff",
    "Barrier",
    "BoundedOutOfOrderness",
    "Cache",
    "Calendar",
    "Change",
    "ChannelClosed",
    "Checkpoint",
    "CheckpointError",
    "Chunk",
    "CircuitBreaker",
    "CircuitOpenError",
    "ConnectorError",
    "Context",
    "Count",
    "DamagedError",
    "DeadLetter",
    "DecodeError",
    "EmptyStreamError",
    "ErrorPolicy",
    "Explanation",
    "Extent",
    "FrameTooLongError",
    "Global",
    "Group",
    "Hub",
    "Idle",
    "Job",
    "JournalError",
    "KeyedProcess",
    "KeyedStream",
    "Latest",
    "ListState",
    "MapState",
    "Match",
    "MisusedFunctionError",
    "Monotonic",
    "Never",
    "NoResult",
    "OperatorMetrics",
    "OverflowFailure",
    "Pane",
    "Pattern",
    "PlanError",
    "ProcessContext",
    "Progress",
    "Punctuated",
    "ReactiveError",
    "Reader",
    "ReducingState",
    "Repeatedly",
    "Report",
    "RetryBudget",
    "Row",
    "Run",
    "Sequel",
    "Session",
    "Settings",
    "SideOutput",
    "Signal",
    "Single",
    "Sink",
    "Sliding",
    "Source",
    "SourceConsumedError",
    "Stream",
    "StreamClosedError",
    "Subject",
    "Table",
    "TooManyItemsError",
    "Trigger",
    "TruncatedError",
    "Tumbling",
    "ValueState",
    "Watermark",
    "WatermarkStrategy",
    "Window",
    "WindowAssigner",
    "Windowed",
    "WindowedStream",
    "Writer",
    "combine_latest",
    "concat",
    "count",
    "defer",
    "distinct",
    "empty",
    "fail",
    "first",
    "fork_join",
    "from_async_iterable",
    "from_iterable",
    "from_source",
    "interleave",
    "interval",
    "last",
    "max",
    "mean",
    "merge",
    "merge_sorted",
    "min",
    "never",
    "of",
    "quantile",
    "race",
    "range",
    "replace",
    "replace_with",
    "run",
    "start",
    "sum",
    "timer",
    "to_dict",
    "to_list",
    "to_set",
    "top",
    "unfold",
    "using",
    "variance",
    "zip",
    "zip_longest",
]
