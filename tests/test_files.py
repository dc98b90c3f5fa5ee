import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw2logit.files import (
    atomic_path,
    find_leftovers,
    remove_leftovers,
    sha256_of,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "result.png"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"first half")
        assert not path.exists()
        with temporary.open("ab") as file:
            file.write(b", second half")
        assert not path.exists()
    assert path.read_bytes() == b"first half, second half"
    assert names(tmp_path) == ["result.png"]


def test_the_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "result.tar.gz"
    with atomic_path(path) as first, atomic_path(path) as second:
        # Beside the goal: a rename between file systems would not be atomic. Hidden: no glob of
        # `*.gz` in a shell takes it for a result. Never the same: two processes may write at once.
        assert first.parent == tmp_path
        assert first.name.startswith(".")
        assert first.suffix == ".gz"
        assert first != second
        assert not first.exists()
        first.touch()
        second.touch()
    assert names(tmp_path) == ["result.tar.gz"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "result.txt"

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_a_failure_before_the_first_byte(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "result.txt"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == []


def test_a_failure_keeps_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("before")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["result.txt"]


def test_success_replaces_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("before")
    with atomic_path(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    path.write_text("before")

    def forget() -> None:
        with atomic_path(path):
            pass

    with pytest.raises(FileNotFoundError):
        forget()
    assert path.read_text() == "before"


def test_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("done")
    assert path.read_text() == "done"


def test_folders(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with atomic_path(path) as temporary:
        (temporary / "figures").mkdir(parents=True)
        (temporary / "figures" / "a.png").write_bytes(b"a")
        assert not path.exists()
    assert (path / "figures" / "a.png").read_bytes() == b"a"
    assert names(tmp_path) == ["run"]


def test_a_failure_removes_a_folder_with_all_in_it(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def fail() -> None:
        with atomic_path(path) as temporary:
            (temporary / "figures").mkdir(parents=True)
            (temporary / "figures" / "a.png").write_bytes(b"a")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert names(tmp_path) == []


def test_a_folder_with_content_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "precious").touch()

    def overwrite() -> None:
        with atomic_path(path) as temporary:
            temporary.mkdir()

    with pytest.raises(OSError, match="run"):
        overwrite()
    assert names(path) == ["precious"]
    assert names(tmp_path) == ["run"]


def test_write_text_is_utf8_and_atomic(tmp_path: Path) -> None:
    path = tmp_path / "new" / "note.txt"
    assert write_text(path, "ø = 1 µm\n") == path
    assert path.read_bytes() == "ø = 1 µm\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_bytes() == "ø = 1 µm\n".encode()
    assert names(path.parent) == ["note.txt"]


class TestLeftovers:
    @given(
        name=st.text("ab.- _ü\n0f", min_size=1, max_size=12).filter(lambda name: name.strip("."))
    )
    def test_every_temporary_name_is_known(self, name: str) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "deep" / "er" / name
            with atomic_path(path) as temporary:
                temporary.touch()
                assert find_leftovers(Path(folder)) == [temporary]
            assert find_leftovers(Path(folder)) == []
            assert path.is_file()

    def test_other_names_are_not(self, tmp_path: Path) -> None:
        for name in (
            "a.raw2logit-0123abcd.png",
            ".a.raw2logit-0123abc.png",
            ".a.raw2logit-0123abcde.png",
            ".a.raw2logit-0123ABCD.png",
            ".snapshot-20240131",
            ".notes-20240131.txt",
            ".a-0123abcd.png",
            "..raw2logit-0123abcd.png",
            ".a.raw2logit-0123abcd.tar.gz",
            ".git/a.raw2logit-0123abcd",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert find_leftovers(tmp_path) == []
        assert find_leftovers(tmp_path / "nowhere") == []

    def test_all_are_removed_and_nothing_else(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        folder = tmp_path / "folder"
        for path in (
            elsewhere / "keep",
            folder / "keep.png",
            folder / "x" / "keep.png",
            folder / "x" / ".keep.raw2logit-0123abcd.png",
            folder / ".run.raw2logit-0123abcd" / "half" / ".x.raw2logit-0123abcd.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (folder / ".link.raw2logit-0123abcd").symlink_to(elsewhere)
        (folder / "link").symlink_to(elsewhere)
        (folder / ".dangling.raw2logit-0123abcd.png").symlink_to(tmp_path / "nowhere")
        found = find_leftovers(folder)
        assert [path.relative_to(folder).as_posix() for path in found] == [
            ".dangling.raw2logit-0123abcd.png",
            ".link.raw2logit-0123abcd",
            ".run.raw2logit-0123abcd",
            "x/.keep.raw2logit-0123abcd.png",
        ]
        remove_leftovers(folder)
        assert names(folder) == ["keep.png", "link", "x"]
        assert names(folder / "x") == ["keep.png"]
        assert names(elsewhere) == ["keep"]

    def test_a_killed_writer(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from raw2logit.files import atomic_path\n"
            "with atomic_path(Path(sys.argv[1])) as path: path.touch(); os.kill(os.getpid(), 9)"
        )
        (tmp_path / "a.png").write_text("before")
        killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")])
        assert killed.returncode == -signal.SIGKILL
        assert len(names(tmp_path)) == 2
        remove_leftovers(tmp_path)
        assert names(tmp_path) == ["a.png"]
        assert (tmp_path / "a.png").read_text() == "before"


def test_write_bytes_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.bin"
    content = bytes(range(256))
    assert write_bytes(path, content) == path
    assert path.read_bytes() == content

    def full(path: Path, _: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"other")
    assert path.read_bytes() == content
    assert names(path.parent) == ["a.bin"]


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"")
    assert sha256_of(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"a" * 10**6)
    assert sha256_of(path) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
