"""What goes wrong on the way: each case has its end and its message, and leaves no half file."""

from __future__ import annotations

import errno
import json
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from requests.adapters import HTTPAdapter

from raw2logit import InputError, MissingDataError
from raw2logit.datasets.download import DOI, disk, download_dataset, stores, transfer

from .archives import below, published, zipped
from .server import RECORD, Answer, Cut, Server, page, throttle

NAME = "raw_scale100.zip"


@pytest.fixture(params=["record", "mirror"])
def place(request: pytest.FixtureRequest, server: Server, microscopy: dict[str, bytes]) -> Place:
    """Serve the data set from the record and from a mirror."""
    return Place(server, microscopy, request.param)


class Place:
    def __init__(self, server: Server, files: dict[str, bytes], kind: str) -> None:
        self.server = server
        self.files = files
        self.source: str | None = None
        if kind == "record":
            server.publish_record(files)
        else:
            self.source = server.publish_mirror(files)

    def path(self, name: str = NAME) -> str:
        return f"{RECORD}/files/{name}/content" if self.source is None else f"/mirror/{name}"

    def url(self, name: str = NAME) -> str:
        return self.server.url + self.path(name)

    def download(self, root: Path) -> Path:
        return download_dataset("microscopy", root, source=self.source)

    def fails(self, root: Path, error: type[Exception] = InputError) -> str:
        """Return the message of a download that must fail, and leaves nothing in the layout."""
        with pytest.raises(error) as caught:
            self.download(root)
        assert not (root / "microscopy").exists()
        message = str(caught.value)
        assert "\n" not in message
        return message


def parts(root: Path) -> list[int]:
    """Return the sizes of what lies in the staging folder as a part."""
    return [path.stat().st_size for path in (root / ".download-microscopy").glob("*.part")]


class TestThrottling:
    @pytest.mark.parametrize(
        "retry_after",
        ["0", "0.01", format_datetime(datetime.now(UTC) - timedelta(days=1)), "later"],
    )
    def test_waits_as_long_as_it_is_told(
        self,
        root: Path,
        place: Place,
        tmp_path: Path,
        retry_after: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(stores, "time", SimpleNamespace(sleep=waits.append))
        place.server.fail(place.path(), throttle(retry_after), Answer(503, {"Retry-After": "7"}))
        place.download(tmp_path)
        assert published(root, "microscopy").items() <= below(tmp_path / "microscopy").items()
        assert len(waits) == 2
        expected = {"0.01": 0.01, "later": pytest.approx(stores.FIRST_WAIT_S, rel=0.3)}
        assert waits == [expected.get(retry_after, 0), 7]

    def test_the_list_is_asked_for_again(self, place: Place, tmp_path: Path) -> None:
        listing = RECORD if place.source is None else "/mirror/SHA256SUMS"
        place.server.fail(listing, throttle("0"), Answer(502), Cut(10))
        place.download(tmp_path)
        assert [one.status for one in place.server.seen(listing)] == [429, 502, 200, 200]

    def test_a_date_in_the_future(self, place: Place, tmp_path: Path) -> None:
        date = datetime.now(UTC) + timedelta(hours=1)
        place.server.fail(place.path(), throttle(format_datetime(date, usegmt=True)))
        message = place.fails(tmp_path, MissingDataError)
        assert message.startswith(f"{place.url()}: too many requests (HTTP 429): it asks to wait ")
        assert message.endswith(" s: repeat the command then; it resumes")
        assert len(place.server.seen(place.path())) == 1

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (throttle("0"), "too many requests (HTTP 429)"),
            (Answer(503), "the server has trouble (HTTP 503)"),
            (Cut(0), "the connection broke"),
        ],
    )
    def test_ends_some_time(
        self, place: Place, tmp_path: Path, fault: Answer | Cut, words: str
    ) -> None:
        place.server.fail_always(place.path(), fault)
        message = place.fails(tmp_path, MissingDataError)
        assert message.startswith(f"{place.url()}: {words}")
        assert message.endswith(
            "tried 5 times: check the network, then repeat the command, which resumes, or name "
            "another place with --from URL"
        )
        assert len(place.server.seen(place.path())) == stores.TRIES == 5
        assert parts(tmp_path) == []


