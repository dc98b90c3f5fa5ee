from pathlib import Path

import pytest

from raw2logit.files import atomic_path, write_text


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
