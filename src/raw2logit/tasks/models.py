"""Task models by name: torchvision's, timm's, segmentation_models_pytorch's, or the user's own."""

from __future__ import annotations

import copy
import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from raw2logit.errors import InputError
from raw2logit.files import sha256_of
from raw2logit.tasks import pretrained as weights_of
from raw2logit.tasks.config import is_own_model
from raw2logit.tasks.own_models import load_factory, source_files


def build_classifier(name: str, n_outputs: int, *, pretrained: bool = False) -> nn.Module:
    """Build a classifier or regressor.

    Args:
        name: A torchvision classification model, ``timm:NAME``, or ``module:Class`` or
            ``file.py:Class`` of the user's own.
        n_outputs: Number of logits: the classes, or 1 for a number.
        pretrained: Load ImageNet weights; the last layer is a new one all the same.

    Returns:
        A module from ``(B, 3, H, W)`` to ``(B, n_outputs)`` logits.

    Raises:
        InputError: There is no such model, it cannot be built, or its weights cannot be had.
    """
    if is_own_model(name):
        return _build_own(name, n_outputs, pretrained=pretrained)
    library, colon, inner = name.lower().rpartition(":")
    if library == "smp":
        raise InputError(
            f"--model {name}: gives masks, and the labels are none; use a torchvision name, "
            "timm:NAME or module:Class"
        )
    if colon:
        return _build_timm(name, inner, n_outputs, pretrained=pretrained)
    return _build_torchvision(inner, n_outputs, pretrained=pretrained)


def build_segmenter(name: str, *, pretrained: bool = False) -> nn.Module:
    """Build a model with one output channel.

    Args:
        name: An encoder of segmentation_models_pytorch (``tu-NAME`` for timm's), which gets the
            decoder of a U-Net++ (Zhou et al., DLMIA 2018); ``smp:Architecture/encoder``; or
            ``module:Class`` or ``file.py:Class`` of the user's own.
        pretrained: Load ImageNet weights of the encoder.

    Returns:
        A module from ``(B, 3, H, W)`` to ``(B, 1, H, W)`` logits.

    Raises:
        InputError: There is no such model, it cannot be built, or its weights cannot be had.
    """
    if is_own_model(name):
        return _build_own(name, 1, pretrained=pretrained)
    import segmentation_models_pytorch as smp

    library, _, inner = name.lower().rpartition(":")
    if library == "timm":
        raise InputError(f"--model {name}: gives no masks; as the encoder of a U-Net++: tu-{inner}")
    architecture, _, encoder = (inner if library else f"unetplusplus/{inner}").partition("/")
    if architecture not in _SEGMENTERS or not encoder:
        known = (f"smp:{kind}/{encoder or 'resnet18'}" for kind in _SEGMENTERS)
        raise _unknown(name, known, _SEGMENTATION)
    _check_encoder(name, encoder)

    def build(weights: str | bool | None) -> nn.Module:
        with _blaming(name), warnings.catch_warnings():
            # Older releases say so before they try another server; the error in the end says all.
            warnings.filterwarnings("ignore", message="Error loading .* from Hugging Face Hub")
            model: nn.Module = smp.create_model(
                architecture, encoder, encoder_weights=weights, in_channels=3, classes=1
            )
        return model

    if not pretrained:
        return build(None)
    if encoder.startswith("tu-"):
        return weights_of.with_timm_weights(name, encoder[3:], lambda: build(True))
    settings = smp.encoders.encoders[encoder]["pretrained_settings"]
    if "imagenet" not in settings:
        raise weights_of.no_weights_exist(name)
    place = settings["imagenet"]
    return weights_of.with_hub_weights(
        name,
        place["repo_id"],
        ("config.json", "model.safetensors"),
        lambda: build("imagenet"),
        revision=place["revision"],
    )


def provenance(name: str) -> dict[str, str]:
    """Return what decides a model beside its name: its library's version, or the user's source."""
    if is_own_model(name):
        files = source_files(name)
        return {f"source {i}": sha256_of(file) for i, file in enumerate(files)}
    packages = ("torchvision", "timm", "segmentation-models-pytorch")
    return {package: version(package) for package in packages}


def check_output(model: nn.Module, name: str, expected: tuple[int, ...], size: torch.Size) -> None:
    """Show a model two grey images, as in training, and see whether the logits fit.

    Args:
        model: Left as it is.
        name: For the message.
        expected: Shape of the logits without the batch: ``(n,)`` or ``(1, H, W)``.
        size: Height and width of the images.

    Raises:
        InputError: It does not take images of this size, or gives something else.
    """
    shown = (2, 3, *size)
    # A copy in training mode: extra outputs show there only, and statistics would be updated.
    probe = copy.deepcopy(model).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            output = probe(torch.full(shown, 0.5))
        except Exception as error:  # each library has its own, and the user's code any
            raise InputError(
                f"--model {name}: fails on images of {size[0]} x {size[1]} pixels "
                f"({_one_line(error)}): use another model or other sizes"
            ) from error
    wanted = (2, *expected)
    if not isinstance(output, torch.Tensor):
        raise InputError(
            f"--model {name}: gives a {type(output).__name__} in training, expected a tensor of "
            f"shape {wanted} for input {shown}"
        )
    if tuple(output.shape) != wanted:
        raise InputError(
            f"--model {name}: output has shape {tuple(output.shape)}, expected {wanted} for input "
            f"{shown}"
        )


