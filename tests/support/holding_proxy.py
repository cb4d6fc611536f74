"""A TCP proxy that stops in the middle: the store is caught at work, without luck or sleep.

    with HoldingProxy(store.port) as proxy:      clients talk to proxy.port
        proxy.hold_after(10 << 20)               from now on, 10 MiB upwards, then nothing moves
        ...                                      proxy.held is set: it is the middle
        proxy.let_go()                           what was held is cut off; new connections pass

Bytes are passed as they are, so signatures of requests stay valid (they cover the proxy's address).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

_PIECE_BYTES = 64 << 10


class HoldingProxy:
    """One listener on loopback before one port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.held = threading.Event()
        self.refused_count = 0
        self._lock = threading.Lock()
        self._left_bytes: int | None = None
        self._gate = threading.Event()
        self._gate.set()
        self._start(self._accept)

    def hold_after(self, size_bytes: int) -> None:
        """Pass that many bytes more to the store, then hold all that moves."""
        with self._lock:
            self._left_bytes = size_bytes
            self._gate.clear()
            self.held.clear()

    def let_go(self) -> None:
        """Cut off what is held, and pass everything from now on."""
        with self._lock:
            self._left_bytes = None
            self._gate.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                store = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            except OSError:
                self.refused_count += 1
                client.close()
                continue
            store.settimeout(None)
            self._start(self._pump_up, client, store)
            self._start(self._pump, store, client)

    def _pump_up(self, source: socket.socket, sink: socket.socket) -> None:
        self._pump(source, sink, self._is_held)

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        is_held: Callable[[int], bool] = lambda _size_bytes: False,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                if is_held(len(piece)):
                    break
                sink.sendall(piece)
        for end in (source, sink):
            hang_up(end)

    def _is_held(self, size_bytes: int) -> bool:
        """Count what goes up; wait where it is too much, and say that the connection is lost."""
        with self._lock:
            if self._left_bytes is None:
                return False
            self._left_bytes -= size_bytes
            if self._left_bytes > 0:
                return False
        self.held.set()
        self._gate.wait()
        return True

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        hang_up(self._listener)


def hang_up(end: socket.socket) -> None:
    """Close it at once: by `close` alone it lives on while another thread waits on it."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
