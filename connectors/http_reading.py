"""What all readers over HTTP share: their client, and an end to their waiting when drained."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.http_client import Client, ClientOptions
from connectors.http_messages import shown_url
from reactive.endpoint import Reader, Source
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class HttpSource(Source[T_co]):
    """A blueprint of what asks a server."""

    options: ClientOptions

    def details(self) -> dict[str, object]:
        options = self.options
        described: dict[str, object] = {"url": shown_url(options.url)}
        described["timeout"] = f"{options.timeout:g} s"
        if options.retry is not None:
            attempts = options.retry.attempts
            described["retry"] = "for ever" if attempts is None else f"{attempts} times"
        return described


class HttpReader(Reader[T]):
    """A reader with a client. `stopping` tells that a drain was asked for."""

    def __init__(self, options: ClientOptions, context: Context) -> None:
        self.client = Client(options, context)
        self.stopping = False
        self._scope: asyncio.Timeout | None = None

    async def open(self) -> None:
        await self.client.open()

    def stop(self) -> bool:
        self.stopping = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
        return True

    async def until_stopped(self, work: Coroutine[Any, Any, U]) -> U | None:
        """Wait for `work`, or give None as soon as a drain is asked for."""
        if self.stopping:
            work.close()
            return None
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
            return None
        finally:
            self._scope = None

    async def close(self) -> None:
        await self.client.close()