class ShapesOnly(TorchFunctionMode):
    """In its block, parameters of torchvision's models have shapes and take no memory.

    What is computed from other tensors has its values, as in the block of a ``meta`` device it has
    not: RegNets compute their widths so.
    """

    _MADE = (torch.empty, torch.zeros, torch.ones)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Make what is new on the ``meta`` device."""
        options = dict(kwargs or {})
        if func in self._MADE and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


_CLASSIFICATION = "a torchvision classification model, timm:NAME, or module:Class of your own"
_SEGMENTATION = (
    "an encoder of segmentation_models_pytorch, tu-NAME for timm's, smp:Architecture/encoder, or "
    "module:Class of your own"
)
_SEGMENTERS = (
    *("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus"),
    *("pan", "upernet", "segformer", "dpt"),
)
"""Architectures of the oldest segmentation_models_pytorch supported."""


def _build_own(name: str, n_outputs: int, *, pretrained: bool) -> nn.Module:
    if pretrained:
        raise InputError(f"--pretrained: is for published models; {name} loads its own weights")
    factory = load_factory(name)
    with _blaming(name):
        model = factory(n_outputs=n_outputs)
    if not isinstance(model, nn.Module):
        raise InputError(f"--model {name}: gives a {type(model).__name__}, expected an nn.Module")
    return model


def _build_torchvision(name: str, n_outputs: int, *, pretrained: bool) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        import timm

        raise _unknown(name, [*known, *(f"timm:{n}" for n in timm.list_models())], _CLASSIFICATION)
    builder = models.get_model_builder(name)

    def build(n: int, *, initialise: bool = True) -> nn.Module:
        # Those that ask how to initialise warn where nobody says.
        kind = inspect.signature(builder).return_annotation
        asks = "init_weights" in inspect.signature(kind).parameters
        options = {"init_weights": initialise} if asks else {}
        return _without_auxiliary(builder(weights=None, num_classes=n, **options))

    with _blaming(name):
        fresh = build(n_outputs)
        if not pretrained:
            return fresh
        # The head is what changes its shape with the number of classes.
        with ShapesOnly():
            other = dict(build(n_outputs + 1, initialise=False).named_parameters())
        heads = {
            parameter.rpartition(".")[0]
            for parameter, value in fresh.named_parameters()
            if value.shape != other[parameter].shape
        }
    weights = models.get_model_weights(name).DEFAULT
    weights_of.fetch_torchvision(name, weights)
    with _blaming(name):
        model = _without_auxiliary(builder(weights=weights, progress=False))
        for head in heads:
            model.set_submodule(head, fresh.get_submodule(head))
    return model


def _without_auxiliary(model: nn.Module) -> nn.Module:
    """Take off the second classifiers that GoogLeNet and Inception have during training."""
    if getattr(model, "aux_logits", False):
        setattr(model, "aux_logits", False)  # noqa: B010 - nn.Module declares no attributes
        for child in [child for child, _ in model.named_children() if child.lower()[:3] == "aux"]:
            setattr(model, child, None)
    return model


def _build_timm(name: str, inner: str, n_outputs: int, *, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(inner):
        raise _unknown(name, (f"timm:{known}" for known in timm.list_models()), _CLASSIFICATION)

    def build() -> nn.Module:
        with _blaming(name):
            if not pretrained:
                return _create_timm(inner, num_classes=n_outputs)
            # With its own classes first: then timm insists on all weights being there.
            model = _create_timm(inner, pretrained=True)
            cast(Any, model).reset_classifier(n_outputs)
            return model

    return weights_of.with_timm_weights(name, inner, build) if pretrained else build()


def _create_timm(name: str, **options: Any) -> nn.Module:  # noqa: ANN401 - timm's own
    """Create a timm model that takes images of any size, where its architecture can."""
    import timm

    configuration = timm.get_pretrained_cfg(name)
    if configuration is not None and configuration.fixed_input_size:
        freedoms: tuple[dict[str, Any], ...] = (
            {"dynamic_img_size": True},
            {"strict_img_size": False},
        )
        for freedom in freedoms:
            with suppress(TypeError):  # an architecture that knows no such option
                return timm.create_model(name, **options, **freedom)
    return timm.create_model(name, **options)


def _check_encoder(name: str, encoder: str) -> None:
    import segmentation_models_pytorch as smp
    import timm

    if encoder in smp.encoders.encoders:
        return
    if not encoder.startswith("tu-") or not timm.is_model(encoder[3:]):
        known = [*smp.encoders.encoders, *(f"tu-{other}" for other in timm.list_models())]
        prefix = name[: len(name) - len(encoder)]
        raise _unknown(name, (prefix + other for other in known), _SEGMENTATION)


def _unknown(name: str, known: Iterable[str], kinds: str) -> InputError:
    close = difflib.get_close_matches(name.lower(), known, n=4)
    hint = f"close are {' '.join(close)}; " if close else ""
    return InputError(f"unknown task model {name[:200]!r}: {hint}give {kinds}")


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Name the model when a library, or the user's code, cannot build it."""
    try:
        yield
    except (InputError, OSError):  # OSError: weights, which have messages of their own
        raise
    except Exception as error:
        raise InputError(f"--model {name}: cannot be built ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
