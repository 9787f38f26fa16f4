"""An object store on this machine that speaks S3's protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def object_store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system of a server with a new bucket; the environment names its address and its credentials."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-a-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-a-test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # of another server
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.makedirs(bucket, exist_ok=True)
    yield system
    server.stop()
