"""An HTTP server, in a thread, that takes JSON lines once: it knows requests by their key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class Remembering(ThreadingHTTPServer):
    """`items` has what came to each path, `repeated` counts what was passed over."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.lock = threading.Lock()
        self.seen: set[tuple[str, str | None]] = set()
        self.items: dict[str, list[Any]] = {}
        self.repeated = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Taking(BaseHTTPRequestHandler):
    server: Remembering

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) < size:
            return
        request = self.path, self.headers["Idempotency-Key"]
        with self.server.lock:
            if request in self.server.seen:
                self.server.repeated += 1
            else:
                self.server.seen.add(request)
                items = self.server.items.setdefault(self.path, [])
                items += map(orjson.loads, body.splitlines())
        try:
            self.send_response(202)
            self.end_headers()
        except OSError:
            # Whoever asked was killed; a server has taken the items nevertheless.
            pass

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def remembering() -> Iterator[Remembering]:
    with Remembering() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
