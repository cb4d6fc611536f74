"""Answers that no store should give (I7): pages that lie, fields that lack, meaningless bytes.

Whatever comes, a BackendError comes out, and a listing is whole or an error: what it leaves out
would be taken for gone.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from backends import errors
from backends.base import Backend
from backends.registry import open_backend
from tests.support.s3_scripted import Answer, Request, ScriptedStore
from tests.support.s3_server import CREDENTIALS

PART = 5 << 20
ROUNDS = 60


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def open_s3(store: ScriptedStore, **options: object) -> Backend:
    where = {"bucket": "bucket", "endpoint_url": store.endpoint_url, "store": "versitygw"}
    return open_backend("s3", {**where, "part_size_bytes": PART, **options})


def page_of(keys: list[str], *, more: str | None = None) -> Answer:
    """A page of a listing; `more` is the token of the next one, empty for a store without."""
    entries = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size>"
        "<LastModified>2026-11-22T00:00:00Z</LastModified></Contents>"
        for key in keys
    )
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    truncated = "false" if more is None else "true"
    body = f"<IsTruncated>{truncated}</IsTruncated>{token}{entries}"
    return Answer(200, f"<ListBucketResult>{body}</ListBucketResult>".encode())


def test_listing_goes_on_by_token() -> None:
    """The first page begins after what was asked for; the others where the token says."""

    def script(request: Request) -> Answer:
        is_second = request.query.get("continuation-token") == ["t1"]
        return page_of(["base/d"]) if is_second else page_of(["base/b", "base/c"], more="t1")

    with ScriptedStore(script) as store:
        found = [blob.key for blob in open_s3(store, prefix="base").list_blobs("", after="a")]
        assert found == ["b", "c", "d"]
        first, second = store.requests
        assert first.query["start-after"] == ["base/a"]
        assert "start-after" not in second.query


def test_listing_without_a_token_goes_on_behind_its_last_key() -> None:
    def script(request: Request) -> Answer:
        if request.query.get("start-after") == ["base/c"]:
            return page_of(["base/d"])
        return page_of(["base/b", "base/c"], more="")

    with ScriptedStore(script) as store:
        assert [b.key for b in open_s3(store, prefix="base").list_blobs()] == ["b", "c", "d"]


@pytest.mark.parametrize("more", ["", "same"])
def test_listing_that_promises_more_for_ever_is_an_error(more: str) -> None:
    with ScriptedStore(lambda _request: page_of([], more=more)) as store:
        backend = open_s3(store)
        with pytest.raises(errors.BackendFailedError, match="nothing more"):
            list(backend.list_blobs())


def test_listing_that_repeats_a_page_is_an_error() -> None:
    with ScriptedStore(lambda _request: page_of(["a", "b"], more="same")) as store:
        found = open_s3(store).list_blobs()
        assert [next(found).key, next(found).key] == ["a", "b"]
        with pytest.raises(errors.BackendFailedError, match="out of order"):
            next(found)


def test_no_foreign_exception_escapes_whatever_the_store_answers() -> None:
    """Damaged good answers, garbage, wrong fields: every call ends well or with a BackendError."""
    seed = int(os.environ.get("PERDURE_TEST_SEED", secrets.randbits(32)))
    draw = random.Random(seed)
    good = page_of(["a"]).body
    bodies = [
        b"",
        b"<",
        b"<ListBucketResult>",
        b"<Error/>",
        b"\x00\xff" * 40,
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        good.replace(b"<Size>1<", b"<Size>many<"),
        good.replace(b"2026-11-22T", b"99999-"),
        b"<InitiateMultipartUploadResult/>",
    ]

    def script(_request: Request) -> Answer:
        body = bytearray(draw.choice([*bodies, good]))
        if body and draw.random() < 0.3:
            body[draw.randrange(len(body))] = draw.randrange(256)
        status = draw.choice([200, 200, 200, 206, 204, 404, 500, 418])
        headers = draw.choice(
            [{}, {"Last-Modified": "never"}, {"ETag": "x"}, {"Content-Range": "bytes 9-1/x"}]
        )
        return Answer(status, b"" if status == 204 else bytes(body), headers)

    with ScriptedStore(script) as store:
        backend = open_s3(store)
        calls: list[Callable[[], object]] = [
            lambda: backend.put_bytes("a", b"data"),
            lambda: backend.put_bytes("a", bytes(PART + 1)),
            lambda: list(backend.list_blobs()),
            lambda: backend.stat("a"),
            lambda: backend.delete("a"),
            lambda: backend.get_bytes("a", size_bytes_max=1 << 20),
            lambda: backend.open_reader("a", offset_bytes=3, length_bytes=2).read(2),
        ]
        for _ in range(ROUNDS):
            try:
                draw.choice(calls)()
            except errors.BackendError:
                pass
            except Exception as exc:
                raise AssertionError(f"seed {seed}: {exc!r} escaped") from exc


def test_page_of_a_proxy_is_no_empty_bucket() -> None:
    html = Answer(200, b"<html><p>Sign in</p></html>", {"Content-Type": "text/html"})
    with ScriptedStore(lambda _request: html) as store:
        with pytest.raises(errors.BackendFailedError, match="no listing") as caught:
            list(open_s3(store).list_blobs())
        assert "endpoint_url" in caught.value.hint


def test_new_credentials_are_taken_up_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are rotated: the store knows the old one no more, and the file has the new one."""
    file = tmp_path / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = secret\n"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text(text.format("OLDKEY"))

    def script(request: Request) -> Answer | None:
        is_old = "OLDKEY" in request.headers["authorization"]
        return Answer.error(403, "InvalidAccessKeyId") if is_old else None

    with ScriptedStore(script) as store:
        backend = open_s3(store)
        with pytest.raises(errors.BackendCredentialsError):
            backend.put_bytes("a", b"data")
        file.write_text(text.format("NEWKEY"))
        backend.put_bytes("a", b"data")
