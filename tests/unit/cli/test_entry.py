"""Goal: a server's heap is asked for on huge pages once, and whoever decided otherwise is heard."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perdure.cli.entry import with_heap_on_huge_pages


def test_what_is_asked_for_is_added_to_what_is_there() -> None:
    asked = with_heap_on_huge_pages({"HOME": "/", "GLIBC_TUNABLES": "glibc.rtld.nns=2"})
    assert asked == {
        "HOME": "/",
        "GLIBC_TUNABLES": "glibc.rtld.nns=2:glibc.malloc.hugetlb=1",
        "PYTHONMALLOC": "malloc",
    }


def test_it_is_asked_once() -> None:
    asked = with_heap_on_huge_pages({})
    assert asked is not None
    assert with_heap_on_huge_pages(asked) is None


@pytest.mark.parametrize("tunables", ["glibc.malloc.hugetlb=0", "a=1:glibc.malloc.hugetlb=2"])
def test_who_has_decided_is_heard(tunables: str) -> None:
    assert with_heap_on_huge_pages({"GLIBC_TUNABLES": tunables}) is None


def test_another_allocator_of_the_environment_stays() -> None:
    asked = with_heap_on_huge_pages({"PYTHONMALLOC": "debug"})
    assert asked is not None
    assert asked["PYTHONMALLOC"] == "debug"


def test_nothing_big_is_imported_before_a_server_starts_again() -> None:
    script = "import sys, perdure.cli.entry; print({'grpc', 'typer'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.strip() == b"set()"
