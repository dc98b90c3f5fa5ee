"""Task models by name: what is built, what fits, and what the errors say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from raw2logit.cli import main
from raw2logit.datasets import make_splits
from raw2logit.errors import InputError, MissingDataError
from raw2logit.tasks import training
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.models import build_classifier, build_segmenter, check_output, provenance
from raw2logit.tasks.training import check_model, train_or_load
from tests.tasks.data import Levels

OWN = """
import torch
from torch import nn

SHIFT = 0.0

class Tiny(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.head = nn.Linear(3, n_outputs)

    def forward(self, view):
        return self.head(view.mean((2, 3))) + SHIFT

class Broken(nn.Module):
    def __init__(self, n_outputs):
        raise ZeroDivisionError("no weights today")

class Pair(Tiny):
    def forward(self, view):
        return super().forward(view), view

class Doubled(Tiny):
    def forward(self, view):
        return super().forward(view).repeat(1, 2)

def pixels(n_outputs):
    return nn.Conv2d(3, n_outputs, 1)

def nothing(n_outputs):
    return 7
"""


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own_models_of_mine.py"
    path.write_text(OWN)
    return path


def fits(model: nn.Module, expected: tuple[int, ...], height: int, width: int) -> None:
    check_output(model, "it", expected, torch.Size((height, width)))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 32),
        ("ResNet50", 32),
        ("squeezenet1_1", 64),
        ("mobilenet_v3_small", 64),
        ("densenet121", 64),
        ("convnext_tiny", 64),
        ("swin_t", 64),
        ("googlenet", 64),
        ("inception_v3", 96),
        ("timm:resnet10t", 64),
        ("timm:ResNet18.A1_in1k", 64),
        ("timm:mobilenetv3_small_050", 64),
        # Made for 224 x 224, and free to take another size.
        ("timm:vit_tiny_patch16_224", 64),
        ("timm:swin_tiny_patch4_window7_224", 64),
    ],
)
def test_classifier(name: str, size: int) -> None:
    fits(build_classifier(name, 5), (5,), size, size)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "ResNet34",
        "tu-mobilenetv3_small_050",
        "smp:Unet/resnet18",
        "smp:DeepLabV3Plus/mobilenet_v2",
        "smp:FPN/tu-resnet10t",
        "smp:Segformer/mit_b0",
    ],
)
def test_segmenter(name: str) -> None:
    fits(build_segmenter(name), (1, 64, 96), 64, 96)


def test_a_published_name_is_kept_one_way() -> None:
    assert TrainingConfig(model="ResNet18") == TrainingConfig(model="resnet18")
    assert TrainingConfig(model="smp:Unet/ResNet18").model == "smp:unet/resnet18"
    assert TrainingConfig(model="Own.py:Tiny").model == "Own.py:Tiny"
    with pytest.raises(InputError, match="--model: name a task model"):
        TrainingConfig(model="")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "unknown task model 'resnet19': close are resnet18 .*; give a torchvision"),
        ("mobilenetv3_small_050", "close are timm:mobilenetv3_small_050 "),
        ("timm:resnet19", "close are timm:resnet18 "),
        ("qqqq", "unknown task model 'qqqq': give a torchvision classification model, timm:NAME"),
        ("smp:Unet/resnet18", "--model smp:Unet/resnet18: gives masks"),
    ],
)
def test_names_that_are_no_classifier(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_classifier(name, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "unknown task model 'resnet19': close are resnet18 .*; give an encoder"),
        ("tu-resnet19", "close are tu-resnet18 "),
        ("smp:Unet/resnet19", "close are smp:Unet/resnet18 "),
        ("smp:Unett/resnet18", "close are smp:unet/resnet18 "),
        ("smp:Unet", "close are smp:unet/resnet18"),
        ("timm:resnet18", "gives no masks; as the encoder of a U-Net[+]{2}: tu-resnet18"),
        ("mit_b0", "--model mit_b0: cannot be built .ValueError: UnetPlusPlus is not support"),
    ],
)
def test_names_that_are_no_segmenter(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_segmenter(name)


class TestOutput:
    def test_too_small_an_image(self) -> None:
        model = build_classifier("inception_v3", 2)
        message = r"--model it: fails on images of 32 x 32 pixels \(RuntimeError: .*other sizes"
        with pytest.raises(InputError, match=message):
            fits(model, (2,), 32, 32)

    def test_a_model_of_one_size_names_it(self) -> None:
        with pytest.raises(InputError, match=r"64 x 64 pixels .*Expected 224 but got 64"):
            fits(build_classifier("vit_b_16", 2), (2,), 64, 64)

    def test_another_shape(self) -> None:
        message = r"output has shape \(2, 1, 32, 32\), expected \(2, 4\) for input \(2, 3, 32, 32\)"
        with pytest.raises(InputError, match=message):
            fits(nn.Conv2d(3, 1, 1), (4,), 32, 32)

    def test_leaves_model_and_random_numbers_alone(self) -> None:
        model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Conv2d(3, 1, 1)).eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        state = torch.get_rng_state()
        fits(model, (1, 8, 8), 8, 8)
        assert not model.training
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.usefixtures("own_file")
class TestOwn:
    @pytest.mark.parametrize("place", ["own_models_of_mine.py", "own_models_of_mine"])
    def test_class_and_function(self, place: str) -> None:
        fits(build_classifier(f"{place}:Tiny", 5), (5,), 8, 8)
        fits(build_segmenter(f"{place}:pixels"), (1, 8, 10), 8, 10)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("own_models_of_mine.py:Tinny", "has no class or function 'Tinny'; it has .*Tiny"),
            ("own_models_of_mine.py:SHIFT", "has no class or function 'SHIFT'"),
            ("own_models_of_mine.py:Broken", r"cannot be built \(ZeroDivisionError: no weights to"),
            ("own_models_of_mine.py:nothing", "gives a int, expected an nn.Module"),
            ("no_such_module:Tiny", "--model no_such_module:Tiny: ModuleNotFoundError"),
        ],
    )
    def test_what_cannot_be_built(self, name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            build_classifier(name, 3)

    def test_no_such_file(self) -> None:
        with pytest.raises(MissingDataError, match=r"nope\.py: no such file"):
            build_classifier("nope.py:Tiny", 3)

    def test_outputs_that_do_not_fit(self, tmp_path: Path) -> None:
        data = Levels("classification").loaded()
        split = make_splits(data.dataset, 1, seed=0)[0]
        for kind, message in (
            ("Pair", "gives a tuple in training, expected a tensor of shape .2, 2."),
            ("Doubled", r"output has shape \(2, 4\), expected \(2, 2\)"),
        ):
            config = TrainingConfig(model=f"own_models_of_mine.py:{kind}", accelerator="cpu")
            with pytest.raises(InputError, match=message):
                train_or_load(data, split, "bi,s,ga", config, tmp_path / "m", seed=0)
        assert not (tmp_path / "m").exists()

    def test_no_published_weights(self) -> None:
        with pytest.raises(InputError, match="--pretrained: is for published models"):
            build_classifier("own_models_of_mine.py:Tiny", 3, pretrained=True)

    def test_an_edited_file_trains_anew(
        self, own_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = Levels("classification", size=16).loaded()  # smaller than published models take
        split = make_splits(data.dataset, 1, seed=0)[0]
        config = TrainingConfig(
            model=f"{own_file}:Tiny", epochs=1, batch_size=8, lr=0.1, accelerator="cpu"
        )

        def train() -> None:
            train_or_load(data, split, "bi,s,ga", config, tmp_path / "models", seed=0)

        train()
        monkeypatch.setattr(training, "_fit", lambda *_: pytest.fail("trained again"))
        train()
        own_file.write_text(OWN.replace("SHIFT = 0.0", "SHIFT = 0.5"))
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            train()
        assert build_classifier(config.model, 2)(torch.zeros(1, 3, 4, 4)).shape == (1, 2)

    def test_a_class_from_another_file_counts_too(self, own_file: Path, tmp_path: Path) -> None:
        (tmp_path / "front.py").write_text(f"from {own_file.stem} import Tiny\n")
        assert len(provenance("front.py:Tiny")) == 2
        assert len(provenance(f"{own_file.name}:Tiny")) == 1


def test_published_models_are_known_by_their_libraries() -> None:
    assert set(provenance("resnet18")) == {"torchvision", "timm", "segmentation-models-pytorch"}


def test_checking_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    check_model(Levels("classification"), TrainingConfig())
    assert torch.equal(torch.get_rng_state(), state)


# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_on_the_command_line(
    own_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--count", "48", "--size", "32", "--workers", "1", "--root", "data"]
    assert main(["data", "generate", "microscopy", *data]) == 0
    small = ["--root", "data", "--epochs", "1", "--batch-size", "8", "--accelerator", "cpu"]
    for verb in ("train", "synthesis"):
        capsys.readouterr()
        assert main([verb, *small, "--model", "resnet19", "-o", verb]) == 2
        assert "close are resnet18" in capsys.readouterr().err
        assert not (tmp_path / verb).exists()
    own = ["--model", f"{own_file.name}:Tiny", "--augmentation", "strong", "-o", "out"]
    assert main(["train", *small, *own]) == 0
    assert (tmp_path / "out" / "report.html").is_file()
