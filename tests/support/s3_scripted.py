"""A store that answers what the test says: one small HTTP server on loopback, requests recorded.

    with ScriptedStore(answer) as store:     answer(request) gives an Answer, None for the default
        store.requests                       what came, in order

The default is a friendly, forgetful store: nothing is there, every put and part is taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """Name the call of S3 that it is."""
        if self.method == "POST":
            return "create" if "uploads" in self.query else "complete"
        if self.method == "PUT":
            return "part" if "partNumber" in self.query else "put"
        if self.method == "DELETE":
            return "abort" if "uploadId" in self.query else "delete"
        if self.method == "GET" and "list-type" in self.query:
            return "list"
        return self.method.lower()


@dataclass(frozen=True)
class Answer:
    """What is answered; `cut_after` closes the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None

    @classmethod
    def error(cls, status: int, code: str, **headers: str) -> Answer:
        """An error as S3 tells it."""
        body = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, body.encode(), {"Content-Type": "application/xml", **named})


Script = Callable[[Request], Answer | None]
_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_DEFAULTS = {
    "head": Answer(404),
    "get": Answer.error(404, "NoSuchKey"),
    "put": Answer(200, headers={"ETag": '"etag"'}),
    "part": Answer(200, headers={"ETag": '"etag"'}),
    "delete": Answer(204),
    "abort": Answer(204),
    "list": Answer(
        200, f"{_XML}<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".encode()
    ),
    "create": Answer(
        200,
        f"{_XML}<InitiateMultipartUploadResult><UploadId>upload-1</UploadId>"
        "</InitiateMultipartUploadResult>".encode(),
    ),
    "complete": Answer(
        200,
        f"{_XML}<CompleteMultipartUploadResult><ETag>etag</ETag>"
        "</CompleteMultipartUploadResult>".encode(),
    ),
}


class ScriptedStore:
    """The server, in threads of this process."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or (lambda _request: None)
        self.requests: list[Request] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

            def __getattr__(self, name: str) -> object:
                if name.startswith("do_"):
                    return lambda: store._serve(self)
                raise AttributeError(name)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def operations(self) -> list[str]:
        """Name what came."""
        return [request.operation for request in self.requests]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length", "0"))
        request = Request(
            handler.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(length),
        )
        self.requests.append(request)
        answer = self.script(request) or _DEFAULTS[request.operation]
        handler.send_response_only(answer.status)  # without a Date of its own
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body[: answer.cut_after])
        if answer.cut_after is not None:
            handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
