"""What the `s3` backend makes of what a store answers, or does not: scripted over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from backends import errors
from backends.base import Backend, Capability
from backends.registry import open_backend
from backends.source import CHUNK_BYTES, Source
from backends.wrap.retry import RetryingBackend, RetryPolicy
from tests.support.processes import free_port, wait_for
from tests.support.s3_scripted import Answer, Request, ScriptedStore
from tests.support.s3_server import CREDENTIALS

PART = 5 << 20


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def open_s3(at: str, **options: object) -> Backend:
    where = {"bucket": "bucket", "endpoint_url": at, "store": "versitygw"}
    return open_backend("s3", {**where, "part_size_bytes": PART, **options})


def always(answer: Answer, *operations: str) -> Callable[[Request], Answer | None]:
    return lambda request: answer if not operations or request.operation in operations else None


# Status and code of the answer -> our class, whether a retry can help, a word of the hint.
ANSWERS = [
    (403, "InvalidAccessKeyId", errors.BackendCredentialsError, "credentials"),
    (403, "SignatureDoesNotMatch", errors.BackendCredentialsError, "AWS_SECRET_ACCESS_KEY"),
    (400, "ExpiredToken", errors.BackendCredentialsError, "valid"),
    (403, "AccessDenied", errors.BackendPermissionError, "Grant"),
    (403, "RequestTimeTooSkewed", errors.BackendClockError, "clock"),
    (404, "NoSuchBucket", errors.BackendLocationError, "bucket"),
    (503, "SlowDown", errors.BackendThrottledError, "slowly"),
    (429, "TooManyRequests", errors.BackendThrottledError, "slowly"),
    (400, "BadDigest", errors.BackendChecksumError, "memory"),
    (400, "InvalidDigest", errors.BackendConfigError, "checksum"),
    (403, "QuotaExceeded", errors.BackendFullError, "quota"),
    (507, "NeverHeardOf", errors.BackendFullError, "quota"),
    (500, "InternalError", errors.BackendUnavailableError, "repeated"),
    (502, "NeverHeardOf", errors.BackendUnavailableError, "repeated"),
    (400, "AuthorizationHeaderMalformed", errors.BackendConfigError, "region"),
    (404, "XAdminUserNotFound", errors.BackendCredentialsError, "credentials"),
    (404, "NeverHeardOf", errors.BackendFailedError, "message"),
    (418, "NeverHeardOf", errors.BackendFailedError, "message"),
]


@pytest.mark.parametrize(("status", "code", "kind", "hint"), ANSWERS, ids=str)
def test_answer_is_classified_with_a_hint(
    status: int, code: str, kind: type[errors.BackendError], hint: str
) -> None:
    """The same of a put, of a listing, and of a look at a blob, whose answer has no words."""

    def script(request: Request) -> Answer:
        answer = Answer.error(status, code)
        return Answer(status) if request.method == "HEAD" else answer

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url)
        calls: list[Callable[[], object]] = [
            lambda: backend.put_bytes("a", b"data"),
            lambda: list(backend.list_blobs()),
            lambda: backend.delete("a"),
            lambda: backend.get_bytes("a", size_bytes_max=10),
        ]
        if status in {400, 401, 403, 404}:
            calls.append(lambda: backend.stat("a"))
        for call in calls:
            with pytest.raises(kind) as caught:
                call()
            assert type(caught.value) is kind
            assert hint in caught.value.hint
            assert caught.value.context["store_code"] == code
        backend.close()


@pytest.mark.timeout(60)
def test_store_says_how_long_to_wait_and_the_wrapper_waits() -> None:
    """`Retry-After` reaches the one who repeats; the SDK itself asks once."""
    answers = [Answer.error(503, "SlowDown", Retry_After="0")]

    def script(_request: Request) -> Answer | None:
        return answers.pop() if answers else None

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url)
        with pytest.raises(errors.BackendThrottledError) as caught:
            backend.put_bytes("a", b"data")
        assert caught.value.retry_after_seconds == 0
        assert store.operations() == ["put"]
        answers.append(Answer.error(503, "SlowDown", Retry_After="0"))
        hours = RetryPolicy(timeout_seconds=1e6, wait_first_seconds=1e4, wait_max_seconds=1e4)
        retrying = RetryingBackend(backend, hours)
        retrying.put_bytes("a", b"data")
        assert store.operations() == ["put"] * 3


def test_nobody_there_is_unavailable() -> None:
    backend = open_s3(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.BackendUnavailableError):
        backend.put_bytes("a", b"data")


def test_silence_is_unavailable_when_the_read_timeout_is_over() -> None:
    release = threading.Event()

    def script(_request: Request) -> None:
        release.wait()

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url, read_timeout_seconds=0.05)
        with pytest.raises(errors.BackendUnavailableError):
            backend.put_bytes("a", b"data")
        release.set()


def test_no_credentials_at_all_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with ScriptedStore() as store:
        with pytest.raises(errors.BackendCredentialsError, match="credentials") as caught:
            open_s3(store.endpoint_url).put_bytes("a", b"data")
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
        assert store.requests == []


def test_unknown_profile_is_a_configuration_error() -> None:
    with pytest.raises(errors.BackendConfigError, match="nowhere") as caught:
        open_s3("http://127.0.0.1:1", profile="nowhere")
    assert "profile" in caught.value.hint


def test_cut_off_read_is_repeated_from_where_it_broke() -> None:
    """The wrapper asks for the rest only; what comes in the end is whole."""
    data = bytes(range(256)) * 4096

    def script(request: Request) -> Answer | None:
        if request.operation != "get":
            return None
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        told = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        rest = data[begin:]
        cut = None if begin else 300_000
        return Answer(206 if begin else 200, rest, told if begin else {}, cut_after=cut)

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url)
        with pytest.raises(errors.BackendUnavailableError):
            backend.get_bytes("a", size_bytes_max=1 << 30)
        policy = RetryPolicy(wait_first_seconds=0, wait_max_seconds=0)
        retrying = RetryingBackend(backend, policy)
        store.requests.clear()
        assert retrying.get_bytes("a", size_bytes_max=1 << 30) == data
        assert len(store.requests) == 2
        assert store.requests[1].headers["range"].startswith("bytes=")


def test_another_range_than_asked_for_is_not_believed() -> None:
    """A store that ignores ranges would hand out the wrong bytes."""
    with ScriptedStore(always(Answer(200, b"0123456789"), "get")) as store:
        backend = open_s3(store.endpoint_url)
        with pytest.raises(errors.BackendFailedError, match="not from 4 on"):
            backend.open_reader("a", offset_bytes=4)


def test_listing_out_of_order_is_not_believed() -> None:
    entry = "<Contents><Key>{}</Key><Size>1</Size><LastModified>2026-11-22T00:00:00Z</LastModified></Contents>"  # noqa: E501
    listed = "".join(entry.format(key) for key in ("a/", "b", "a"))
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
    with ScriptedStore(always(Answer(200, page.encode()), "list")) as store:
        found = open_s3(store.endpoint_url).list_blobs()
        assert next(found).key == "b", "a folder's marker is no blob"
        with pytest.raises(errors.BackendFailedError, match="out of order"):
            next(found)


def test_condition_lost_in_a_race_is_a_taken_name() -> None:
    """409 while another writer is at it: taken if it won, else worth a retry."""
    conflict = Answer.error(409, "ConditionalRequestConflict")
    with ScriptedStore(always(conflict, "put")) as store:
        backend = open_s3(store.endpoint_url)
        with pytest.raises(errors.BackendUnavailableError):
            backend.put_bytes("a", b"data")
        store.script = lambda request: (
            Answer(200) if request.method == "HEAD" else always(conflict, "put")(request)
        )
        with pytest.raises(errors.BlobExistsError):
            backend.put_bytes("a", b"data")


def test_settings_reach_the_store() -> None:
    """Condition, checksum and encryption stand in the headers; a body is sent as it is."""
    body = b"data"
    with ScriptedStore() as store:
        backend = open_s3(
            store.endpoint_url,
            prefix="deep/down/",
            checksum="sha256",
            encryption="sse-kms",
            kms_key_id="key-1",
        )
        assert backend.location == f"s3://bucket/deep/down/ at {store.endpoint_url}"
        backend.put_bytes("a", body)
        (put,) = store.requests
        assert (put.path, put.body) == ("/bucket/deep/down/a", body)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert put.headers["x-amz-checksum-sha256"] == digest
        assert put.headers["if-none-match"] == "*"
        assert put.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert put.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"


def test_store_without_conditions_is_looked_at_first() -> None:
    with ScriptedStore() as store:
        backend = open_s3(store.endpoint_url, store="generic")
        assert Capability.CONDITIONAL_CREATE not in backend.capabilities
        backend.put_bytes("a", b"data")
        assert store.operations() == ["head", "put"]
        assert "if-none-match" not in store.requests[1].headers
        assert "content-md5" in store.requests[1].headers


def test_store_without_conditions_is_guarded_within_the_process() -> None:
    """Of two threads that put one name at once one wins: nobody looks while another creates."""
    second_look = threading.Event()
    stored = threading.Event()
    looks: list[Request] = []

    def script(request: Request) -> Answer | None:
        if request.operation == "put":
            stored.set()
        if request.operation != "head":
            return None
        looks.append(request)
        if len(looks) > 1:
            second_look.set()
        second_look.wait(0.5)  # without the guard the other one looks now, too
        return Answer(200) if stored.is_set() else Answer(404)

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url, store="generic")
        caught: list[BaseException] = []

        def put() -> None:
            try:
                backend.put_bytes("a", b"data")
            except errors.BackendError as exc:
                caught.append(exc)

        racers = [threading.Thread(target=put) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert [type(exc) for exc in caught] == [errors.BlobExistsError]
        assert store.operations().count("put") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bukket": "x"}, "bukket: Extra inputs are not permitted (did you mean bucket?)"),
        ({"store": "minnio"}, "store: "),
        ({"checksum": "crc99"}, "checksum: "),
        ({"part_size_bytes": 1}, "part_size_bytes: "),
        ({"endpoint_url": "minio:9000"}, "endpoint_url: "),
        ({"endpoint_url": "https://key:secret@minio:9000"}, "endpoint_url: "),
        ({"prefix": "/absolute"}, "prefix: "),
        ({"kms_key_id": "k"}, "kms_key_id needs encryption = 'sse-kms'"),
        ({"endpoint_url": None, "store": "minio"}, "needs an endpoint_url"),
    ],
)
def test_wrong_setting_is_named_before_anything_is_opened(
    options: dict[str, object], text: str
) -> None:
    with pytest.raises(errors.BackendConfigError) as caught:
        open_s3("http://127.0.0.1:1", **options)
    assert text in caught.value.message


# Parts.


def test_parts_carry_checksums_and_the_last_call_the_condition() -> None:
    data = bytes(3 * PART + 1)
    with ScriptedStore() as store:
        backend = open_s3(store.endpoint_url)
        backend.put_bytes("a", data)
        parts = sorted(
            (r for r in store.requests if r.operation == "part"),
            key=lambda r: int(r.query["partNumber"][0]),
        )
        assert [len(part.body) for part in parts] == [PART, PART, PART, 1]
        for part in parts:
            crc = base64.b64encode(zlib.crc32(part.body).to_bytes(4, "big")).decode()
            assert part.headers["x-amz-checksum-crc32"] == crc
        last = store.requests[-1]
        assert last.operation == "complete"
        assert last.headers["if-none-match"] == "*"
        assert last.body.count(b"<ChecksumCRC32>") == 4


@pytest.mark.parametrize("operation", ["part", "complete"])
def test_failed_upload_is_aborted(operation: str) -> None:
    """Once, when no part is under way any more; the error that began it reaches the caller."""
    with ScriptedStore(always(Answer.error(403, "AccessDenied"), operation)) as store:
        backend = open_s3(store.endpoint_url)
        with pytest.raises(errors.BackendPermissionError):
            backend.put_bytes("a", bytes(4 * PART))
        assert store.operations().count("abort") == 1
        assert store.operations()[-1] == "abort"


def test_abort_waits_for_the_parts_that_are_under_way() -> None:
    """A part that arrives after the abort would bring the upload to life again in some stores."""
    aborted, came_first = threading.Event(), []

    def script(request: Request) -> Answer | None:
        if request.operation == "abort":
            aborted.set()
        if request.operation != "part":
            return None
        if request.query["partNumber"] == ["2"]:
            came_first.append(aborted.wait(0.5))  # an abort that does not wait comes now
            return None
        return Answer.error(403, "AccessDenied")

    with ScriptedStore(script) as store, pytest.raises(errors.BackendPermissionError):
        open_s3(store.endpoint_url, parts_in_flight=2).put_bytes("a", bytes(4 * PART))
    assert came_first == [False]
    assert aborted.is_set()


def test_error_inside_an_answer_of_200_is_an_error() -> None:
    """Completing can take long: the store begins its answer before it knows."""
    body = Answer.error(200, "InternalError")
    with ScriptedStore(always(body, "complete")) as store:
        with pytest.raises(errors.BackendUnavailableError):
            open_s3(store.endpoint_url).put_bytes("a", bytes(PART + 1))
        assert store.operations()[-1] == "abort"


def test_completed_upload_whose_answer_was_lost_counts_as_stored() -> None:
    """The repeat finds the name taken, compares the bytes, and sends nothing again."""
    data = bytes(2 * PART)
    stored: list[bytes] = []

    def script(request: Request) -> Answer | None:
        if request.operation == "complete":
            stored.append(data)
            return Answer(200, b"<CompleteMultipartUploadResult/>", cut_after=0)
        if request.operation == "head" and stored:
            return Answer(200)
        return Answer(200, data) if request.operation == "get" and stored else None

    with ScriptedStore(script) as store:
        policy = RetryPolicy(wait_first_seconds=0, wait_max_seconds=0)
        RetryingBackend(open_s3(store.endpoint_url), policy).put_bytes("a", data)
        told = store.operations()
        assert (told.count("complete"), told.count("part"), told[-1]) == (1, 2, "get")


def test_upload_that_cannot_be_aborted_keeps_its_own_error() -> None:
    def script(request: Request) -> Answer | None:
        if request.operation == "part":
            return Answer.error(403, "QuotaExceeded")
        return Answer.error(500, "InternalError") if request.operation == "abort" else None

    with ScriptedStore(script) as store, pytest.raises(errors.BackendFullError):
        open_s3(store.endpoint_url).put_bytes("a", bytes(2 * PART))


def test_memory_is_bounded_while_the_store_hangs() -> None:
    """The source is read for the parts under way and one more, and then waits."""
    release = threading.Event()

    def script(request: Request) -> None:
        if request.operation == "part":
            release.wait()

    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            Counting.read_bytes += len(data)
            return data

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url, parts_in_flight=2)
        stream = Counting(bytes(20 * PART))
        put = threading.Thread(target=backend.put, args=("a", Source.of_stream(stream)))
        put.start()
        wait_for(lambda: store.operations().count("part") == 2, "two parts under way")
        bound = 3 * PART + CHUNK_BYTES
        wait_for(lambda: Counting.read_bytes == bound, "the source to be read as far as it may")
        assert store.operations().count("part") == 2
        release.set()
        put.join()
        assert Counting.read_bytes == 20 * PART
        assert store.operations().count("part") == 20


# The sweep.


def test_sweep_takes_old_uploads_below_its_prefix_only() -> None:
    """By the store's own clock, page after page; what is gone meanwhile is no error."""
    upload = "<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>"
    old, new = "2026-11-20T00:00:00Z", "2026-11-22T11:30:00Z"
    first = [("base/mine/old", "1", old), ("base/mine/new", "2", new), ("base/yours", "3", old)]
    second = [("base/mine/gone", "4", old), ("base/mine/old2", "5", old)]

    def script(request: Request) -> Answer | None:
        if request.operation == "abort" and request.query["uploadId"] == ["4"]:
            return Answer.error(404, "NoSuchUpload")
        if request.operation != "get" or "uploads" not in request.query:
            return None
        is_second = "key-marker" in request.query
        found = "".join(upload.format(*row) for row in (second if is_second else first))
        more = "" if is_second else "<NextKeyMarker>k</NextKeyMarker>"
        page = (
            f"<ListMultipartUploadsResult><IsTruncated>{str(not is_second).lower()}</IsTruncated>"
            f"{more}{found}</ListMultipartUploadsResult>"
        )
        return Answer(200, page.encode(), {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"})

    with ScriptedStore(script) as store:
        backend = open_s3(store.endpoint_url, prefix="base")
        assert backend.sweep_unfinished("mine/", timedelta(hours=1)) == 2
        aborted = [r.query["uploadId"][0] for r in store.requests if r.operation == "abort"]
        assert aborted == ["1", "4", "5"]


def test_file_is_put_in_longer_parts_when_there_would_be_too_many() -> None:
    """Sizes only: nothing of that length is sent."""
    from backends.s3.options import S3Options  # noqa: PLC0415 - loads the SDK
    from backends.s3.upload import PARTS_MAX, part_size_for  # noqa: PLC0415

    options = S3Options(bucket="bucket", part_size_bytes=PART)
    assert part_size_for(options, None) == PART
    assert part_size_for(options, PART * PARTS_MAX) == PART
    assert part_size_for(options, PART * PARTS_MAX + 1) == PART + 1
