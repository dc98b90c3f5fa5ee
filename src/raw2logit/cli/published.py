"""The command line of the published experiments, word for word: ``python train.py ...``.

It is translated into ``raw2logit train``, which it shows before it runs. Defaults that differ from
today's are the published ones.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from raw2logit.cli import main as run
from raw2logit.errors import InputError

_DATA = {"Drone": "drone-classification", "DroneSegmentation": "drone", "Microscopy": "microscopy"}
_DEBAYER = {"bilinear": "bi", "malvar2004": "ma", "menon2007": "me"}
_SHARPENING = {"sharpening_filter": "s", "unsharp_masking": "u"}
_DENOISING = {"gaussian_denoising": "ga", "median_denoising": "me", "fft_denoising": "ff"}
_FAMILIES = {
    "all": "all",
    "black_level": "black_level",
    "white_balance": "white_balance",
    "colour_correction": "colour_matrix",
    "gamma_correct": "gamma",
    "sharpening_filter": "sharpen",
    "gaussian_blur": "denoise",
    "additive_layer": "additive_layer",
}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
# What is handed on as it is, where it is given.
_SAME = {
    "experiment_name": "experiment",
    "run_name": "run-name",
    "seed": "seed",
    "n_splits": "splits",
    "iso": "intensity",
    "epochs": "epochs",
    "batch_size": "batch-size",
    "augmentation": "augmentation",
    "check_val_every_n_epoch": "check-val-every",
    "processor_uri": "pipeline-from",
    "classifier_uri": "model-from",
    "state_dict_uri": "splits-from",
    "tracking_uri": "tracking-uri",
    "track_n_images": "track-n-images",
    "adv_aux_weight": "attack-weight",
    "adv_aux_loss": "attack-distance",
    "root": "root",
    "out": "out",
    "accelerator": "accelerator",
}
_KEEPS_IMAGES = (
    *("track_processing", "track_processing_gradients", "track_predictions"),
    *("track_save_tensors", "adv_track_differences"),
)
_SAME_FLAGS = {
    "classifier_pretrained": "pretrained",
    "freeze_classifier": "freeze-model",
    "track_processing": "track-processing",
    "track_processing_gradients": "track-processing-gradients",
    "track_predictions": "track-predictions",
    "track_save_tensors": "track-save-tensors",
    "track_every_epoch": "track-every-epoch",
    "adv_track_differences": "track-differences",
    "adv_training": "attack",
    "adv_noise_layer": "attack-layer",
    "resume": "resume",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a published command line.

    Args:
        arguments: Words after ``train.py``; None: those of the process.

    Returns:
        Exit code, as of `raw2logit.cli.main`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = [word for word in words if word == "--debug"]
    options = [_with_underscores(word) for word in words if word != "--debug"]
    given = _parser().parse_args(options)
    try:
        command = translate(given)
    except InputError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    print(f"raw2logit {shlex.join(command)}", file=sys.stderr)
    if given.adv_training and given.classifier_uri is None:
        print(
            "train.py: no --classifier_uri: the classifier is trained first, with the pipeline "
            "frozen, and then attacked",
            file=sys.stderr,
        )
    return run([*command, *debug])


def translate(given: argparse.Namespace) -> list[str]:
    """Return the words of ``raw2logit`` for a parsed published command line.

    Raises:
        InputError: Options that cannot go together, or a split that cannot be had.
    """
    view = ",".join(
        (
            _DEBAYER[given.sp_debayer],
            _SHARPENING[given.sp_sharpening],
            _DENOISING[given.sp_denoising],
        )
    )
    mode = given.processing_mode
    view = {"neural_network": "neural", "none": "none"}.get(mode, view)
    learned = mode in ("parametrized", "neural_network") and not given.freeze_processor
    if given.adv_training and not learned:
        raise InputError(
            "--adv_training: the pipeline must be free to learn: use --processing_mode "
            "parametrized, without --freeze_processor"
        )
    if given.test_run:
        given.epochs = given.n_splits = given.check_val_every_n_epoch = 1
    words = ["train", "--data", _DATA[given.dataset]]
    if given.processor_uri is None:
        words += ["--view", view]
    words += ["--pipeline", "parametrized" if learned else "static"]
    words += ["--model", _model(given), "--lr", repr(given.lr)]
    if learned:
        # One learning rate for both, as published.
        words += ["--pipeline-lr", repr(given.lr)]
    if given.state_dict_uri is None:
        words += _folds(given.train_size)
    else:
        given.n_splits = None
    if not any(getattr(given, name) for name in _KEEPS_IMAGES):
        given.track_n_images = None
    for name, option in _SAME.items():
        if (value := getattr(given, name)) is not None:
            words += [f"--{option}", str(value)]
    words += [f"--{option}" for name, option in _SAME_FLAGS.items() if getattr(given, name)]
    if given.adv_parameters != ["all"]:
        words += ["--attack-parameters", *(_FAMILIES[name] for name in given.adv_parameters)]
    if not given.log_model:
        words.append("--no-log-model")
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="The published command line; `raw2logit train --help` shows today's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument

    def flag(name: str, help_text: str) -> None:
        add(name, action="store_true", help=help_text)

    add("--experiment_name", help="name of the experiment in the lab")
    add("--run_name", default="test run", help="name of the run in the lab")
    add("--tracking_uri", help="address of the lab; $MLFLOW_TRACKING_URI, or a local one")
    add("--processor_uri", help="start from this pipeline: runs:/ID, models:/NAME/1, or a folder")
    add("--classifier_uri", help="start from this task model, named in the same ways")
    add("--state_dict_uri", help="take the splits of this run: runs:/ID or a folder")
    add("--log_model", type=_truth, default=True, help="True or False: register the models")
    flag("--track_processing", "keep images of each stage of the pipeline")
    flag("--track_processing_gradients", "keep the gradient at each stage")
    flag("--track_save_tensors", "keep the tensors of each stage")
    flag("--track_predictions", "keep predictions beside targets")
    add("--track_n_images", type=int, default=5, help="of how many samples")
    flag("--track_every_epoch", "after every epoch, not only at the end")
    add("--seed", type=int, default=1, help="of splits and trainings")
    add("--dataset", choices=_DATA, default="Microscopy", help="the data set")
    add("--iso", type=float, default=1.0, help="intensity, 0.01 to 1")
    add("--n_splits", type=int, default=1, help="number of splits")
    add("--train_size", type=float, default=0.8, help="share that is not tested on")
    add("--lr", type=float, default=1e-5, help="learning rate of pipeline and task model")
    add("--epochs", type=int, default=3, help="passes over the training part")
    add("--batch_size", type=int, default=32, help="images in a step")
    strengths = ("none", "weak", "strong")
    add("--augmentation", choices=strengths, default="none", help="of the views")
    add("--check_val_every_n_epoch", type=int, default=1, help="epochs between two validations")
    modes = ("parametrized", "static", "neural_network", "none")
    add("--processing_mode", choices=modes, default="parametrized", help="the pipeline")
    add("--classifier_network", default="ResNet18", help="any torchvision or timm classifier")
    flag("--classifier_pretrained", "start from ImageNet weights")
    add("--smp_encoder", default="resnet34", help="encoder of the segmentation model")
    flag("--freeze_processor", "leave the pipeline as it is")
    flag("--freeze_classifier", "leave the task model as it is")
    add("--sp_debayer", choices=_DEBAYER, default="bilinear", help="demosaicing")
    add("--sp_sharpening", choices=_SHARPENING, default="sharpening_filter", help="sharpening")
    add("--sp_denoising", choices=_DENOISING, default="gaussian_denoising", help="denoising")
    flag("--adv_training", "turn the pipeline against the task model")
    add("--adv_aux_weight", type=float, default=1.0, help="weight of the distance to the default")
    add("--adv_aux_loss", choices=("l2", "ssim"), default="ssim", help="which distance")
    flag("--adv_noise_layer", "also learn a layer that is added to every image")
    flag("--adv_track_differences", "keep differences to the default pipeline")
    add(
        "--adv_parameters",
        nargs="+",
        choices=_FAMILIES,
        default=["all"],
        help="what the attack may change",
    )
    flag("--test_run", "one epoch of one split, to see that everything works")
    # Not published.
    add("--root", help="where data sets lie; $RAW2LOGIT_DATA, or ./data")
    add("--out", help="folder of the run; runs/RUN_NAME- and digits that stand for the options")
    flag("--resume", "continue a run that was killed")
    add("--accelerator", choices=("auto", "cpu", "gpu"), help="where it runs")
    return parser


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return _TRUTH[text.lower()]


def _model(given: argparse.Namespace) -> str:
    """Return the task model's name today; published ones may be of torchvision or of timm."""
    if given.dataset == "DroneSegmentation":
        return str(given.smp_encoder)
    name = str(given.classifier_network)
    if ":" in name:
        return name
    from torchvision import models

    if name.lower() in models.list_models(module=models):
        return name.lower()
    import timm

    return f"timm:{name.lower()}" if timm.is_model(name.lower()) else name


def _folds(train_size: float) -> list[str]:
    """Return how to split so that a share of the data is not tested on."""
    folds = round(1 / (1 - train_size)) if 0 < train_size < 1 else 0
    if folds < 3 or abs(1 - 1 / folds - train_size) > 0.01:
        raise InputError(
            f"--train_size {train_size}: one of 3 folds or more is tested: use .67, .75, .8, .83, "
            ".9 or another share of that kind"
        )
    # Five folds are the default, and fewer where there are fewer groups.
    return [] if folds == 5 else ["--split-folds", str(folds)]
