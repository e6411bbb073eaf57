"""A load generator for machines without wrk: one thread, raw sockets, kept-alive connections.

Arguments: port, connections, seconds, path, series, mean milliseconds between two requests of one connection.
"""

from __future__ import annotations

import heapq
import json
import random
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

from bench.bodies import file_created

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(kw_only=True)
class _Client:
    """One connection, and the answer that is coming in on it."""

    port: int
    sock: socket.socket = field(init=False)
    sent_at: float = 0.0
    came: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.came.clear()
        self.sent_at = time.perf_counter()
        self.sock.sendall(request)

    def receive(self) -> int | None:
        """Return the status once the answer is whole, 0 where the connection ended."""
        data = self.sock.recv(65_536)
        if not data:
            return 0
        self.came += data
        head, found, body = bytes(self.came).partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length and len(body) < int(length[1])):
            return None
        return int(head[9:12])


@dataclass(kw_only=True)
class _Load:
    """A run: who is connected, who rests until when, and how long each answer took."""

    path: str
    series: str
    pause: float
    clients: list[_Client]
    number: int = 0
    taken: list[float] = field(default_factory=list)
    failures: int = 0
    resting: list[tuple[float, int]] = field(default_factory=list)

    def run(self, seconds: float) -> float:
        """Send until the time is over; return the seconds that it took."""
        began = time.perf_counter()
        poller = selectors.DefaultSelector()
        for index, client in enumerate(self.clients):
            poller.register(client.sock, selectors.EVENT_READ, index)
            self._rest(index)
        while (now := time.perf_counter()) < began + seconds:
            while self.resting and self.resting[0][0] <= now:
                self._send(self.clients[heapq.heappop(self.resting)[1]])
            patience = min(began + seconds - now, self.resting[0][0] - now if self.resting else 1.0)
            for key, _ in poller.select(max(patience, 0)):
                self._receive(poller, key.data)
        return time.perf_counter() - began

    def _rest(self, index: int) -> None:
        heapq.heappush(self.resting, (time.perf_counter() + random.uniform(0, 2 * self.pause), index))

    def _send(self, client: _Client) -> None:
        body = file_created(self.series, self.number)
        self.number += 1
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        client.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _receive(self, poller: selectors.BaseSelector, index: int) -> None:
        client = self.clients[index]
        status = client.receive()
        if status is None:
            return
        self.taken.append(time.perf_counter() - client.sent_at)
        if not 200 <= status < 400:
            self.failures += 1
        if status == 0:
            poller.unregister(client.sock)
            client.sock.close()
            self.clients[index] = client = _Client(port=client.port)
            poller.register(client.sock, selectors.EVENT_READ, index)
        self._rest(index)


def main() -> None:
    """Send the load and print what it met."""
    port, connections, seconds, path, series, pause_ms = sys.argv[1:]
    clients = [_Client(port=int(port)) for _ in range(int(connections))]
    load = _Load(path=path, series=series, pause=float(pause_ms) / 1000, clients=clients)
    took = load.run(float(seconds))
    taken = sorted(load.taken) or [0.0]
    figures = {
        "answers": len(load.taken),
        "seconds": took,
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1000,
        "failures": load.failures,
    }
    print("FIGURES", json.dumps(figures))


if __name__ == "__main__":
    main()
