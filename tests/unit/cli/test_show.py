"""How values look in tables."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.show import show_duration, show_enum, show_size, show_time


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 50, "5.0 PiB")]
)
def test_sizes_are_in_binary_units(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0023, "2.3 ms"), (1.59, "1.6 s"), (60, "1m"), (3_725, "1h 2m"), (97_200, "1d 3h")],
)
def test_spans_are_short(seconds: float, text: str) -> None:
    assert show_duration(Duration(nanos=0, seconds=0)) == "0.0 ms"
    span = Duration()
    span.FromNanoseconds(round(seconds * 1e9))
    assert show_duration(span) == text


def test_unset_instants_are_empty_and_enums_lose_their_prefix() -> None:
    assert show_time(Timestamp()) == ""
    assert show_time(Timestamp(seconds=1)) == "1970-01-01 00:00:01Z"
    assert show_enum("PHASE_STORE") == "store"
    assert show_enum("TRIGGER_NOT_YET_KNOWN") == "not yet known"
