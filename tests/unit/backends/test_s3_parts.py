"""How a source becomes parts: whole, in order, each full but the last, none empty without need."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from backends.s3.upload import read_parts
from backends.source import Source


class Dripping(io.BytesIO):
    """Answers reads in pieces of given lengths, as a pipe may."""

    def __init__(self, data: bytes, pieces: list[int]) -> None:
        super().__init__(data)
        self._pieces = pieces

    def read(self, size: int | None = -1, /) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else size
        return super().read(piece)


@given(
    data=st.binary(max_size=200),
    pieces=st.lists(st.integers(1, 50), max_size=20),
    part_size=st.integers(1, 60),
)
def test_parts_are_the_source_cut_evenly(data: bytes, pieces: list[int], part_size: int) -> None:
    transfer = Source.of_stream(Dripping(data, pieces)).start()
    parts = list(read_parts(transfer, part_size))
    assert b"".join(parts) == data
    assert all(len(part) == part_size for part in parts[:-1])
    assert len(parts) == max(1, -(-len(data) // part_size))
    assert transfer.digest.size_bytes == len(data)
