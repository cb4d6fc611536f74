"""Real S3-compatible servers for tests: versitygw as a process, moto in a thread of this one.

    with VersityGateway(folder) as store:        kill(), start() again; freeze(), thaw()
        store.make_bucket("bucket")

versitygw is the real one: it checks signatures and conditions, also under a race. moto answers the
same calls from memory and accepts any secret. What a test starts it ends, by pid.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.go_tools import VERSITYGW, go_tool
from tests.support.processes import START_SECONDS, free_port, wait_for

ACCESS_KEY = "perdure-test"
SECRET_KEY = "perdure-test-secret"  # noqa: S105 - of a server of the test's own
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server:
    """An endpoint, and a client of the test's own."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url

    def client(self) -> Any:
        """Make a client that gives up soon; close it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket, unless it is there."""
        client = self.client()
        try:
            client.create_bucket(Bucket=bucket)
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in {
                "BucketAlreadyOwnedByYou",
                "BucketAlreadyExists",
            }:
                raise
        finally:
            client.close()

    def uploads(self, bucket: str) -> list[str]:
        """List the keys of unfinished uploads, wherever in the bucket."""
        client = self.client()
        try:
            page = client.list_multipart_uploads(Bucket=bucket)
        finally:
            client.close()
        return [upload["Key"] for upload in page.get("Uploads", [])]

    def keys(self, bucket: str) -> list[str]:
        """List the objects of a bucket."""
        client = self.client()
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        finally:
            client.close()


class VersityGateway(S3Server):
    """versitygw over a folder, on one port for its whole life, however often it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "objects"
        self.folder.mkdir(parents=True)
        self.log = folder / "versitygw.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        """Start it, at first or after a kill, and wait until it answers."""
        command = [str(go_tool(VERSITYGW)), "--port", f"127.0.0.1:{self.port}", "--quiet"]
        environment = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "posix", str(self.folder)],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        try:
            wait_for(self._is_up, "versitygw to answer", START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"versitygw ended: {self.log.read_text()[-2000:]}")
        client = self.client()
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        else:
            return True
        finally:
            client.close()

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP): connections stay open, nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as a crash; its folder stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """Run moto's server in a thread of this process, on a free port."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second to import

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()
