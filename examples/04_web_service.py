"""A FastAPI service with a pipeline inside, which lives as long as the application does.

Handlers push into the pipeline and wait while it has no room; bulk uploads go to an ingest that is
mounted beside them and answers 202, 429 or 400 by itself. Both feed one stream of orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

import reactive as rx
from connectors import http, memory


class Order(BaseModel):
    country: str
    amount: int


def add(totals: dict[str, int], order: Order) -> dict[str, int]:
    return {**totals, order.country: totals.get(order.country, 0) + order.amount}


def service() -> FastAPI:
    single = rx.Subject[Order](limit=100)
    bulk = http.ingest("/orders", format="jsonl")
    latest: dict[str, int] = {}

    orders = single.merge(bulk.stream.map(Order.model_validate, on_error="skip").named("check"))
    job = orders.scan(add, dict[str, int]()).to(memory.call(latest.update))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with rx.start(job) as run:
            yield
            report = await run.stop(drain=True)
        print(f"drained; {report['check'].counters} of the bulk orders")

    app = FastAPI(lifespan=lifespan)
    app.mount("/bulk", bulk)

    @app.post("/orders", status_code=202)
    async def order(order: Order) -> None:
        await single.send(order)

    @app.get("/totals")
    async def totals() -> dict[str, int]:
        return latest

    return app


async def main() -> None:
    rows: list[dict[str, Any]] = [{"country": "NL", "amount": 2}] * 500 + [{"country": "?"}]
    async with http.serve(service(), port=0) as server:
        one = http.post(f"{server.url}/orders", format="json", batch=1)
        many = http.post(f"{server.url}/bulk/orders", compression="gzip")
        await rx.run(rx.of({"country": "FR", "amount": 7}).to(one), rx.from_iterable(rows).to(many))
        totals = http.poll(f"{server.url}/totals", every=0.05).map(lambda answer: answer.json())
        print(await totals.filter(lambda totals: sum(totals.values()) == 1007).first())


if __name__ == "__main__":
    asyncio.run(main())
