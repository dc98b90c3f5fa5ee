"""An S3-compatible server process, with a proxy in front of it that misbehaves on request."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import requests

from raw2logit import InputError, MissingDataError
from raw2logit.datasets.download import buckets, download_dataset, read_manifest

from .archives import below, published, zipped
from .server import Answer, Cut, Server, page, sums

BUCKET = "published"
SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
OWNER = {
    "x-amz-acl": "public-read",
    "Authorization": "AWS4-HMAC-SHA256 Credential=owner/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=unchecked",
}
NAME = "WhiteCellsImages_reduced.zip"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=out,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                requests.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        else:
            pytest.fail(f"no server: {log.read_text()}")
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def bucket(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A proxy in front of an empty bucket, named by the environment."""
    for name in (*buckets._S3_CREDENTIALS, "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    address = f"http://127.0.0.1:{port}"
    requests.post(f"{address}/moto-api/reset", timeout=30).raise_for_status()
    requests.put(f"{address}/{BUCKET}", headers=OWNER, timeout=30).raise_for_status()
    with Server(upstream=port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def put(proxy: Server, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        address = f"http://127.0.0.1:{proxy.upstream}/{BUCKET}/{name}"
        requests.put(address, data=content, headers=OWNER, timeout=30).raise_for_status()


def fails(root: Path, error: type[Exception], source: str = f"s3://{BUCKET}/raw") -> str:
    with pytest.raises(error) as caught:
        download_dataset("microscopy", root, source=source)
    assert not (root / "microscopy").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def full(bucket: Server, microscopy: dict[str, bytes]) -> Server:
    listed = microscopy | {"SHA256SUMS": sums(microscopy)}
    put(bucket, {f"raw/{name}": content for name, content in listed.items()})
    return bucket


@pytest.mark.parametrize("credentials", [False, True])
def test_a_folder_with_a_list(
    root: Path,
    full: Server,
    tmp_path: Path,
    credentials: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if credentials:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    folder = download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}/raw/")
    files = below(folder)
    del files["downloaded.json"]
    assert files == published(root, "microscopy")
    assert [path.name for path in tmp_path.iterdir()] == ["microscopy"]
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.source == f"s3://{BUCKET}/raw/"
    signed = [one for one in full.requests if one.headers["Authorization"]]
    assert bool(signed) == credentials
    before = len(full.requests)
    download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}/raw/")
    assert len(full.requests) == before


def test_checksums_from_etags(
    root: Path, bucket: Server, microscopy: dict[str, bytes], tmp_path: Path
) -> None:
    put(bucket, microscopy)
    folder = download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}")
    assert published(root, "microscopy").items() <= below(folder).items()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert {archive.checksum[:4] for archive in manifest.archives} == {"md5:"}


def test_an_etag_that_is_no_checksum(
    bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upload in parts."""
    address = f"http://127.0.0.1:{bucket.upstream}/{BUCKET}/raw/a.zip"
    started = requests.post(f"{address}?uploads", headers=OWNER, timeout=30).text
    upload = started.partition("<UploadId>")[2].partition("</UploadId>")[0]
    sent = requests.put(
        address,
        params={"partNumber": 1, "uploadId": upload},
        data=zipped({}),
        headers=OWNER,
        timeout=30,
    )
    part = f"<Part><PartNumber>1</PartNumber><ETag>{sent.headers['ETag']}</ETag></Part>"
    requests.post(
        address,
        params={"uploadId": upload},
        data=f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>",
        headers=OWNER,
        timeout=30,
    ).raise_for_status()
    assert fails(tmp_path, InputError) == (
        f"s3://{BUCKET}/raw/a.zip: no checksum to verify it by: make a list in its folder with "
        "`sha256sum * > SHA256SUMS`"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("after", [0, 20_000])
def test_cut_connections(
    root: Path, full: Server, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_BLOCK_BYTES", 1 << 14)
    path = f"/{BUCKET}/raw/{NAME}"
    full.fail(path, Cut(after), Cut(5))
    folder = download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}/raw")
    assert published(root, "microscopy").items() <= below(folder).items()
    assert len({one.headers["Range"] for one in full.seen(path)}) > 2


def test_throttling(root: Path, full: Server, tmp_path: Path) -> None:
    slow_down = Answer(503, {"Content-Type": "application/xml", "Retry-After": "0"}, SLOW_DOWN)
    full.fail(f"/{BUCKET}/raw/{NAME}", slow_down, Answer(429), Answer(500))
    full.fail(f"/{BUCKET}/raw/SHA256SUMS", slow_down)
    folder = download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}/raw")
    assert published(root, "microscopy").items() <= below(folder).items()


def test_goes_on_in_the_next_call(
    full: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_BLOCK_BYTES", 1 << 14)
    path = f"/{BUCKET}/raw/{NAME}"
    with monkeypatch.context() as patch:
        real = Server.next_fault

        def after_the_first(self: Server, asked: str) -> object:
            return Cut(0) if asked == path and len(self.seen(path)) > 1 else real(self, asked)

        patch.setattr(Server, "next_fault", after_the_first)
        message = fails(tmp_path, MissingDataError)
    assert message.startswith(f"s3://{BUCKET}/raw/{NAME}: ")
    assert "tried 5 times: check the network, then repeat the command, which resumes" in message
    (part,) = (tmp_path / ".download-microscopy").glob("*.part")
    assert part.stat().st_size == 1 << 14
    full.requests.clear()
    download_dataset("microscopy", tmp_path, source=f"s3://{BUCKET}/raw")
    assert full.seen(path)[0].headers["Range"].startswith("bytes=16384-")


def test_a_wrong_checksum(full: Server, tmp_path: Path) -> None:
    put(full, {f"raw/{NAME}": b"other"})
    assert fails(tmp_path, InputError).startswith(
        f"s3://{BUCKET}/raw/{NAME}: wrong checksum: got sha256:"
    )
    assert not below(tmp_path)


def test_a_web_page(full: Server, tmp_path: Path) -> None:
    put(full, {f"raw/{NAME}": page().body})
    assert "a web page came instead of the file" in fails(tmp_path, InputError)
    assert not below(tmp_path)


def test_a_hostile_archive(bucket: Server, tmp_path: Path) -> None:
    put(bucket, {"raw/a.zip": zipped({"../evil": b""})})
    assert "a.zip: refused, nothing of it is used" in fails(tmp_path, InputError)
    assert not below(tmp_path)


def test_gone(bucket: Server, tmp_path: Path) -> None:
    assert fails(tmp_path, MissingDataError) == (
        f"s3://{BUCKET}/raw: not there, or empty: check the address given by --from"
    )
    message = fails(tmp_path, MissingDataError, "s3://no-such-bucket/raw")
    assert message.startswith("s3://no-such-bucket/raw: not there")
    assert not list(tmp_path.iterdir())


def test_access_is_refused(bucket: Server, tmp_path: Path) -> None:
    owner = {"Authorization": OWNER["Authorization"]}
    for name in ("", "/raw/SHA256SUMS"):
        address = f"http://127.0.0.1:{bucket.upstream}/private{name}"
        requests.put(address, headers=owner, timeout=30).raise_for_status()
    assert fails(tmp_path, InputError, "s3://private/raw") == (
        "s3://private/raw/SHA256SUMS: access is refused (Forbidden): check the address and the "
        "credentials in the environment"
    )


def test_no_network(bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    message = fails(tmp_path, MissingDataError)
    assert message.startswith(f"s3://{BUCKET}/raw/SHA256SUMS: ")
    assert "tried 5 times: check the network" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_PROFILE", "nobody", "The config profile (nobody) could not be found"),
        ("AWS_ENDPOINT_URL", "localhost:9000", "Invalid endpoint: localhost:9000"),
    ],
)
def test_a_wrong_setting_is_no_trouble_of_the_network(
    bucket: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert fails(tmp_path, InputError) == (
        f"s3://{BUCKET}/raw/SHA256SUMS: {words}: check the address given by --from, and the "
        "settings of its server in the environment"
    )


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    assert fails(tmp_path, InputError) == (
        f"--from s3://{BUCKET}/raw: needs pip install 'raw2logit[s3]'"
    )