class TestCutConnections:
    def test_goes_on_where_it_was(self, root: Path, place: Place, tmp_path: Path) -> None:
        place.server.fail(place.path(), Cut(5000), Cut(3000))
        place.download(tmp_path)
        first, second, third = place.server.seen(place.path())
        assert first.headers["Range"] is None
        assert (second.headers["Range"], third.headers["Range"]) == ("bytes=5000-", "bytes=8000-")
        assert second.headers["If-Range"] == third.headers["If-Range"]
        assert second.headers["If-Range"].startswith('"')
        assert [one.status for one in (first, second, third)] == [200, 206, 206]
        assert published(root, "microscopy").items() <= below(tmp_path / "microscopy").items()

    def test_goes_on_in_the_next_call(self, place: Place, tmp_path: Path) -> None:
        place.server.fail(place.path(), Cut(5000), *[Cut(0)] * 4)
        place.fails(tmp_path, MissingDataError)
        assert parts(tmp_path) == [5000]
        place.server.requests.clear()
        place.download(tmp_path)
        (only,) = place.server.seen(place.path())
        assert only.headers["Range"] == "bytes=5000-"
        assert [path.name for path in tmp_path.iterdir()] == ["microscopy"]

    def test_as_often_as_it_takes_while_bytes_come(self, place: Place, tmp_path: Path) -> None:
        place.server.fail(place.path(), *[Cut(400)] * 12)
        place.download(tmp_path)
        assert len(place.server.seen(place.path())) == 13

    def test_a_server_without_ranges(self, root: Path, place: Place, tmp_path: Path) -> None:
        place.server.ranges = place.server.etags = False
        place.server.fail(place.path(), Cut(5000), Cut(3000))
        place.download(tmp_path)
        assert [one.status for one in place.server.seen(place.path())] == [200, 200, 200]
        assert published(root, "microscopy").items() <= below(tmp_path / "microscopy").items()

    def test_a_server_without_ranges_that_always_breaks(self, place: Place, tmp_path: Path) -> None:
        place.server.ranges = False
        place.server.fail_always(place.path(), Cut(5000))
        message = place.fails(tmp_path, MissingDataError)
        assert "the connection broke" in message
        assert len(place.server.seen(place.path())) == 5
        assert parts(tmp_path) == [5000]

    def test_another_version_begins_anew(self, place: Place, tmp_path: Path) -> None:
        place.server.fail(place.path(), Cut(5000), *[Cut(0)] * 4)
        place.fails(tmp_path, MissingDataError)
        (tag,) = (tmp_path / ".download-microscopy").glob("*.tag")
        tag.write_text('"of another version"')
        place.server.requests.clear()
        place.download(tmp_path)
        (only,) = place.server.seen(place.path())
        assert (only.headers["If-Range"], only.status) == ('"of another version"', 200)

    def test_a_part_that_is_no_part_of_it(self, place: Place, tmp_path: Path) -> None:
        """The first bytes are wrong, which only the checksum tells."""
        place.server.etags = False
        place.server.fail(place.path(), Cut(5000), *[Cut(0)] * 4)
        place.fails(tmp_path, MissingDataError)
        (part,) = (tmp_path / ".download-microscopy").glob("*.part")
        for content in (bytes(5000), bytes(len(place.files[NAME])), bytes(10**6)):
            part.write_bytes(content)
            place.server.requests.clear()
            place.download(tmp_path)
            assert place.server.seen(place.path())[-1].headers["Range"] is None
            shutil.rmtree(tmp_path / "microscopy")
            part.parent.mkdir()

    def test_a_part_that_is_all(self, place: Place, tmp_path: Path) -> None:
        place.server.fail(place.path(), Cut(5000), *[Cut(0)] * 4)
        place.fails(tmp_path, MissingDataError)
        (part,) = (tmp_path / ".download-microscopy").glob("*.part")
        part.write_bytes(place.files[NAME])
        place.server.requests.clear()
        place.download(tmp_path)
        assert not place.server.seen(place.path())

    @pytest.mark.parametrize("extra", [0, 9])
    def test_nothing_is_left_to_send(self, server: Server, tmp_path: Path, extra: int) -> None:
        """HTTP 416, where the size of the file was not known."""
        content = b"12345" * 1000
        server.files["/a"] = content
        part = tmp_path / "a.part"
        part.write_bytes(content + bytes(extra))
        checksum = f"md5:{transfer.hashlib.md5(content).hexdigest()}"
        file = transfer.RemoteFile("a", f"{server.url}/a", None, checksum)
        from raw2logit.datasets.download.web import HttpStore

        transfer.fetch(HttpStore(), file, part, lambda *_: None)
        assert part.read_bytes() == content
        assert [one.status for one in server.requests] == ([416] if not extra else [416, 200])


