"""The other end of the TCP row: sends JSON lines to whoever connects, as fast as they are taken.

`python -m benchmarks.sender COUNT COUNT...` listens on one port for each count, prints the ports,
and runs until its standard input ends. What it sends is made beforehand.
"""

from __future__ import annotations

import socket
import sys
import threading


def payload(count: int) -> bytes:
    """JSON lines as a service might log them, 110 bytes on average."""
    carriers = ("UA", "AA", "DL", "B6", "WN")
    return b"".join(
        b'{"id":%d,"carrier":"%s","flight":"%s%d","origin":"EWR","dest":"SFO","delay":%d,'
        b'"distance":%d,"cancelled":false}\n'
        % (n, carriers[n % 5].encode(), carriers[n % 5].encode(), n % 7919, n % 181 - 20, 2565)
        for n in range(count)
    )


def serve(listener: socket.socket, data: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            except OSError:
                pass


def main() -> None:
    ports = []
    for count in map(int, sys.argv[1:]):
        listener = socket.create_server(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
        threading.Thread(target=serve, args=(listener, payload(count)), daemon=True).start()
    print(*ports, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
