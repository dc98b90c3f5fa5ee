"""``train.py``: the published command lines, word for word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raw2logit.cli import app
from raw2logit.cli.published import _parser, main, translate

TRAIN = Path(__file__).parents[2] / "train.py"
COMMON = (
    "--experiment_name YOUR-EXPERIMENT-NAME --run_name YOUR-RUN-NAME --dataset Microscopy {} "
    "--lr 1e-5 --n_splits 5 --epochs 5 --classifier_pretrained --processing_mode {} "
    "--augmentation weak --log_model True --iso 0.01 {} --track_processing --track_every_epoch "
    "--track_predictions --track_processing_gradients --track_save_tensors"
)
PUBLISHED = {
    "attack": COMMON.format("--adv_training", "parametrized", ""),
    "static": COMMON.format("", "static", "--freeze_processor"),
    "learned": COMMON.format("", "parametrized", ""),
}


def translated(line: str) -> list[str]:
    return translate(_parser().parse_args(line.split()))


def bound(line: str) -> dict[str, object]:
    """Return what ``raw2logit train`` gets."""
    _, arguments, _ = app.parse_args(translated(line), exit_on_error=False, print_error=False)
    return dict(arguments.arguments)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_commands(name: str) -> None:
    given = bound(PUBLISHED[name])
    assert given["data"] == "microscopy"
    assert given["intensity"] == 0.01
    assert given["experiment"] == "YOUR-EXPERIMENT-NAME"
    assert given["run_name"] == "YOUR-RUN-NAME"
    assert given["splits"] == 5
    assert given["pipeline"] == ("static" if name == "static" else "parametrized")
    assert given["view"] == "bi,s,ga"
    assert given.get("log_model", True) is True
    training = given["training"]
    pipeline_lr = 1e-4 if name == "static" else 1e-5  # without effect where it is static
    assert (training.lr, training.pipeline_lr, training.epochs) == (1e-5, pipeline_lr, 5)
    assert (training.pretrained, training.model, training.augmentation) == (
        *(True, "resnet18", "weak"),
    )
    assert given["attack"].attack == (name == "attack") if "attack" in given else name != "attack"
    track = given["track"]
    assert track.track_processing
    assert track.track_processing_gradients
    assert track.track_predictions
    assert track.track_save_tensors
    assert track.track_every_epoch


def test_every_further_option() -> None:
    given = bound(
        "--dataset DroneSegmentation --smp_encoder resnet18 --train_size 0.75 --batch_size 8 "
        "--seed 7 --augmentation strong --check_val_every_n_epoch 2 --sp_debayer menon2007 "
        "--sp_sharpening unsharp_masking --sp_denoising median_denoising --adv_training "
        "--adv_aux_weight 0.5 --adv_aux_loss l2 --adv_noise_layer --adv_track_differences "
        "--adv_parameters colour_correction gamma_correct sharpening_filter gaussian_blur "
        "--processor_uri models:/p/1 --classifier_uri runs:/a --tracking_uri sqlite:///x.db "
        "--track_n_images 3 --log_model False --root somewhere --out there"
    )
    training, attack, track = given["training"], given["attack"], given["track"]
    assert given["data"] == "drone"
    assert "view" not in given  # the given pipeline brings its own
    assert given["splitting"].split_folds == 4
    assert (given["seed"], given["pipeline_from"], given["model_from"]) == (
        *(7, "models:/p/1", "runs:/a"),
    )
    assert (given["tracking_uri"], given["log_model"]) == (*("sqlite:///x.db", False),)
    assert (training.model, training.batch_size, training.check_val_every) == ("resnet18", 8, 2)
    assert training.augmentation == "strong"
    assert attack.attack
    assert attack.attack_layer
    assert (attack.attack_weight, attack.attack_distance) == (0.5, "l2")
    assert attack.attack_parameters == ("colour_matrix", "gamma", "sharpen", "denoise")
    assert (track.track_differences, track.track_n_images) == (True, 3)
    assert (given["root"], given["out"]) == (Path("somewhere"), Path("there"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--dataset Drone", "--data drone-classification"),
        ("--processing_mode none", "--view none --pipeline static"),
        ("--processing_mode neural_network", "--view neural --pipeline parametrized"),
        ("--freeze_processor", "--view bi,s,ga --pipeline static"),
        ("--sp_denoising fft_denoising", "--view bi,s,ff"),
        ("--classifier_network ResNet50", "--model resnet50"),
        ("--classifier_network resnet10t", "--model timm:resnet10t"),
        ("--classifier_network timm:vit_tiny_patch16_224", "--model timm:vit_tiny_patch16_224"),
        ("--freeze_classifier", "--freeze-model"),
        ("--test_run --epochs 9 --n_splits 9", "--splits 1"),
        ("--test_run --epochs 9 --n_splits 9", "--epochs 1"),
        ("--state_dict_uri runs:/a", "--splits-from runs:/a"),
        ("--lr 3e-4", "--lr 0.0003 --pipeline-lr 0.0003"),
        ("--sp_debayer menon2007 --sp_sharpening unsharp_masking", "--view me,u,ga"),
        ("--track_processing", "--track-n-images 5"),
        ("--adv_parameters gamma_correct", "--attack-parameters gamma"),
    ],
)
def test_translation(line: str, words: str) -> None:
    assert words in " ".join(translated(line))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "--track-n-images"),
        ("", "--attack-parameters"),
        ("--freeze_processor", "--pipeline-lr"),
        ("--processor_uri a", "--view"),
    ],
)
def test_what_would_change_nothing_is_not_handed_on(line: str, word: str) -> None:
    assert word not in translated(line)


def test_splits_of_another_run_stay_as_they_are() -> None:
    words = translated("--state_dict_uri runs:/a --n_splits 5 --train_size .1")
    assert "--splits" not in words
    assert "--split-folds" not in words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--adv_training --processing_mode static", "--processing_mode parametrized"),
        ("--adv_training --freeze_processor", "without --freeze_processor"),
        ("--train_size 0.5", "--train_size 0.5"),
        ("--train_size 1", "--train_size 1.0"),
        ("--train_size=-3", "--train_size -3.0"),
    ],
)
def test_what_cannot_be(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_dashes_are_as_good_as_underscores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run-name", "a", "--processing-mode=none", "--root", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "raw2logit train --data microscopy --view none" in said
    assert "raw2logit data generate microscopy --root nowhere" in said


def test_the_script_runs() -> None:
    done = subprocess.run([sys.executable, TRAIN, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--adv_aux_loss" in done.stdout