class TestWrongContent:
    def test_checksum(self, place: Place, tmp_path: Path) -> None:
        wrong = bytearray(place.files[NAME])
        wrong[100] ^= 1
        place.server.files[place.path()] = bytes(wrong)
        message = place.fails(tmp_path)
        assert message.startswith(f"{place.url()}: wrong checksum: got ")
        assert message.endswith(": repeat the command, or name another place with --from URL")
        assert parts(tmp_path) == []
        place.server.files[place.path()] = place.files[NAME]
        place.download(tmp_path)

    def test_size(self, server: Server, microscopy: dict[str, bytes], tmp_path: Path) -> None:
        server.publish_record(microscopy)
        path = f"{RECORD}/files/{NAME}/content"
        size = len(microscopy[NAME])
        for content in (microscopy[NAME][:-1], microscopy[NAME] + b"1"):
            server.files[path] = content
            with pytest.raises(InputError, match=f"has {len(content)} bytes, but {size} are exp"):
                download_dataset("microscopy", tmp_path)
            assert parts(tmp_path) == []

    @pytest.mark.parametrize(
        "answer",
        [
            page(),
            Answer(200, {"Content-Type": "text/html"}, b"<p>hello"),
            Answer(200, {}, b"<HTML>"),
        ],
    )
    def test_a_web_page(self, place: Place, tmp_path: Path, answer: Answer) -> None:
        size = len(place.files[NAME])
        padded = Answer(200, answer.headers, answer.body.ljust(size))
        place.server.fail(place.path(), padded)
        message = place.fails(tmp_path)
        assert message == (
            f"{place.url()}: a web page came instead of the file: open the address in a browser to "
            "see what it says, or name another place with --from URL"
        )
        assert parts(tmp_path) == []
        place.download(tmp_path)

    def test_a_web_page_for_the_list(self, place: Place, tmp_path: Path) -> None:
        listing = RECORD if place.source is None else "/mirror/SHA256SUMS"
        place.server.fail(listing, page())
        assert "a web page came instead of the file" in place.fails(tmp_path / "data")
        assert not list(tmp_path.iterdir())

    def test_no_record(self, server: Server, tmp_path: Path) -> None:
        for content in (b"{", b"[1]", b"{}", json.dumps({"files": [{"key": "a"}]}).encode()):
            server.files[RECORD] = content
            with pytest.raises(InputError) as caught:
                download_dataset("drone", tmp_path / "data")
            assert str(caught.value).startswith(f"{server.url}{RECORD}: no ")
        assert not list(tmp_path.iterdir())


class TestGone:
    @pytest.mark.parametrize("status", [404, 410])
    def test_the_record(self, server: Server, tmp_path: Path, status: int) -> None:
        server.fail_always(RECORD, Answer(status, {}, b'{"status": 1}'))
        with pytest.raises(MissingDataError) as caught:
            download_dataset("drone", tmp_path / "data")
        assert str(caught.value) == (
            f"the record with DOI {DOI} is not there any more ({server.url}{RECORD}: not there "
            f"(HTTP {status})): name a mirror with --from URL"
        )
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_file(self, place: Place, tmp_path: Path, status: int) -> None:
        place.server.fail_always(place.path(), Answer(status))
        message = place.fails(tmp_path, MissingDataError)
        assert message == f"{place.url()}: not there (HTTP {status})"

    @pytest.mark.parametrize("status", [401, 403])
    def test_forbidden(self, place: Place, tmp_path: Path, status: int) -> None:
        place.server.fail_always(place.path(), Answer(status))
        message = place.fails(tmp_path)
        assert message.startswith(f"{place.url()}: access is refused (HTTP {status}): check ")


