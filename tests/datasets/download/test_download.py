"""The way through, from a record and from mirrors, and what a second call does."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import pytest

from raw2logit import InputError, MissingDataError, RawDrone, RawMicroscopy
from raw2logit.cli import main
from raw2logit.datasets.download import DOI, DOWNLOADED, download_dataset, read_manifest
from raw2logit.datasets.download.sources import open_source

from .archives import below, published, tarred, zipped
from .server import RECORD, Server, page, sums

OTHER = {
    "microscopy": ("masks_full/DJI_0001.png", "drone.zip"),
    "drone": ("labels/Ma190c_annotations.dat", "microscopy.zip"),
}


def tree(root: Path, kind: str) -> dict[str, bytes]:
    """Return all that a download left below the root, except its manifest."""
    files = below(root)
    del files[f"{kind}/{DOWNLOADED}"]
    return {name.removeprefix(f"{kind}/"): content for name, content in files.items()}


class TestRecord:
    def test_microscopy(
        self,
        root: Path,
        server: Server,
        microscopy: dict[str, bytes],
        drone: dict[str, bytes],
        tmp_path: Path,
    ) -> None:
        server.publish_record(drone | microscopy)
        told: list[tuple[str, int, int]] = []
        folder = download_dataset(
            "microscopy", tmp_path, progress=lambda *words: told.append(words)
        )
        assert folder == tmp_path / "microscopy"
        assert tree(tmp_path, "microscopy") == published(root, "microscopy")
        for intensity in (1.0, 0.1):
            ours = RawMicroscopy(tmp_path, intensity=intensity)
            assert ours.fingerprint() == RawMicroscopy(root, intensity=intensity).fingerprint()
        fetching = [one for one in told if one[0].startswith("fetching")]
        # A name that tells nothing is fetched and looked at.
        undecided = len(drone["car_classification.tar.xz"])
        assert {one[2] for one in fetching} == {sum(map(len, microscopy.values())) + undecided}
        assert fetching[-1][1] == fetching[-1][2]
        assert all(done <= total for _, done, total in told)
        agents = {request.headers["User-Agent"] for request in server.requests}
        assert all(agent.startswith("raw2logit/") for agent in agents)

    def test_drone(
        self,
        root: Path,
        server: Server,
        microscopy: dict[str, bytes],
        drone: dict[str, bytes],
        tmp_path: Path,
    ) -> None:
        server.publish_record(microscopy | drone)
        download_dataset("drone", tmp_path)
        assert tree(tmp_path, "drone") == published(root, "drone")
        for task in ("segmentation", "classification"):
            ours = RawDrone(tmp_path, task=task)
            assert ours.fingerprint() == RawDrone(root, task=task).fingerprint()

    def test_the_manifest(
        self,
        server: Server,
        microscopy: dict[str, bytes],
        drone: dict[str, bytes],
        tmp_path: Path,
    ) -> None:
        server.publish_record(microscopy | drone)
        folder = download_dataset("microscopy", tmp_path)
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest.doi == DOI == "10.5281/zenodo.5235536"
        assert manifest.source == f"doi:{DOI}"
        assert manifest.left_out == tuple(sorted(set(drone) - {"car_classification.tar.xz"}))
        assert {file.name: file.size for file in manifest.archives} == {
            name: len(content)
            for name, content in (microscopy | drone).items()
            if name not in manifest.left_out
        }
        for archive in manifest.archives:
            content = (microscopy | drone)[archive.name]
            assert archive.checksum == f"md5:{hashlib.md5(content).hexdigest()}"
        there = {name: len(content) for name, content in tree(tmp_path, "microscopy").items()}
        assert {file.path: file.size for file in manifest.files} == there
        for file in manifest.files:
            assert hashlib.sha256((folder / file.path).read_bytes()).hexdigest() == file.sha256

    def test_both_forms_of_the_api(self, server: Server) -> None:
        server.files[RECORD] = json.dumps(
            {
                "id": 5235536,
                "files": [
                    {"id": "u", "filename": "drone.zip", "filesize": 7, "checksum": "ab" * 16}
                ],
            }
        ).encode()
        (file,) = open_source("drone", None).files
        assert (file.name, file.size, file.checksum) == ("drone.zip", 7, f"md5:{'ab' * 16}")
        assert file.address == "https://zenodo.org/records/5235536/files/drone.zip?download=1"

    def test_loaders_download(
        self,
        root: Path,
        server: Server,
        microscopy: dict[str, bytes],
        drone: dict[str, bytes],
        tmp_path: Path,
    ) -> None:
        server.publish_record(microscopy | drone)
        assert (
            RawMicroscopy(tmp_path, download=True).fingerprint()
            == RawMicroscopy(root).fingerprint()
        )
        assert len(RawDrone(tmp_path, download=True)) == len(RawDrone(root))
        before = len(server.requests)
        RawMicroscopy(tmp_path, download=True)
        assert len(server.requests) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["drone", "microscopy"]


class TestMirrors:
    @pytest.fixture(params=["https", "path", "file", "memory"])
    def mirror(
        self,
        request: pytest.FixtureRequest,
        server: Server,
        microscopy: dict[str, bytes],
        tmp_path: Path,
    ) -> str:
        if request.param == "https":
            return server.publish_mirror(microscopy)
        if request.param == "memory":
            import fsspec

            system = fsspec.filesystem("memory")
            for name, content in (microscopy | {"SHA256SUMS": sums(microscopy)}).items():
                system.pipe_file(f"/mirror/{name}", content)
            return "memory://mirror"
        folder = tmp_path / "a mirror"
        folder.mkdir()
        for name, content in (microscopy | {"MD5SUMS": sums(microscopy, "md5")}).items():
            (folder / name).write_bytes(content)
        return str(folder) if request.param == "path" else folder.as_uri().replace("%20", " ")

    def test_archives(self, root: Path, mirror: str, tmp_path: Path) -> None:
        download_dataset("microscopy", tmp_path / "data", source=mirror)
        assert tree(tmp_path / "data", "microscopy") == published(root, "microscopy")
        manifest = read_manifest(tmp_path / "data" / "microscopy")
        assert manifest is not None
        assert (manifest.source, manifest.doi) == (mirror, None)

    @pytest.mark.parametrize(
        ("kind", "prefix"), [("microscopy", ""), ("drone", "data/of the/drone/")]
    )
    def test_loose_files(
        self, root: Path, server: Server, tmp_path: Path, kind: str, prefix: str
    ) -> None:
        files = published(root, kind)
        address = server.publish_mirror(
            {prefix + name: content for name, content in files.items()}
            | {f"not/{name}": b"" for name in OTHER[kind]}
        )
        download_dataset(kind, tmp_path, source=f"{address}/")
        assert tree(tmp_path, kind) == files

    def test_one_archive(self, root: Path, server: Server, tmp_path: Path) -> None:
        name = "all of it.tgz"
        content = tarred(below(root / "microscopy/images", "") | below(root / "microscopy/labels"))
        address = server.publish_mirror({name: content, "other.zip": b""})
        download_dataset("microscopy", tmp_path, source=f"{address}/all%20of%20it.tgz")
        assert tree(tmp_path, "microscopy") == published(root, "microscopy")
        assert not server.seen("/mirror/other.zip")

    def test_binary_marks_and_the_list_itself(self, root: Path, server: Server) -> None:
        address = server.publish_mirror({"raw_scale100.zip": b"12"})
        listed = server.files["/mirror/SHA256SUMS"].decode().replace("  ", " *./")
        server.files["/mirror/SHA256SUMS"] = f"{listed}\n{'0' * 64}  SHA256SUMS\n".encode()
        (file,) = open_source("microscopy", address).files
        assert (file.name, file.size) == ("raw_scale100.zip", 2)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("abc  a.zip", "SHA256SUMS:2: expected '<sha256 sum>  <file>'"),
            (f"{'0' * 32}  a.zip", "SHA256SUMS:2: expected '<sha256 sum>  <file>'"),
            (f"{'0' * 64} a.zip", "SHA256SUMS:2: expected '<sha256 sum>  <file>'"),
            (f"{'0' * 64}  ../a.zip", "SHA256SUMS: refused"),
            (f"{'0' * 64}  /etc/a.zip", "SHA256SUMS: refused"),
        ],
    )
    def test_broken_lists(self, server: Server, tmp_path: Path, line: str, words: str) -> None:
        address = server.publish_mirror({"raw_scale100.zip": b""})
        server.files["/mirror/SHA256SUMS"] += f"{line}\n".encode()
        with pytest.raises(InputError, match=words):
            download_dataset("microscopy", tmp_path / "data", source=address)
        assert not (tmp_path / "data").exists()

    def test_no_checksums(
        self, server: Server, tmp_path: Path, microscopy: dict[str, bytes]
    ) -> None:
        folder = tmp_path / "mirror"
        folder.mkdir()
        (folder / "raw_scale100.zip").write_bytes(microscopy["raw_scale100.zip"])
        for address in (str(folder), f"{folder}/raw_scale100.zip", f"{server.url}/mirror"):
            with pytest.raises(InputError, match="`sha256sum \\* > SHA256SUMS`") as caught:
                download_dataset("microscopy", tmp_path / "data", source=address)
            assert str(caught.value).startswith(address)
        assert not (tmp_path / "data").exists()

    @pytest.mark.parametrize(
        ("address", "error", "words"),
        [
            ("nowhere", MissingDataError, "nowhere: not there, or empty"),
            ("x9://bucket", InputError, "unknown scheme 'x9'"),
            ("http://[", InputError, "no address"),
        ],
    )
    def test_wrong_addresses(
        self, tmp_path: Path, address: str, error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            download_dataset("drone", tmp_path / "data", source=address)
        assert not (tmp_path / "data").exists()

    def test_secrets_are_not_written_down(self, server: Server, root: Path, tmp_path: Path) -> None:
        content = zipped(below(root / "microscopy"))
        address = server.publish_mirror({"microscopy.zip": content})
        secret = address.replace("http://", "http://user:pass@") + "/microscopy.zip?token=abc"
        with pytest.warns(UserWarning, match="1 files .* microscopy/generated.json") as told:
            folder = download_dataset("microscopy", tmp_path, source=secret)
        assert len(told) == 1
        text = (folder / DOWNLOADED).read_text()
        assert "pass" not in text + str(told[0].message)
        assert "token" not in text + str(told[0].message)

    def test_what_has_no_place_is_told(self, root: Path, server: Server, tmp_path: Path) -> None:
        files = below(root / "microscopy/images/raw_scale100", "raw_scale100/")
        address = server.publish_mirror(
            {
                "a.zip": zipped(files | {"notes/readme.txt": b"", "raw_scale100/Ma190c.png": b""}),
                "README.md": b"# Hello",
            }
        )
        with pytest.warns(UserWarning, match="left out 3 files .* for instance README.md"):
            folder = download_dataset("microscopy", tmp_path, source=address)
        assert not server.seen("/mirror/README.md")
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest.left_out == ("README.md",)

    def test_nothing_of_the_data_set(self, server: Server, tmp_path: Path) -> None:
        address = server.publish_mirror({"a.zip": zipped({"b/c.txt": b"c"}), "DJI.zip": b""})
        with pytest.raises(InputError, match=r"holds no file of microscopy, but a/b/c\.txt"):
            download_dataset("microscopy", tmp_path, source=address)
        assert not list(tmp_path.iterdir())
        address = server.publish_mirror({"DJI.zip": b""}, "/other")
        with pytest.raises(InputError, match=r"lists no file of microscopy, but DJI\.zip"):
            download_dataset("microscopy", tmp_path, source=address)


class TestASecondCall:
    @pytest.fixture
    def there(self, server: Server, microscopy: dict[str, bytes], tmp_path: Path) -> Path:
        server.publish_record(microscopy)
        download_dataset("microscopy", tmp_path)
        server.requests.clear()
        return tmp_path / "microscopy"

    def test_touches_no_network(self, server: Server, there: Path) -> None:
        before = below(there)
        told: list[str] = []
        again = download_dataset(
            "microscopy", there.parent, progress=lambda task, *_: told.append(task)
        )
        assert again == there
        assert told == [f"{there} is complete: nothing to fetch"]
        assert not server.requests
        assert below(there) == before

    def test_removes_what_a_kill_left(self, there: Path) -> None:
        (there.parent / ".download-microscopy").mkdir()
        download_dataset("microscopy", there.parent)
        assert [path.name for path in there.parent.iterdir()] == ["microscopy"]

    def test_fetches_what_is_missing(self, server: Server, there: Path) -> None:
        before = below(there)
        (there / "labels/Ma190c_annotations.dat").unlink()
        shutil.rmtree(there / "images/raw_scale010")
        download_dataset("microscopy", there.parent)
        assert below(there.parent) == {f"microscopy/{name}": data for name, data in before.items()}
        assert not server.seen(f"{RECORD}/files/raw_scale100.zip/content")
        assert server.seen(f"{RECORD}/files/WhiteCellsLabels.tar.gz/content")

    def test_never_overwrites(self, there: Path) -> None:
        changed = there / "labels/Ma190c_annotations.dat"
        changed.write_bytes(changed.read_bytes() + b"more\n")
        before = below(there)
        with pytest.raises(InputError, match="has other content than the download") as caught:
            download_dataset("microscopy", there.parent)
        assert str(caught.value).startswith(str(changed))
        assert below(there) == before

    def test_from_a_place_that_has_less(self, server: Server, there: Path) -> None:
        (there / "labels/Ma190c_annotations.dat").unlink()
        address = server.publish_mirror({"labels/Ma190c_annotations.dat": b"x NGS\n"})
        with pytest.raises(InputError, match=f"was downloaded from doi:{DOI}, and {address} does"):
            download_dataset("microscopy", there.parent, source=address)
        assert not (there / "labels/Ma190c_annotations.dat").exists()

    def test_a_broken_manifest(self, there: Path) -> None:
        (there / DOWNLOADED).write_text("{")
        with pytest.raises(InputError, match=r"downloaded\.json: broken"):
            download_dataset("microscopy", there.parent)


def test_unpacked_by_hand_is_kept(
    root: Path, server: Server, microscopy: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copytree(root / "microscopy/images", tmp_path / "microscopy/images")
    (tmp_path / "microscopy/notes.txt").write_text("mine")
    image = next((tmp_path / "microscopy/images/raw_scale100").iterdir())
    before = image.stat()
    download_dataset("microscopy", tmp_path, source=server.publish_mirror(microscopy))
    assert image.stat().st_mtime_ns == before.st_mtime_ns
    assert tree(tmp_path, "microscopy") == published(root, "microscopy") | {"notes.txt": b"mine"}


def test_a_generated_set_is_refused(root: Path, server: Server) -> None:
    with pytest.raises(InputError, match="holds a generated data set: choose another --root"):
        download_dataset("microscopy", root)
    assert not server.requests


def test_archives_can_be_kept(server: Server, microscopy: dict[str, bytes], tmp_path: Path) -> None:
    address = server.publish_mirror(microscopy)
    folder = download_dataset("microscopy", tmp_path, source=address, keep_archives=True)
    assert below(folder / "archives") == microscopy
    other = download_dataset("microscopy", tmp_path / "other", source=address)
    assert (other / DOWNLOADED).read_bytes() == (folder / DOWNLOADED).read_bytes()


def test_two_archives_that_disagree(server: Server, tmp_path: Path) -> None:
    files = [{"labels/Ma190c_annotations.dat": text} for text in (b"a NGS\n", b"b NGS\n")]
    address = server.publish_mirror({f"{n}.zip": zipped(file) for n, file in enumerate(files)})
    with pytest.raises(InputError, match=r"1\.zip and 0\.zip hold different files for labels/"):
        download_dataset("microscopy", tmp_path, source=address)
    assert not (tmp_path / "microscopy").exists()
    both = {f"{where}/Ma190c_annotations.dat": text for where, text in (("a", b"1"), ("b", b"2"))}
    address = server.publish_mirror({"x.zip": zipped(both)}, "/one")
    with pytest.raises(InputError, match=r"x/b/Ma190c_annotations.dat: another file of the arch"):
        download_dataset("microscopy", tmp_path / "one", source=address)
    same = {f"{where}/Ma190c_annotations.dat": b"a NGS\n" for where in "ab"}
    address = server.publish_mirror({"x.zip": zipped(same), "y.zip": zipped(same)}, "/two")
    folder = download_dataset("microscopy", tmp_path / "two", source=address)
    assert below(folder / "labels") == {"Ma190c_annotations.dat": b"a NGS\n"}


class TestCommand:
    def test_prints_the_folder_and_the_rate(
        self,
        server: Server,
        microscopy: dict[str, bytes],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        server.publish_record(microscopy)
        words = ["data", "download", "microscopy", "--root", str(tmp_path)]
        assert main(words) == 0
        said = capsys.readouterr()
        assert said.out.split() == [str(tmp_path / "microscopy")]
        assert "/s, 0:00:00 left] fetching " in said.err
        assert main(words) == 0
        assert "is complete: nothing to fetch" in capsys.readouterr().err

    def test_errors_are_one_line(
        self, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.fail_always(RECORD, page())
        with warnings.catch_warnings():
            assert main(["data", "download", "drone", "--root", str(tmp_path / "d")]) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        assert error.startswith(f"raw2logit: {server.url}{RECORD}: a web page came instead")
        assert not (tmp_path / "d").exists()
