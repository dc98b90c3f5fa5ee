"""Task models by name."""

from __future__ import annotations

from typing import cast

from torch import nn

from raw2logit.errors import InputError


def build_classifier(name: str, n_outputs: int, *, pretrained: bool = False) -> nn.Module:
    """Build a torchvision ResNet with a head of `n_outputs`.

    Args:
        name: One of `raw2logit.tasks.config.MODELS`.
        n_outputs: Number of logits: the classes, or 1 for a number.
        pretrained: Load ImageNet weights through torchvision.

    Returns:
        A module from ``(B, 3, H, W)`` to ``(B, n_outputs)`` logits.

    Raises:
        InputError: The weights cannot be had.
    """
    from torchvision.models import get_model, get_model_weights

    weights = get_model_weights(name).DEFAULT if pretrained else None
    try:
        model: nn.Module = get_model(name, weights=weights)
    except OSError as error:  # urllib's errors are OSErrors
        raise _no_weights(name, weights.url if weights else "", error) from error
    model.fc = nn.Linear(cast(nn.Linear, model.fc).in_features, n_outputs)
    return model


def build_segmenter(name: str, *, pretrained: bool = False) -> nn.Module:
    """Build a U-Net++ with one output channel (Zhou et al., DLMIA 2018).

    Args:
        name: The encoder, one of `raw2logit.tasks.config.MODELS`.
        pretrained: Load ImageNet weights of the encoder.

    Returns:
        A module from ``(B, 3, H, W)`` to ``(B, 1, H, W)`` logits; H and W multiples of 32.

    Raises:
        InputError: The weights cannot be had.
    """
    import segmentation_models_pytorch as smp

    try:
        model: nn.Module = smp.UnetPlusPlus(
            encoder_name=name, encoder_weights="imagenet" if pretrained else None
        )
    except OSError as error:
        raise _no_weights(name, "the model hub", error) from error
    return model


def _no_weights(name: str, source: str, error: OSError) -> InputError:
    return InputError(
        f"ImageNet weights of {name} could not be fetched from {source} ({error}): put them into "
        "torch's cache folder ($TORCH_HOME/hub/checkpoints), or train without --pretrained"
    )
