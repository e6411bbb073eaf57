"""A network between Reelhook and its database that can swallow everything: connections stay, nothing comes through."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class BlackHole:
    """Forwards TCP connections to a port of this machine, until it is told to swallow them."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        for one in [self._listener, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def swallow(self) -> None:
        """Let nothing through in either direction; new connections are taken, and hear nothing."""
        self._open.clear()

    def forget_and_forward(self) -> None:
        """Forward new connections; the old ones stay dead, as after a failover. What they swallowed is gone."""
        dead, self._sockets = self._sockets, []
        self._dead = dead
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            if self._open.is_set():
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass bytes on as long as nothing is swallowed; from then on nothing, for ever."""
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self._open.is_set():
                    threading.Event().wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
