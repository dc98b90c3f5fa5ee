"""ImageNet weights from cache folders: they arrive in the model, or the error says what to do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from raw2logit.errors import InputError
from raw2logit.tasks import pretrained
from raw2logit.tasks.models import build_classifier, build_segmenter

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty cache folders, and addresses at which nobody is."""

    def refused(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", refused)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_hub_at(monkeypatch, "http://127.0.0.1:9")


def point_hub_at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def checkpoint(tmp_path: Path, name: str) -> Path:
    url = models.get_model_weights(name).DEFAULT.url
    path = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def hub_folder(tmp_path: Path, repository: str, revision: str | None = None) -> Path:
    """Make a repository's folder in the hub's cache; return where its files lie."""
    folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(_COMMIT)
    files = folder / "snapshots" / (revision or _COMMIT)
    files.mkdir(parents=True)
    return files


def marked(model: nn.Module) -> dict[str, Tensor]:
    """Return weights that no initialisation gives."""
    return {
        name: value + 0.125 if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }


def same(got: Mapping[str, Tensor], given: Mapping[str, Tensor], *, but: tuple[str, ...]) -> None:
    shared = [name for name in got if not name.startswith(but)]
    assert len(shared) > 20
    assert all(torch.equal(got[name], given[name]) for name in shared)


class TestTorchvision:
    @pytest.mark.parametrize(
        ("name", "head", "extra"),
        [
            ("resnet18", ("fc",), {}),
            ("mobilenet_v3_small", ("classifier.3",), {}),
            ("squeezenet1_1", ("classifier.1",), {}),
            ("regnet_y_400mf", ("fc",), {}),
            ("googlenet", ("fc",), {"init_weights": False}),
        ],
    )
    def test_all_but_the_head_is_what_the_file_says(
        self, name: str, head: tuple[str, ...], extra: dict[str, bool], tmp_path: Path
    ) -> None:
        given = marked(models.get_model(name, weights=None, **extra))
        torch.save(given, checkpoint(tmp_path, name))
        got = build_classifier(name, 5, pretrained=True)
        same(got.state_dict(), given, but=head)
        assert got.state_dict()[f"{head[0]}.bias"].shape == (5,)
        if name == "googlenet":
            assert got.transform_input
            assert isinstance(got.train()(torch.rand(2, 3, 64, 64)), Tensor)

    def test_not_there(self, tmp_path: Path) -> None:
        file = checkpoint(tmp_path, "resnet18")
        with pytest.raises(InputError) as caught:
            build_classifier("resnet18", 2, pretrained=True)
        message = str(caught.value)
        assert f"{file.name} are not in {file.parent} and could not be fetched" in message
        assert "no route to host" in message
        assert message.endswith("put the file there, or train without with --no-pretrained")

    def test_cut_off(self, tmp_path: Path) -> None:
        file = checkpoint(tmp_path, "resnet18")
        file.write_bytes(b"PK\3\4 not all of it")
        with pytest.raises(InputError, match=rf"{file} cannot be read .*delete the file"):
            build_classifier("resnet18", 2, pretrained=True)

    def test_a_file_that_runs_code_is_refused(self, tmp_path: Path) -> None:
        class Planted:
            def __reduce__(self) -> tuple[object, tuple[object, ...]]:
                return Path.touch, (tmp_path / "executed",)

        file = checkpoint(tmp_path, "resnet18")
        torch.save({"fc.weight": Planted()}, file)
        with pytest.raises(InputError, match="cannot be read"):
            build_classifier("resnet18", 2, pretrained=True)
        assert not (tmp_path / "executed").exists()

    def test_a_server_that_never_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from urllib.request import Request, urlopen

        monkeypatch.setattr(pretrained, "_PATIENCE_S", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            monkeypatch.setattr("torch.hub.urlopen", lambda _: urlopen(Request(address)))
            start = time.monotonic()
            with pytest.raises(InputError, match="timed out"):
                build_classifier("resnet18", 2, pretrained=True)
        assert time.monotonic() - start < 10
        assert socket.getdefaulttimeout() is None


class TestTimm:
    name = "resnet10t"

    def put(self, tmp_path: Path) -> dict[str, Tensor]:
        given = marked(timm.create_model(self.name))
        repository = timm.get_pretrained_cfg(self.name).hf_hub_id
        save_file(given, hub_folder(tmp_path, repository) / "model.safetensors")
        return given

    def test_all_but_the_head_is_what_the_file_says(self, tmp_path: Path) -> None:
        given = self.put(tmp_path)
        got = build_classifier(f"timm:{self.name}", 5, pretrained=True).state_dict()
        same(got, given, but=("fc",))
        assert got["fc.weight"].shape == (5, given["fc.weight"].shape[1])

    def test_as_an_encoder(self, tmp_path: Path) -> None:
        given = self.put(tmp_path)
        got = build_segmenter(f"smp:Unet/tu-{self.name}", pretrained=True)
        same(got.encoder.model.state_dict(), given, but=("fc",))

    def test_not_there(self, tmp_path: Path) -> None:
        start = time.monotonic()
        for build in (
            lambda: build_classifier("timm:resnet18.a1_in1k", 2, pretrained=True),
            lambda: build_segmenter("tu-resnet18.a1_in1k", pretrained=True),
        ):
            with pytest.raises(InputError) as caught:
                build()
            message = str(caught.value)
            folder = tmp_path / "hub" / "models--timm--resnet18.a1_in1k"
            assert f"model.safetensors of timm/resnet18.a1_in1k are not in {folder}" in message
            assert "`hf download timm/resnet18.a1_in1k model.safetensors`" in message
            assert message.endswith("or train without with --no-pretrained")
        assert time.monotonic() - start < 30

    def test_offline_as_the_user_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(pretrained, "_check_reachable", lambda _: pytest.fail("asked"))
        with pytest.raises(InputError, match="could not be fetched"):
            build_classifier("timm:resnet18", 2, pretrained=True)
        assert constants.HF_HUB_OFFLINE

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        repository = timm.get_pretrained_cfg(self.name).hf_hub_id
        files = hub_folder(tmp_path, repository)
        save_file({"other.weight": torch.zeros(3)}, files / "model.safetensors")
        with pytest.raises(InputError, match=r"cannot be built .*with the weights in .*resnet10t"):
            build_classifier(f"timm:{self.name}", 2, pretrained=True)

    def test_nobody_has_trained_it(self) -> None:
        name = next(n for n in timm.list_models() if not timm.is_model_pretrained(n))
        with pytest.raises(InputError, match=f"{name}: has no ImageNet weights: use another, or"):
            build_classifier(f"timm:{name}", 2, pretrained=True)


class TestSmp:
    settings = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]

    def test_the_encoder_is_what_the_file_says(self, tmp_path: Path) -> None:
        given = marked(smp.encoders.get_encoder("resnet18"))
        files = hub_folder(tmp_path, self.settings["repo_id"], self.settings["revision"])
        save_file(given, files / "model.safetensors")
        (files / "config.json").write_text(json.dumps({}))
        for name in ("resnet18", "smp:Unet/resnet18"):
            got = build_segmenter(name, pretrained=True)
            same(got.encoder.state_dict(), given, but=("nothing",))

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            build_segmenter("resnet18", pretrained=True)
        message = str(caught.value)
        repository, revision = self.settings["repo_id"], self.settings["revision"]
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        assert f"model.safetensors of {repository} are not in {folder}" in message
        assert f"`hf download {repository} --revision {revision} config.json model.sa" in message
        assert message.endswith("or train without with --no-pretrained")

    def test_nobody_has_trained_it(self) -> None:
        with pytest.raises(InputError, match="has no ImageNet weights"):
            build_segmenter("resnext101_32x48d", pretrained=True)


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs."""

    content = b""

    def do_HEAD(self) -> None:
        found = self.path == "/" or self.path.endswith("/resolve/main/model.safetensors")
        self.send_response(200 if found else 404)
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", _COMMIT)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_fetched_once_from_a_hub_and_then_taken_from_the_cache(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = marked(timm.create_model("resnet10t"))
    save_file(given, tmp_path / "there.safetensors")
    monkeypatch.setattr(_Hub, "content", (tmp_path / "there.safetensors").read_bytes())
    point_hub_at(monkeypatch, hub)
    same(build_classifier("timm:resnet10t", 3, pretrained=True).state_dict(), given, but=("fc",))
    point_hub_at(monkeypatch, "http://127.0.0.1:9")
    same(build_classifier("timm:resnet10t", 3, pretrained=True).state_dict(), given, but=("fc",))
