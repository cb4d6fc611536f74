"""What a check of the contract works with: a private corner of a backend, and ways to complain.

Everything that a check stores lies below the bench's own prefix, so that the suite can run on a
backend in use and removes what it made. A check is a function that takes a bench, returns nothing
when the promise is kept, and raises `BrokenPromiseError` when it is not.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backends.errors import BackendError, BlobNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from backends.base import Backend, Capability
    from backends.source import Digest


class BrokenPromiseError(Exception):
    """The backend does not keep the contract; the message says how, for its operator."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and how to test it.

    Attributes:
        id: Its stable name.
        run: Tests it.
        needs: What a backend must claim for the check to make sense; None for all backends.
    """

    id: str
    run: Callable[[Bench], None]
    needs: Capability | None = None


@dataclass(slots=True)
class Bench:
    """Where one check works.

    Attributes:
        backend: What is checked.
        prefix: What every key of this check begins with; ends with `/`.
        folder: An empty local folder for files.
        random: Where all chance comes from; seeded.
    """

    backend: Backend
    prefix: str
    folder: Path
    random: random.Random = field(default_factory=random.Random)

    def key(self, name: str) -> str:
        """Return the key of that name on this bench."""
        return self.prefix + name

    def put(self, name: str, data: bytes = b"content") -> Digest:
        """Store bytes."""
        return self.backend.put_bytes(self.key(name), data)

    def get(self, name: str) -> bytes:
        """Return all bytes, however many."""
        return self.backend.get_bytes(self.key(name), size_bytes_max=1 << 40)

    def list(self, prefix: str = "", *, after: str = "") -> list[str]:
        """Return the listed names, as the backend orders them."""
        blobs = self.backend.list_blobs(self.prefix + prefix, after=after and self.prefix + after)
        return [blob.key.removeprefix(self.prefix) for blob in blobs]

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Complain unless both are equal."""
        if found != wanted:
            message = f"{what}: got {_shorten(found)}, not {_shorten(wanted)}"
            raise BrokenPromiseError(message)

    @contextlib.contextmanager
    def expect_error(self, what: str, kind: type[Exception]) -> Iterator[None]:
        """Complain unless the block raises just that kind of error."""
        try:
            yield
        except kind:
            return
        except BackendError as exc:
            message = f"{what}: got {exc.code} ({exc}), not {kind.__name__}"
            raise BrokenPromiseError(message) from exc
        message = f"{what}: went through, instead of {kind.__name__}"
        raise BrokenPromiseError(message)

    def expect_absent(self, what: str, name: str) -> None:
        """Complain if anything shows of a blob."""
        with self.expect_error(f"{what}, stat", BlobNotFoundError):
            self.backend.stat(self.key(name))
        with (
            self.expect_error(f"{what}, open", BlobNotFoundError),
            self.backend.open_reader(self.key(name)),
        ):
            pass
        self.expect(f"{what}, listing", name in self.list(), wanted=False)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"  # noqa: PLR2004
