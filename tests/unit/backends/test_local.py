"""The local backend beyond the contract: the folder, links, leftovers, errors of the system."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends import durable, errors
from backends.durable import TEMPORARY_PREFIX
from backends.local import LocalBackend, LocalOptions
from backends.source import Digest, Source


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    yield
    durable.set_step_hook(None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend(LocalOptions(path=root))


def fail_steps(number: int, step: str) -> None:
    def hook(name: str) -> None:
        if name == step:
            raise OSError(number, os.strerror(number))

    durable.set_step_hook(hook)


def test_key_is_the_path_below_the_folder(backend: LocalBackend, root: Path) -> None:
    backend.put_bytes("name/uid/blob.json", b"content")
    path = root / "name" / "uid" / "blob.json"
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert backend.location == str(root)


def test_deletion_removes_empty_folders_but_never_the_root(
    backend: LocalBackend, root: Path
) -> None:
    backend.put_bytes("a/b/c", b"")
    backend.put_bytes("a/d", b"")
    backend.delete("a/b/c")
    assert sorted(path.name for path in root.rglob("*")) == ["a", "d"]
    backend.delete("a/d")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("step", ["durable.written", "durable.synced"])
def test_full_disk_is_no_space_and_leaves_no_blob(
    step: str, backend: LocalBackend, root: Path
) -> None:
    fail_steps(errno.ENOSPC, step)
    with pytest.raises(errors.BackendFullError) as caught:
        backend.put_bytes("a/blob", b"content")
    assert caught.value.context["key"] == "a/blob"
    assert not [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("number", "kind", "is_retryable"),
    [
        (errno.EACCES, errors.BackendPermissionError, False),
        (errno.EROFS, errors.BackendPermissionError, False),
        (errno.EDQUOT, errors.BackendFullError, False),
        (errno.EFBIG, errors.BackendFullError, False),
        (errno.ESTALE, errors.BackendUnavailableError, True),
        (errno.EMFILE, errors.BackendUnavailableError, True),
        (errno.EIO, errors.BackendFailedError, False),
        (errno.ENOTSUP, errors.BackendFailedError, False),
    ],
)
def test_errors_of_the_system_are_classified(
    number: int, kind: type[errors.BackendError], *, is_retryable: bool, backend: LocalBackend
) -> None:
    fail_steps(number, "durable.synced")
    with pytest.raises(errors.BackendError) as caught:
        backend.put_bytes("blob", b"content")
    assert type(caught.value) is kind
    assert caught.value.is_retryable is is_retryable
    assert isinstance(caught.value.__cause__, OSError)
    assert os.strerror(number) in caught.value.message


def test_put_whose_last_sync_failed_may_show_but_is_whole(backend: LocalBackend) -> None:
    fail_steps(errno.EIO, "durable.named")
    with pytest.raises(errors.BackendFailedError):
        backend.put_bytes("blob", b"content")
    assert backend.get_bytes("blob", size_bytes_max=100) == b"content"


def test_lost_folder_is_unavailable_and_not_an_empty_backend(
    backend: LocalBackend, root: Path
) -> None:
    """A mount that went away must not look as if every blob had been deleted."""
    backend.put_bytes("a/blob", b"content")
    root.rename(root.with_name("elsewhere"))
    for call in (
        lambda: backend.put_bytes("a/other", b""),
        lambda: backend.stat("a/blob"),
        lambda: backend.open_reader("a/blob"),
        lambda: list(backend.list_blobs()),
        lambda: backend.delete("a/blob"),
        backend.sweep,
    ):
        with pytest.raises(errors.BackendUnavailableError) as caught:
            call()
        assert caught.value.is_retryable
    assert not root.exists()


def test_missing_folder_is_made_only_when_asked_for(root: Path) -> None:
    with pytest.raises(errors.BackendUnavailableError, match=str(root)):
        LocalBackend(LocalOptions(path=root / "deep", create=False))
    assert not root.exists()
    LocalBackend(LocalOptions(path=root / "deep"))
    assert (root / "deep").is_dir()


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(errors.BackendFailedError):
            LocalBackend(LocalOptions(path=path))


def test_links_do_not_lead_out_of_the_folder(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside)
    (root / "file-link").symlink_to(outside / "secret")
    backend.put_bytes("z", b"")
    for call in (
        lambda: backend.put_bytes("link/new", b"bad"),
        lambda: backend.put_bytes("link/deep/new", b"bad"),
        lambda: backend.stat("link/secret"),
        lambda: backend.open_reader("link/secret"),
        lambda: backend.delete("link/secret"),
        lambda: backend.open_reader("file-link"),
        lambda: backend.stat("file-link"),
    ):
        with pytest.raises((errors.BackendPermissionError, errors.BlobNotFoundError)):
            call()
    assert [blob.key for blob in backend.list_blobs()] == ["z"]
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_key_below_or_above_a_blob_is_refused(backend: LocalBackend) -> None:
    backend.put_bytes("a/b", b"content")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(errors.InvalidKeyError):
            backend.put_bytes(key, b"other")
        with pytest.raises(errors.BlobNotFoundError):
            backend.stat(key)
        with pytest.raises(errors.BlobNotFoundError):
            backend.open_reader(key)
        backend.delete(key)
    assert backend.get_bytes("a/b", size_bytes_max=100) == b"content"


def test_opening_sweeps_leftovers_and_spares_everything_else(
    backend: LocalBackend, root: Path
) -> None:
    backend.put_bytes("a/blob", b"content")
    (root / "a" / f"{TEMPORARY_PREFIX}0123").write_bytes(b"half")
    (root / f"{TEMPORARY_PREFIX}4567").write_bytes(b"half")
    (root / "left" / "empty").mkdir(parents=True)
    (root / "lost+found").write_bytes(b"not ours")
    LocalBackend(LocalOptions(path=root))
    assert sorted(path.name for path in root.rglob("*")) == ["a", "blob", "lost+found"]
    assert [blob.key for blob in backend.list_blobs()] == ["a/blob"]


def test_sweep_during_a_put_does_not_disturb_it(backend: LocalBackend) -> None:
    """Another process that shares the folder starts while this one writes."""
    swept: list[int] = []
    durable.set_step_hook(lambda name: swept.append(backend.sweep()) if "written" in name else None)
    backend.put_bytes("a/b/blob", b"content")
    assert swept == [0]
    assert backend.get_bytes("a/b/blob", size_bytes_max=100) == b"content"


def test_pruning_next_door_does_not_disturb_a_put(backend: LocalBackend) -> None:
    """Threads put and delete in one folder, which comes and goes all the time."""

    def work(number: int) -> None:
        for turn in range(15):
            key = f"shared/deep/{number}-{turn}"
            backend.put_bytes(key, key.encode())
            assert backend.get_bytes(key, size_bytes_max=100) == key.encode()
            backend.delete(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(backend.list_blobs()) == []


def test_truncated_blob_is_corrupt_and_not_shorter(backend: LocalBackend, root: Path) -> None:
    backend.put_bytes("blob", bytes(1000))
    with backend.open_reader("blob") as reader:
        os.truncate(root / "blob", 600)
        assert len(reader.read(1000)) == 600
        with pytest.raises(errors.BlobCorruptError):
            reader.read(1000)


def test_special_files_are_no_blobs(backend: LocalBackend, root: Path) -> None:
    """A pipe with no writer must not hang the reader."""
    os.mkfifo(root / "pipe")
    with pytest.raises(errors.BlobNotFoundError):
        backend.open_reader("pipe")
    with pytest.raises(errors.BlobNotFoundError):
        backend.stat("pipe")
    assert list(backend.list_blobs()) == []


def test_put_that_has_begun_does_not_begin_again(backend: LocalBackend, root: Path) -> None:
    """Somebody removes the folder under a put: an error, not a second try with an empty stream."""

    class Stream(io.BytesIO):
        def close(self) -> None:
            """Stay readable, so that a second reading would find an empty stream."""

    removed: list[str] = []

    def remove_folder(step: str) -> None:
        if step == "durable.synced" and not removed:
            removed.append(step)
            shutil.rmtree(root / "a")

    durable.set_step_hook(remove_folder)
    with pytest.raises(errors.BackendUnavailableError):
        backend.put("a/blob", Source.of_stream(Stream(b"content")))
    assert list(backend.list_blobs()) == []


def test_errors_of_the_destination_are_not_the_backends(
    backend: LocalBackend, tmp_path: Path
) -> None:
    backend.put_bytes("blob", b"content")
    expected = Digest.of_bytes(b"content")
    with pytest.raises(FileNotFoundError):
        backend.get_file("blob", tmp_path / "missing" / "file", expected)
    (tmp_path / "taken").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        backend.get_file("blob", tmp_path / "taken", expected)
    assert (tmp_path / "taken").read_bytes() == b"old"


def test_a_blob_gets_a_second_name_and_no_second_copy(tmp_path: Path) -> None:
    backend = LocalBackend(LocalOptions(path=tmp_path / "root"))
    backend.put_bytes("a/b", b"bytes")
    link = tmp_path / "link"
    assert backend.link_to("a/b", link)
    assert link.samefile(tmp_path / "root/a/b")
    backend.delete("a/b")
    assert link.read_bytes() == b"bytes", "a deletion of the blob leaves the other name"
    with pytest.raises(errors.BlobNotFoundError):
        backend.link_to("a/b", tmp_path / "other")
    with pytest.raises(errors.BlobNotFoundError):
        backend.link_to("a", tmp_path / "other")


def test_where_no_link_can_be_the_answer_is_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LocalBackend(LocalOptions(path=tmp_path / "root"))
    backend.put_bytes("a", b"bytes")

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert not backend.link_to("a", tmp_path / "link")