class TestNoNetwork:
    def test_a_closed_port(self, tmp_path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}/mirror"
        with pytest.raises(MissingDataError) as caught:
            download_dataset("drone", tmp_path / "data", source=address)
        assert str(caught.value) == (
            f"{address}/SHA256SUMS: no connection (connection refused): tried 5 times: check the "
            "network, then repeat the command, which resumes, or name another place with --from URL"
        )
        assert not list(tmp_path.iterdir())

    def test_a_name_that_is_not_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(
            MissingDataError, match=r"no connection \(the name of the server is not"
        ):
            download_dataset("drone", tmp_path / "data", source="http://mirror.invalid/a")
        assert not list(tmp_path.iterdir())

    def test_every_request_has_a_timeout(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        timeouts = []
        send = HTTPAdapter.send

        def note(self: HTTPAdapter, *args: object, **options: object) -> object:
            timeouts.append(options["timeout"])
            return send(self, *args, **options)

        monkeypatch.setattr(HTTPAdapter, "send", note)
        place.download(tmp_path)
        assert len(timeouts) == len(place.server.requests)
        assert set(timeouts) == {stores.TIMEOUT_S}

    def test_a_server_that_falls_silent(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from raw2logit.datasets.download import web

        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setattr(web, "TIMEOUT_S", (1.0, 0.05))
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/mirror"
            with pytest.raises(MissingDataError, match=r"no connection \(no answer in time\)"):
                download_dataset("drone", tmp_path / "data", source=address)


class TestFullDisk:
    def test_before(self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        message = place.fails(tmp_path)
        needed = disk.in_units(sum(map(len, place.files.values())))
        assert message.startswith(
            f"{tmp_path}/.download-microscopy: the download needs {needed}, but 1.0 kB are free: "
            "free "
        )
        assert message.endswith(" more, or choose another --root")
        assert not place.server.seen(place.path())
        assert not list(tmp_path.iterdir())

    def test_before_unpacking(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(tmp_path)

        def free(path: Path) -> object:
            unpacking = any(path.glob("*.new"))
            return usage._replace(free=10 if unpacking else usage.free)

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", free)
            assert "/.download-microscopy: unpacking " in place.fails(tmp_path)
        assert [path.suffix for path in (tmp_path / ".download-microscopy").iterdir()] == [".whole"]

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_in_the_middle(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        first = next(iter(sorted(place.files) if place.source else place.files))
        place.server.fail(place.path(first), Cut(5000))
        with monkeypatch.context() as patch:
            _fill_after(patch, ".part", 1, number)
            message = place.fails(tmp_path)
        assert message == (
            f"{tmp_path}/.download-microscopy: the disk is full: free some space and repeat the "
            "command, which resumes, or choose another --root"
        )
        assert parts(tmp_path) == [5000]
        place.server.requests.clear()
        place.download(tmp_path)
        assert place.server.seen(place.path(first))[0].headers["Range"] == "bytes=5000-"

    def test_while_unpacking(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = next(iter(sorted(place.files) if place.source else place.files))
        with monkeypatch.context() as patch:
            _fill_after(patch, "incoming-1", 5, errno.ENOSPC)
            assert "the disk is full: free some space" in place.fails(tmp_path)
        assert [path.suffix for path in (tmp_path / ".download-microscopy").iterdir()] == [".whole"]
        place.server.requests.clear()
        place.download(tmp_path)
        assert not place.server.seen(place.path(first))


def _fill_after(monkeypatch: pytest.MonkeyPatch, ending: str, count: int, number: int) -> None:
    """Let the disk be full from the given number of times on that such a file is opened."""
    opened = []
    real: Callable[..., IO[Any]] = Path.open

    def limited(self: Path, mode: str = "r", *args: object, **options: object) -> IO[Any]:
        if self.name.endswith(ending) and mode != "rb":
            opened.append(self)
            if len(opened) > count:
                raise OSError(number, "No space left on device")
        return real(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", limited)


def test_a_root_that_cannot_be_made(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--root .*file: no folder can be made there"):
        place.download(tmp_path / "file")


def test_a_list_of_an_empty_archive(server: Server, tmp_path: Path) -> None:
    address = server.publish_mirror({"a.zip": b"", "b.zip": zipped({})})
    with pytest.raises(InputError, match=r"a\.zip: broken archive"):
        download_dataset("drone", tmp_path, source=address)
    assert not list(tmp_path.iterdir())
