"""What the user names with --from: refused early where it cannot work, and never shown whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from raw2logit import InputError, MissingDataError
from raw2logit.datasets.download import addresses, download_dataset, read_manifest

from .archives import below, published, zipped
from .server import Answer, Server, sums

CELL = {"raw_scale100/Ma190c_a.tiff": b"1"}


def fails(root: Path, source: str, error: type[Exception] = InputError) -> str:
    with pytest.raises(error) as caught:
        download_dataset("microscopy", root / "data", source=source)
    assert not (root / "data").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestSecrets:
    @pytest.mark.parametrize(
        "address",
        [
            "http://Mallory:pa55w0rd@:80/x?token=pa55w0rd",
            "http://Mallory:pa55w0rd@[/x?token=pa55w0rd",
            "http://Mallory:pa55w0rd@h:bad/x?token=pa55w0rd",
            "http://Mallory:pa55w0rd@a..b/x?token=pa55w0rd",
            "http://Mallory:pa55/w0rd@a..b/x?token=pa55w0rd",
            "s3://Mallory:pa55w0rd@bucket/x",
            "s3://Mallory:pa55/w0rd@bucket/x",
            "s3://pa55w0rd@",
            "reference://Mallory:pa55w0rd@a?x=pa55w0rd",
            "x9://Mallory:pa55w0rd@a/b?x=pa55w0rd",
        ],
    )
    def test_in_an_address_that_is_refused(self, tmp_path: Path, address: str) -> None:
        message = fails(tmp_path, address)
        assert not [word for word in ("Mallory", "pa55", "w0rd") if word in message]

    def test_of_a_bucket_belong_in_the_environment(self, tmp_path: Path) -> None:
        assert fails(tmp_path, "s3://KEY:SECRET@bucket/x") == (
            "--from s3://bucket/x: has credentials in it: give them in the environment, as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and name the bucket alone"
        )

    def test_where_a_server_sends_us(self, server: Server, tmp_path: Path) -> None:
        address = server.publish_mirror({"a.zip": zipped(CELL)})
        place = "http://USER:SECRET@[/x?token=SECRET"
        server.fail_always("/mirror/SHA256SUMS", Answer(302, {"Location": place}))
        assert "SECRET" not in fails(tmp_path, address)

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("http://127.0.0.1:80/a@b/c", "http://127.0.0.1:80/a@b/c"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            ("/a?b/c@d:e@f", "/a?b/c@d:e@f"),
            ("file:///a?b", "file:///a?b"),
            ("http://u:p@h/a?b#c", "http://h/a"),
        ],
    )
    def test_what_is_shown(self, address: str, shown: str) -> None:
        assert addresses.without_secrets(address) == shown

    def test_what_a_library_says(self) -> None:
        text = "Max retries: http://u:p@h/a?t=S (Caused by '/b?t=S')"
        assert addresses.scrub(text) == "Max retries: http://h/a (Caused by '/b')"


class TestRefused:
    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("", "--from: the address is empty: name one, or leave the option out"),
            (" \n", "--from: the address is empty"),
            ("file://", "--from file://: names no folder: write file:///FOLDER"),
            ("s3://", "--from s3://: names no server or bucket: write s3://NAME/..."),
            ("https://?", "--from https://: names no server or bucket"),
            ("http://:80/x", "--from http://:80/x: no address of a web server"),
            ("/a\x00b", "--from '/a\\x00b': has a control character in it"),
            ("github://a", "--from github://a: the address is not enough for 'github'"),
            ("dir://x", "--from dir://x: the address is not enough for 'dir'"),
            ("reference://x", "--from reference://x: the address is not enough for 'reference'"),
            ("http://a..b/x", "http://a..b/x/SHA256SUMS: cannot be asked for (label empty"),
            (f"http://{'a' * 70}.com", "SHA256SUMS: cannot be asked for (label empty or too long)"),
        ],
    )
    def test_at_once(
        self, tmp_path: Path, address: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert words in fails(tmp_path, address)

    def test_no_server_for_files(self, tmp_path: Path) -> None:
        assert fails(tmp_path, "ftp://127.0.0.1:1/x", MissingDataError) == (
            "--from ftp://127.0.0.1:1/x: no answer (connection refused): check the address and the "
            "network"
        )

    @pytest.mark.parametrize("place", ["http://[", "http://a..b/", "\xe9\xff", "ftp://x/y"])
    def test_where_a_server_sends_us(self, server: Server, tmp_path: Path, place: str) -> None:
        address = server.publish_mirror({"a.zip": zipped(CELL)})
        server.fail_always("/mirror/SHA256SUMS", Answer(302, {"Location": place}))
        assert f"{address}/SHA256SUMS: cannot be asked for (" in fails(tmp_path, address)

    def test_a_folder_of_this_machine_is_not_searched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mirror/a").mkdir(parents=True)
        monkeypatch.setattr(LocalFileSystem, "find", lambda *_, **__: pytest.fail("a search"))
        message = fails(tmp_path, str(tmp_path / "mirror"))
        assert message.startswith(f"{tmp_path / 'mirror'}: no checksum to verify it by")

    def test_names_of_the_record(self, server: Server, tmp_path: Path) -> None:
        server.publish_record({"../../evil.zip": zipped(CELL)})
        with pytest.raises(InputError, match=r"the name '\.\./\.\./evil\.zip' leads out"):
            download_dataset("microscopy", tmp_path / "a" / "b", keep_archives=True)
        assert not below(tmp_path)


def test_a_token_stays_with_every_address(
    root: Path, server: Server, microscopy: dict[str, bytes], tmp_path: Path
) -> None:
    address = server.publish_mirror(microscopy)
    server.token = "token=SECRET&a=1"
    for number, source in enumerate((f"{address}?", f"{address}/?")):
        folder = download_dataset(
            "microscopy", tmp_path / str(number), source=f"{source}{server.token}"
        )
        assert published(root, "microscopy").items() <= below(folder).items()
        assert "SECRET" not in (folder / "downloaded.json").read_text()
    name = "raw_scale100.zip"
    one = f"{address}/{name}?{server.token}"
    download_dataset("microscopy", tmp_path / "one", source=one)


def test_escapes_in_a_file_address(tmp_path: Path) -> None:
    mirror = tmp_path / "a #1? mirror"
    mirror.mkdir()
    (mirror / "a.zip").write_bytes(zipped(CELL))
    (mirror / "SHA256SUMS").write_bytes(b"\xef\xbb\xbf" + sums({"a.zip": zipped(CELL)}))
    assert "%20" in mirror.as_uri()
    for number, source in enumerate((mirror.as_uri(), (mirror / "a.zip").as_uri())):
        folder = download_dataset("microscopy", tmp_path / str(number), source=source)
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest.source == source
