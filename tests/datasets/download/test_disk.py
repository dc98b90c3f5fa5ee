"""The disk that a download goes to, and what lies there already."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raw2logit import InputError
from raw2logit.cli import main
from raw2logit.datasets import download
from raw2logit.datasets.download import disk, download_dataset

from .archives import below, published, zipped
from .server import Server

CELL = {"raw_scale100/Ma190c_a.tiff": b"1"}


@pytest.fixture
def mirror(server: Server, microscopy: dict[str, bytes]) -> str:
    return server.publish_mirror(microscopy)


def fails(root: Path, source: str, keep_archives: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        download_dataset("microscopy", root, source=source, keep_archives=keep_archives)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestTwoFileSystems:
    @pytest.fixture
    def apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the staging folder be on a file system of its own."""
        real = os.replace

        def replace(source: Path, target: Path) -> None:
            if len({".download-microscopy" in str(path) for path in (source, target)}) > 1:
                raise OSError(errno.EXDEV, "Invalid cross-device link", source, None, target)
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)

    @pytest.mark.usefixtures("apart")
    def test_what_is_fetched_is_copied(
        self, root: Path, mirror: str, microscopy: dict[str, bytes], tmp_path: Path
    ) -> None:
        folder = download_dataset("microscopy", tmp_path, source=mirror, keep_archives=True)
        files = below(folder)
        del files["downloaded.json"]
        archives = {f"archives/{name}": content for name, content in microscopy.items()}
        assert files == published(root, "microscopy") | archives
        assert [path.name for path in tmp_path.iterdir()] == ["microscopy"]

    @pytest.mark.usefixtures("apart")
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
    def test_a_copy_that_fails(
        self, root: Path, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        real = shutil.copyfile

        def half(source: Path, target: Path) -> None:
            Path(target).write_bytes(b"half")
            if target.parent.name == "labels":
                raise OSError(number, os.strerror(number), str(target))
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", half)
            message = fails(tmp_path, mirror)
        labels = tmp_path / "microscopy/labels"
        assert message.startswith(str(labels))
        assert "repeat the command, which resumes, or choose another --root" in message
        assert not list(labels.iterdir())
        # As a killed copy leaves it.
        (labels / disk.INCOMING).write_bytes(b"half")
        folder = download_dataset("microscopy", tmp_path, source=mirror)
        files = below(folder)
        del files["downloaded.json"]
        assert files == published(root, "microscopy")

    def test_a_link(self, root: Path, mirror: str, tmp_path: Path) -> None:
        """Truly on another file system, where there is one."""
        memory = Path("/dev/shm")
        if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("no second file system")
        other = memory / f"raw2logit-{os.getpid()}"
        other.mkdir()
        try:
            (tmp_path / "microscopy").symlink_to(other)
            download_dataset("microscopy", tmp_path, source=mirror)
            assert published(root, "microscopy").items() <= below(other).items()
        finally:
            shutil.rmtree(other)

    def test_the_other_one_is_full(
        self, server: Server, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "microscopy").mkdir()
        real = Path.stat

        def stat(self: Path, **options: bool) -> os.stat_result:
            found = real(self, **options)
            if self.name != "microscopy":
                return found
            return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(Path, "stat", stat)
        monkeypatch.setattr(
            shutil,
            "disk_usage",
            lambda path: usage._replace(free=9 if path.name == "microscopy" else usage.free),
        )
        message = fails(tmp_path, mirror)
        assert message.startswith(f"{tmp_path / 'microscopy'}: the download needs ")
        assert not server.seen("/mirror/raw_scale100.zip")


class TestTwoAtOnce:
    def test_the_second_is_refused(self, mirror: str, tmp_path: Path) -> None:
        staging = tmp_path / ".download-microscopy"
        with disk.locked(staging):
            (staging / "a.part").write_bytes(b"1")
            assert fails(tmp_path, mirror) == (
                f"--root {tmp_path}: another download is at work in {tmp_path}: wait for it, then "
                "repeat the command"
            )
            assert (staging / "a.part").is_file()
        assert [path.name for path in staging.iterdir()] == ["a.part"]
        download_dataset("microscopy", tmp_path, source=mirror)

    def test_a_complete_one_leaves_the_other_alone(self, mirror: str, tmp_path: Path) -> None:
        download_dataset("microscopy", tmp_path, source=mirror)
        staging = tmp_path / ".download-microscopy"
        with disk.locked(staging):
            (staging / "a.part").write_bytes(b"1")
            download_dataset("microscopy", tmp_path, source=mirror)
            assert (staging / "a.part").is_file()

    def test_a_killed_one_holds_nothing(self, mirror: str, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from raw2logit.datasets.download import disk"
            "\nwith disk.locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
        )
        staging = tmp_path / ".download-microscopy"
        subprocess.run([sys.executable, "-c", code, str(staging)], check=False, timeout=60)
        assert [path.name for path in staging.iterdir()] == [disk.LOCK]
        download_dataset("microscopy", tmp_path, source=mirror)
        assert [path.name for path in tmp_path.iterdir()] == ["microscopy"]

    def test_a_lock_that_was_taken_away_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, taken = fcntl.flock, []

        def flock(lock: int, how: int) -> None:
            real(lock, how)
            taken.append(lock)
            if len(taken) == 1:
                shutil.rmtree(tmp_path / "staging")

        monkeypatch.setattr(fcntl, "flock", flock)
        with disk.locked(tmp_path / "staging"):
            assert len(taken) == 2
            assert (tmp_path / "staging" / disk.LOCK).is_file()
        assert not list(tmp_path.iterdir())

    def test_a_file_system_without_locks(
        self, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(*_: object) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", unknown)
        download_dataset("microscopy", tmp_path, source=mirror)


class TestTrouble:
    def test_a_file_that_is_too_large_for_it(
        self, root: Path, server: Server, tmp_path: Path
    ) -> None:
        """As on FAT32."""
        content = zipped({"raw_scale100/Ma190c_a.tiff": os.urandom(300_000)})
        source = server.publish_mirror({"a.zip": content})
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            message = fails(tmp_path, source)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert message == (
            f"{tmp_path}/.download-microscopy: no file can be that large there: repeat the command "
            "on another file system, or choose another --root"
        )

    def test_any_other_has_its_mend(
        self, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error", "/a/b")

        monkeypatch.setattr(os, "replace", broken)
        assert fails(tmp_path, mirror) == (
            "/a/b: cannot be written or read (Input/output error): mend that and repeat the "
            "command, which resumes, or choose another --root"
        )

    @pytest.mark.parametrize("action", ["rmtree", "open"])
    def test_a_complete_set_on_a_disk_that_takes_nothing(
        self, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
    ) -> None:
        folder = download_dataset("microscopy", tmp_path, source=mirror)
        (tmp_path / ".download-microscopy/old").mkdir(parents=True)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(*{"rmtree": (shutil, "rmtree"), "open": (os, "open")}[action], refuse)
        assert download_dataset("microscopy", tmp_path, source=mirror) == folder

    @pytest.mark.parametrize("name", ["", "images", "labels", "archives"])
    def test_a_file_in_the_way(
        self, server: Server, mirror: str, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / "microscopy" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        assert fails(tmp_path, mirror, keep_archives=True) == (
            f"{path}: is a file, where a folder is needed: move it away, or choose another --root; "
            "nothing is overwritten"
        )
        assert path.read_text() == "mine"
        assert not server.seen("/mirror/raw_scale100.zip")
        path.unlink()
        path.symlink_to("nowhere")
        assert "is a link to nothing" in fails(tmp_path, mirror, keep_archives=True)

    def test_a_file_in_the_way_further_down(self, mirror: str, tmp_path: Path) -> None:
        path = tmp_path / "microscopy/images/raw_scale100"
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        assert fails(tmp_path, mirror).startswith(f"{path}: is a file, where a folder is needed")
        assert below(tmp_path / "microscopy") == {"images/raw_scale100": b"mine"}

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"size": 1, "files": []}'])
    def test_a_power_cut(
        self, root: Path, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(download, "move", lambda *_: pytest.exit("as by a kill"))
            patch.setattr(download.Staging, "install", lambda *_: None)
            with pytest.raises(pytest.exit.Exception):
                download_dataset("microscopy", tmp_path, source=mirror)
        indexes = list((tmp_path / ".download-microscopy").glob("*/index.json"))
        assert indexes
        for index in indexes:
            index.write_text(text)
        folder = download_dataset("microscopy", tmp_path, source=mirror)
        assert published(root, "microscopy").items() <= below(folder).items()


class TestKeptArchives:
    def test_nothing_is_overwritten(self, server: Server, mirror: str, tmp_path: Path) -> None:
        path = tmp_path / "microscopy/archives/raw_scale100.zip"
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        assert fails(tmp_path, mirror, keep_archives=True) == (
            f"{path}: has other content than the download: move it away, or leave out "
            "--keep-archives; nothing is overwritten"
        )
        assert path.read_text() == "mine"
        assert not server.seen("/mirror/raw_scale100.zip")

    def test_the_same_is_left_as_it_is(
        self, mirror: str, microscopy: dict[str, bytes], tmp_path: Path
    ) -> None:
        path = tmp_path / "microscopy/archives/raw_scale100.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(microscopy[path.name])
        before = path.stat().st_mtime_ns
        folder = download_dataset("microscopy", tmp_path, source=mirror, keep_archives=True)
        assert below(folder / "archives") == microscopy
        assert path.stat().st_mtime_ns == before

    def test_a_complete_set_has_none_to_keep(
        self, mirror: str, microscopy: dict[str, bytes], tmp_path: Path
    ) -> None:
        folder = download_dataset("microscopy", tmp_path, source=mirror)
        with pytest.warns(UserWarning, match="to keep the archives, download to another --root"):
            download_dataset("microscopy", tmp_path, source=mirror, keep_archives=True)
        next((folder / "images/raw_scale100").iterdir()).unlink()
        with pytest.warns(UserWarning, match="archives: does not get "):
            download_dataset("microscopy", tmp_path, source=mirror, keep_archives=True)
        assert list(below(folder / "archives")) == ["raw_scale100.zip"]


def test_an_interrupted_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "open_source", interrupt)
    assert main(["data", "download", "drone", "--root", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "raw2logit: interrupted; the same command continues\n"
