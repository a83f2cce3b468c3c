"""A server that speaks S3."""

from __future__ import annotations

import requests
from moto.server import ThreadedMotoServer
from pytest import fixture

from workers.object_store import open_s3


@fixture(scope="session")
def s3_url():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@fixture
def s3(s3_url, request):
    """Settings of that server, and a bucket of this test's own under `bucket`."""
    name = f"b{abs(hash(request.node.nodeid)):x}"
    requests.put(f"{s3_url}/{name}", timeout=90).raise_for_status()
    settings = {"druid.s3.endpoint.url": s3_url, "druid.s3.accessKey": "key", "druid.s3.secretKey": "secret"}
    return {**settings, "bucket": name}


@fixture
def bucket(s3):
    return open_s3(s3["bucket"], s3)
