"""Archives that nobody vouches for: refused whole, with nothing of them in the layout."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from raw2logit import InputError
from raw2logit.datasets.download import archives, download_dataset, members

from .archives import below, tarred, zipped
from .server import Server

GOOD = "raw_scale100/Ma190c_a.tiff"
LABELS = "labels/Ma190c_annotations.dat"


def zip_with(name: str, mode: int = 0, flags: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(GOOD, b"good")
        info = zipfile.ZipInfo("x")
        # Set afterwards: zipfile would mend it.
        info.filename = info.orig_filename = name
        info.external_attr = mode << 16
        archive.writestr(info, b"bad")
    content = bytearray(buffer.getvalue())
    if flags:
        for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.rindex(magic) + place
            content[at : at + 2] = struct.pack("<H", flags)
    return bytes(content)


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        good = tarfile.TarInfo(GOOD)
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        archive.addfile(info)
    return buffer.getvalue()


def refused(server: Server, root: Path, name: str, content: bytes) -> str:
    """Return the message for an archive; nothing may be left of it anywhere."""
    server.files.clear()
    address = server.publish_mirror({name: content})
    with pytest.raises(InputError) as caught:
        download_dataset("microscopy", root / "data" / "sets", source=address)
    message = str(caught.value)
    assert message.startswith((f"{name}: ", "a/"))
    assert "\n" not in message
    assert not below(root)
    return message


def why(name: str) -> str:
    if not name.isprintable():
        return "has characters that cannot be printed"
    return "leads out of its folder or is no name for a file"


PATHS = [
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "C:/evil",
    "c:evil",
    "a\\evil",
    "..",
    "",
    "a\x00b",
    "a\nb",
]
SAFE_IN_TAR = ("a\x00b", "")


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_lead_out_of_a_zip(server: Server, tmp_path: Path, name: str) -> None:
    message = refused(server, tmp_path, "a.zip", zip_with(name))
    assert message == f"a.zip: refused, nothing of it is used: the name {name!r} {why(name)}"


@pytest.mark.parametrize("name", [name for name in PATHS if name not in SAFE_IN_TAR])
def test_paths_that_lead_out_of_a_tar(server: Server, tmp_path: Path, name: str) -> None:
    message = refused(server, tmp_path, "a.tgz", tar_with(name))
    assert message == f"a.tgz: refused, nothing of it is used: the name {name!r} {why(name)}"


@pytest.mark.parametrize("name", ["raw_scale100/Ma190c_{}.tiff", "{}/a"])
def test_a_name_that_no_disk_takes(server: Server, tmp_path: Path, name: str) -> None:
    long = name.format("é" * 128)
    for suffix, content in (("zip", zip_with(long)), ("tgz", tar_with(long))):
        message = refused(server, tmp_path, f"a.{suffix}", content)
        assert message.endswith("is longer than 255 bytes")


def test_the_folder_itself_is_no_member(server: Server, tmp_path: Path) -> None:
    content = zipped({"./": b"", f"./{GOOD}": b"good", LABELS: b""})
    address = server.publish_mirror({"a.zip": content})
    folder = download_dataset("microscopy", tmp_path, source=address)
    assert (folder / "images" / GOOD).read_bytes() == b"good"


def test_a_folder_that_leads_out(server: Server, tmp_path: Path) -> None:
    refused(server, tmp_path, "a.tar", tar_with("../a", tarfile.DIRTYPE, mode="w:"))
    refused(server, tmp_path, "a.zip", zip_with("../a/"))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_links_and_devices_in_a_tar(server: Server, tmp_path: Path, kind: bytes) -> None:
    content = tar_with("raw_scale100/Ma190c_b.tiff", kind, "/etc/passwd")
    assert "a.tar.gz: " in refused(server, tmp_path, "a.tar.gz", content)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(server: Server, tmp_path: Path, mode: int) -> None:
    message = refused(server, tmp_path, "a.zip", zip_with("link", mode | 0o777))
    assert message == "a.zip: refused, nothing of it is used: 'link' is a link or a device"


def test_encrypted(server: Server, tmp_path: Path) -> None:
    message = refused(server, tmp_path, "a.zip", zip_with("secret", flags=1))
    assert message == "a.zip: refused, nothing of it is used: 'secret' is encrypted"


class TestBombs:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archives, "SMALL_BYTES", 1 << 20)

    @pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
    def test_one_member(self, server: Server, tmp_path: Path, suffix: str) -> None:
        members = {GOOD: b"good", "raw_scale100/Ma190c_b.tiff": bytes(3 << 20)}
        pack = zipped(members) if suffix == "zip" else tarred(members, f"w:{suffix[4:]}")
        message = refused(server, tmp_path, f"a.{suffix}", pack)
        assert message.endswith(
            f"it would expand to more than {max(1 << 20, 100 * len(pack))} bytes: this is no data "
            "set"
        )

    def test_many_members(self, server: Server, tmp_path: Path) -> None:
        members = {f"raw_scale100/Ma190c_{n}.tiff": bytes(1 << 18) for n in range(9)}
        assert "would expand" in refused(server, tmp_path, "a.zip", zipped(members))

    def test_a_hundred_times_is_allowed(self, server: Server, tmp_path: Path) -> None:
        noise = hashlib.shake_128(b"").digest(1 << 16)
        content = zipped({GOOD: noise, "raw_scale100/Ma190c_b.tiff": bytes(3 << 20), LABELS: b""})
        folder = download_dataset(
            "microscopy", tmp_path, source=server.publish_mirror({"a.zip": content})
        )
        assert (folder / "images/raw_scale100/Ma190c_b.tiff").stat().st_size == 3 << 20

    def test_an_archive_in_an_archive(self, server: Server, tmp_path: Path) -> None:
        inner = zipped({"raw_scale100/Ma190c_b.tiff": bytes(700_000)})
        many = {f"{n}.zip": inner for n in range(3)}
        assert "would expand" in refused(server, tmp_path, "a.zip", zipped(many))

    def test_many_names(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(members, "MOST_MEMBERS", 5)
        content = zipped({f"{n}": b"" for n in range(6)})
        assert "it has more than 5 members" in refused(server, tmp_path, "a.zip", content)

    def test_a_size_that_is_not_true(self, server: Server, tmp_path: Path) -> None:
        content = bytearray(zipped({GOOD: bytes(3 << 20)}))
        for magic, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            at = content.rindex(magic) + place
            content[at : at + 4] = struct.pack("<I", 1000)
        message = refused(server, tmp_path, "a.zip", bytes(content))
        # zipfile itself stops at the declared size, and then misses the checksum.
        assert "a.zip: broken archive at raw_scale100/Ma190c_a.tiff (Bad CRC-32" in message

    def test_an_archive_that_is_small_in_a_large_one(self, server: Server, tmp_path: Path) -> None:
        """Each archive has a bound of its own."""
        noise = hashlib.shake_128(b"").digest(1 << 18)
        inner = zipped({"raw_scale100/Ma190c_b.tiff": bytes(3 << 20)})
        content = zipped({GOOD: noise, "inner.zip": inner}, zipfile.ZIP_STORED)
        assert archives.LARGEST_RATIO * len(content) > 3 << 20
        message = refused(server, tmp_path, "a.zip", content)
        assert message.startswith("a/inner.zip: refused")
        assert "would expand" in message

    def test_headers_count(self, server: Server, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.PAX_FORMAT) as archive:
            for number in range(9):
                info = tarfile.TarInfo(f"{number}")
                info.pax_headers = {"comment": "a" * 600_000}
                archive.addfile(info)
        assert "would expand" in refused(server, tmp_path, "a.tar.xz", buffer.getvalue())

    def test_names_of_the_folder_itself_count(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(members, "MOST_MEMBERS", 5)
        folder = tarfile.TarInfo(".")
        folder.type = tarfile.DIRTYPE
        content = gzip.compress(folder.tobuf() * 6 + bytes(1024))
        assert "it has more than 5 members" in refused(server, tmp_path, "a.tgz", content)

    def test_a_size_below_zero(self, server: Server, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(GOOD)
            info.pax_headers = {"size": "-1024"}
            archive.addfile(info)
        assert "refused, nothing of it is used" in refused(
            server, tmp_path, "a.tar", buffer.getvalue()
        )

    def test_a_large_attribute(self, server: Server, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(GOOD)
            info.pax_headers = {"comment": "a" * (1 << 20)}
            archive.addfile(info)
        message = refused(server, tmp_path, "a.tar", buffer.getvalue())
        assert message.startswith("a.tar: broken archive (a header of 104")

    def test_a_header_that_fills_the_memory(self, server: Server, tmp_path: Path) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 10**11
        content = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
        message = refused(server, tmp_path, "a.tgz", content)
        assert message.startswith("a.tgz: broken archive (a header of 100000000")


class TestBroken:
    @pytest.mark.parametrize(
        ("name", "pack"),
        [
            ("a.zip", zipped),
            ("a.tar", lambda members: tarred(members, "w:")),
            ("a.tar.gz", tarred),
            ("a.tar.bz2", lambda members: tarred(members, "w:bz2")),
            ("a.tar.xz", lambda members: tarred(members, "w:xz")),
        ],
    )
    def test_cut_off(
        self,
        server: Server,
        tmp_path: Path,
        name: str,
        pack: Callable[[dict[str, bytes]], bytes],
    ) -> None:
        content = pack({GOOD: hashlib.shake_128(b"").digest(30_000), LABELS: bytes(5000)})
        assert f"{name}: broken archive" in refused(server, tmp_path, name, content[:15_000])

    @pytest.mark.parametrize(("place", "words"), [(10, "broken header"), (-1, "follows its end")])
    def test_a_tar_that_ends_early(
        self, server: Server, tmp_path: Path, place: int, words: str
    ) -> None:
        """For tarfile, the files that come then are not there."""
        content = bytearray(tarred({GOOD: b"good", LABELS: b"a NGS\n"}, "w:"))
        if place > 0:
            content[content.rindex(b"./labels") + place] ^= 1
        else:
            content += tarred({LABELS: b"b NGS\n"}, "w:")
        assert words in refused(server, tmp_path, "a.tar", bytes(content))

    @pytest.mark.parametrize("more", [0, 100])
    def test_a_tar_that_is_cut_between_two_files(
        self, server: Server, tmp_path: Path, more: int
    ) -> None:
        content = tarred({GOOD: b"good", LABELS: b"a NGS\n"}, "w:")
        cut = gzip.compress(content[: content.rindex(b"./labels") + more])
        assert "a.tgz: broken archive (it ends with" in refused(server, tmp_path, "a.tgz", cut)

    def test_no_archive_at_all(self, server: Server, tmp_path: Path) -> None:
        for name in ("a.zip", "a.tar", "a.tgz", "a.tar.xz", "a.tbz2"):
            message = refused(server, tmp_path, name, b"no archive, but long enough for one" * 50)
            assert message.startswith(f"{name}: broken archive")
            assert message.endswith("): repeat the command, or name another place with --from URL")

    def test_a_flipped_bit(self, server: Server, tmp_path: Path) -> None:
        content = bytearray(zipped({GOOD: b"good" * 99}, zipfile.ZIP_STORED))
        content[content.index(b"good" * 9) + 7] ^= 1
        message = refused(server, tmp_path, "a.zip", bytes(content))
        assert f"a.zip: broken archive at {GOOD} (Bad CRC-32" in message

    def test_an_unknown_compression(self, server: Server, tmp_path: Path) -> None:
        content = bytearray(zipped({GOOD: b"good"}, zipfile.ZIP_STORED))
        for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            content[content.rindex(magic) + place] = 97
        assert "broken archive" in refused(server, tmp_path, "a.zip", bytes(content))

    def test_flipped_bits_everywhere(self, tmp_path: Path) -> None:
        """Nothing but an `InputError`, or as many bytes as declared."""
        members = {GOOD: hashlib.shake_128(b"a").digest(300), LABELS: b"a NGS\n" * 20}
        for name, content in (
            ("a.zip", zipped(members)),
            ("a.tar.gz", tarred(members)),
            ("a.tar", tarred(members, "w:")),
        ):
            path = tmp_path / name
            for place in range(0, min(len(content), 2600), 7):
                broken = bytearray(content)
                broken[place] ^= 1 << place % 8
                path.write_bytes(broken)
                with (
                    contextlib.suppress(InputError),
                    archives.open_archive(path, name, 1 << 20) as found,
                ):
                    for member in found:
                        assert len(b"".join(member.chunks())) == member.size


def test_names_of_archives() -> None:
    assert archives.is_archive("a/B.ZIP")
    assert archives.is_archive("raw_scale100.tar.gz")
    assert not archives.is_archive("a.zip/b.tiff")
    assert not archives.is_archive("a.gz")
    assert archives.stem("a/raw_scale100.tar.gz") == "raw_scale100"
    assert archives.stem("a/b.c.zip") == "b.c"
