"""Web servers with habits of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from raw2logit import InputError
from raw2logit.datasets.download import download_dataset, stores, transfer
from raw2logit.datasets.download.web import HttpStore

from .archives import below, published
from .server import RECORD, Answer, Cut, Endless, Server, throttle

NAME = "raw_scale100.zip"


@pytest.mark.parametrize(
    "answer", [Answer(501), Answer(405), Answer(200, {"Content-Length": "0"}), Answer(403)]
)
def test_no_size_from_head(
    root: Path, server: Server, microscopy: dict[str, bytes], tmp_path: Path, answer: Answer
) -> None:
    address = server.publish_mirror(microscopy)
    server.heads[f"/mirror/{NAME}"] = answer
    totals = set()
    folder = download_dataset(
        "microscopy",
        tmp_path,
        source=address,
        progress=lambda task, _, total: totals.add(total) if "fetching" in task else None,
    )
    assert published(root, "microscopy").items() <= below(folder).items()
    assert len(server.seen(f"/mirror/{NAME}", "HEAD")) == 1
    assert totals == {0}  # not the sum of those that are known


def test_a_server_that_never_ends(
    server: Server, microscopy: dict[str, bytes], tmp_path: Path
) -> None:
    server.publish_record(microscopy)
    path = f"{RECORD}/files/{NAME}/content"
    server.fail_always(path, Endless())
    with pytest.raises(InputError) as caught:
        download_dataset("microscopy", tmp_path)
    assert str(caught.value) == (
        f"{server.url}{path}: sends more than the {len(microscopy[NAME])} bytes that are expected: "
        "name another place with --from URL"
    )
    for part in (tmp_path / ".download-microscopy").glob("*.part"):
        assert part.stat().st_size <= len(microscopy[NAME])


def test_another_version_in_spite_of_if_range(server: Server, tmp_path: Path) -> None:
    """The part that comes is of another file than the part that is there."""
    old, new = b"old" * 9000, b"new" * 9000
    server.files["/a"] = new
    server.heeds_if_range = False
    part = tmp_path / "a.part"
    part.write_bytes(old[:5000])
    part.with_suffix(".tag").write_text('"old"')
    checksum = f"sha256:{transfer.hashlib.sha256(new).hexdigest()}"
    file = transfer.RemoteFile("a", f"{server.url}/a", len(new), checksum)
    told: list[int] = []
    transfer.fetch(HttpStore(), file, part, lambda done, _: told.append(done))
    assert part.read_bytes() == new
    assert told[0] == 0  # told by the version, before all of it came
    assert [(one.headers["Range"], one.status) for one in server.requests] == [
        ("bytes=5000-", 206),
        (None, 200),
    ]


@pytest.mark.parametrize("tag", ["", "\x00\x00", "\xff\n"])
def test_a_version_that_a_power_cut_broke(server: Server, tmp_path: Path, tag: str) -> None:
    content = b"content" * 9000
    server.files["/a"] = content
    part = tmp_path / "a.part"
    part.write_bytes(content[:5000])
    part.with_suffix(".tag").write_bytes(tag.encode("latin-1"))
    checksum = f"sha256:{transfer.hashlib.sha256(content).hexdigest()}"
    file = transfer.RemoteFile("a", f"{server.url}/a", len(content), checksum)
    transfer.fetch(HttpStore(), file, part, lambda *_: None)
    assert [one.status for one in server.requests] == [206]


@pytest.mark.parametrize("retry_after", ["inf", "1e400", "nan"])
def test_no_time_to_wait(
    server: Server,
    microscopy: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    retry_after: str,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(stores.time, "sleep", waits.append)
    server.wait_s = 0
    address = server.publish_mirror(microscopy)
    server.fail(f"/mirror/{NAME}", throttle(retry_after), Cut(10))
    download_dataset("microscopy", tmp_path, source=address)
    assert stores.FIRST_WAIT_S * 0.7 < max(waits) < 1
