"""How a source becomes parts: whole, in order, none empty; and how long a store wants to rest."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.s3.faults import retry_after
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


@pytest.mark.parametrize("told", ["", "soon", "-1", "1.5", "²", "٣", "1" * 7, "9" * 5000, "inf"])
def test_pause_that_is_no_plain_number_is_not_read(told: str) -> None:
    assert retry_after({"retry-after": told}) is None


def test_pause_is_read_in_seconds() -> None:
    assert retry_after({"retry-after": "120"}) == 120.0
