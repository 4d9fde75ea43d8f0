"""Posting with idempotency keys: every item once, at a server that passes over what it knows."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from remembering_server import remembering
from scripted_http_server import Server, response, scripted

import reactive as rx
from connectors import http, http_posting
from reactive.context import Context, Settings
from reactive.errors import ConnectorError
from reactive.metrics import Meter
from reactive.testing import check_sink

TAKEN = response(b"", "202 Accepted")
BUSY = response(b"", "503 Service Unavailable")
QUICK = rx.Backoff(initial=0.01, maximum=0.01, attempts=3)


def writer_of(sink: rx.Sink[Any]) -> rx.Writer[Any]:
    return sink.writer(Context("post", None, Settings(), Meter("post")))


def keys(server: Server) -> list[str | None]:
    return [request.headers.get("idempotency-key") for request in server.requests]


@pytest.mark.parametrize("key", ["epoch", "item {}".format])
def test_every_item_comes_once(key: Any) -> None:
    batch = 2 if key == "epoch" else 1
    with remembering() as server:
        check_sink(
            lambda folder: http.post(f"{server.url}/{folder.name}", key=key, batch=batch),
            range(12),
            lambda folder: server.items.get(f"/{folder.name}", []),
            examples=15,
        )


async def test_an_epoch_is_sent_when_it_is_committed_and_again_as_it_was() -> None:
    async with scripted(TAKEN) as server:
        sink = http.post(server.url, key="epoch", batch=2, compression="gzip")
        writer = writer_of(sink)
        await writer.open()
        await writer.recover(0, None)
        await writer.write(rx.Chunk([1, 2, 3]))
        token = pickle.loads(pickle.dumps(await writer.prepare(1)))
        await writer.write(rx.Chunk([4]))
        assert server.requests == []
        await writer.commit(1, token)
        await writer.commit(1, token)
        assert writer.position() == 3
        first = keys(server)
        assert len(set(first)) == 2
        await writer.close()
        again = writer_of(sink)
        await again.open()
        await again.recover(1, token)
        assert keys(server) == first * 2
        assert server.requests[2:] == server.requests[:2]
        await again.write(rx.Chunk([4]))
        await again.commit(2, await again.prepare(2))
        assert keys(server)[-1] not in first
        await again.close()


async def test_without_checkpoints_a_request_keeps_its_key_in_another_try() -> None:
    async with scripted(BUSY, TAKEN) as server:
        stream = rx.range(3).rebatch(1)
        await rx.run(stream.to(http.post(server.url, key="epoch", retry=QUICK)))
        one, other, *rest = keys(server)
        assert one == other
        assert len({other, *rest}) == 3


async def test_a_key_of_an_item() -> None:
    async with scripted(TAKEN) as server:
        sink = http.post(server.url, key=lambda item: f"order-{item['id']}", concurrency=2)
        await rx.run(rx.of({"id": 7}, {"id": 8}).to(sink))
        assert sorted(map(str, keys(server))) == ["order-7", "order-8"]
        with pytest.raises(TypeError, match=r"key must give text for an item, not int, .* 5"):
            await rx.run(rx.of(5).to(http.post(server.url, key=lambda item: item)))
        await rx.run(rx.of(1).to(http.post(server.url)))
        assert keys(server)[-1] is None


async def test_an_epoch_may_not_hold_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_posting, "MAX_HELD", 1 << 20)
    async with scripted(TAKEN) as server:
        writer = writer_of(http.post(server.url, key="epoch"))
        await writer.open()
        await writer.recover(0, None)
        with pytest.raises(ConnectorError, match="more than 1 MiB; take checkpoints more often"):
            for _ in range(3):
                await writer.write(rx.Chunk(["a" * (500 << 10)]))
        await writer.close()
        assert server.requests == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": "item"}, "key must be 'epoch', a function"),
        ({"key": str, "batch": 2}, "give batch=1"),
        ({"key": "epoch", "headers": {"idempotency-key": "a"}}, "one of them"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_described(options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        http.post("http://a", **options)


def test_it_says_what_becomes_of_what_is_sent_again() -> None:
    assert http.post("http://a").replayed == "repeated"
    assert http.post("http://a", key=str).replayed == "idempotent"
    assert http.post("http://a", key="epoch").replayed == "transactional"
