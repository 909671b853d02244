"""Bytes in an S3-compatible store: the contract of a FileStore, against a local one."""

import itertools
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.contracts import contract
from tests.files import file_store_contract
from tests.files.file_store_contract import KEY, LARGE, Broken, breaking, chunks_of, read

from understudy.files import store
from understudy.files.base import FileFault, NoBytes
from understudy.files.store import UrlFileStore

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{next(_numbers)}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
def files(bucket: str) -> UrlFileStore:
    return UrlFileStore(f"s3://{bucket}/under/study")


def keys(endpoint: str, bucket: str) -> list[str]:
    found = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=bucket)
    return [item["Key"] for item in found.get("Contents", [])]


globals().update(contract(file_store_contract))


async def test_all_keys_lie_below_the_prefix(files: UrlFileStore, endpoint: str, bucket: str) -> None:
    await files.put(KEY, chunks_of(b"x"))
    assert keys(endpoint, bucket) == [f"under/study/{KEY}"]
    assert await read(UrlFileStore(f"s3://{bucket}/under/study/")) == b"x"
    with pytest.raises(NoBytes):
        await UrlFileStore(f"s3://{bucket}").get(KEY)


async def test_what_breaks_midway_is_taken_back(files: UrlFileStore, endpoint: str, bucket: str) -> None:
    with pytest.raises(Broken):
        await files.put(KEY, breaking(b"x" * LARGE))
    client = boto3.client("s3", endpoint_url=endpoint)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


async def test_a_bucket_that_is_not_there(bucket: str) -> None:
    with pytest.raises(FileFault, match=f"the file store at s3://no-{bucket}, which failed"):
        await UrlFileStore(f"s3://no-{bucket}").put(KEY, chunks_of(b"x"))


async def test_a_server_that_is_not_there(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(store, "RETRY_S", 0)
    with pytest.raises(FileFault, match="which failed"):
        await UrlFileStore(f"s3://{bucket}").put(KEY, chunks_of(b"x"))


async def test_a_url_that_leads_nowhere() -> None:
    with pytest.raises(FileFault, match=r"the file store at s3://, which failed: .*recognise"):
        await UrlFileStore("s3://").get(KEY)


async def test_its_health(files: UrlFileStore, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await files.check()
    assert files.kind == "s3"
    monkeypatch.setattr(store, "RETRY_S", 0)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FileFault, match=f"This needs the file store at s3://{bucket}"):
        await UrlFileStore(f"s3://{bucket}").check()
