"""ImageNet weights, as the libraries load them, from their cache folders where they are there.

Where they are not and cannot be fetched, the error names the file and where it goes. Nothing falls
back to random weights.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raw2logit.errors import InputError

_PATIENCE_S = 10.0
"""A connection that does not answer for so long is none."""

_WITHOUT = "or train without with --no-pretrained"


def fetch_torchvision(name: str, weights: Any) -> None:  # noqa: ANN401 - torchvision has no types
    """Bring a torchvision model's weights into torch's cache folder, and see that they are whole.

    Args:
        name: For the message.
        weights: The member of the model's weights enum.

    Raises:
        InputError: They are not there and cannot be fetched, or cannot be read.
    """
    path = _checkpoint(weights.url)
    try:
        with _impatient():
            # As plain tensors: a file in the cache may be anybody's.
            weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:  # urllib's errors are OSErrors
        raise _no_checkpoint(name, weights.url, error) from error
    except Exception as error:  # pickle, zip and hash errors each have their own
        raise _broken(name, str(path), error) from error


def with_timm_weights(name: str, inner: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a timm model, or one with a timm encoder, with its weights.

    Args:
        name: For the message.
        inner: timm's name of it.
        build: Builds it with weights.

    Raises:
        InputError: The weights are not there and cannot be fetched, or do not fit.
    """
    import timm

    configuration = timm.get_pretrained_cfg(inner)
    if configuration is None or not configuration.has_weights:
        raise no_weights_exist(name)
    if configuration.hf_hub_id:
        file = configuration.hf_hub_filename or "model.safetensors"
        return with_hub_weights(name, configuration.hf_hub_id, (file,), build)
    try:
        with _impatient():
            return build()
    except OSError as error:
        raise _no_checkpoint(name, str(configuration.url), error) from error


def with_hub_weights(
    name: str,
    repository: str,
    files: Sequence[str],
    build: Callable[[], nn.Module],
    *,
    revision: str | None = None,
) -> nn.Module:
    """Build a model with weights of the Hugging Face hub, from its cache folder if they are there.

    Args:
        name: For the message.
        repository: ``owner/name`` on the hub.
        files: What is read of it.
        build: Builds the model with weights.
        revision: Of the repository.

    Raises:
        InputError: The weights are not there and cannot be fetched, or cannot be read.
    """
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    offline = constants.HF_HUB_OFFLINE
    try:
        try:
            # The hub's client asks its server even for what it has, and tries for a long time.
            constants.HF_HUB_OFFLINE = True
            with _impatient():
                return build()
        except OSError:
            if offline:
                raise
        finally:
            constants.HF_HUB_OFFLINE = offline
        _check_reachable(constants.ENDPOINT)
        return build()
    except InputError as error:
        raise InputError(f"{error}, with the weights in {folder}") from error
    except OSError as error:
        pinned = f" --revision {revision}" if revision else ""
        raise InputError(
            f"--model {name}: ImageNet weights {' and '.join(files)} of {repository} are not in "
            f"{folder} and could not be fetched ({_one_line(error)}): copy that folder from a "
            f"machine that ran `hf download {repository}{pinned} {' '.join(files)}`, {_WITHOUT}"
        ) from error


def no_weights_exist(name: str) -> InputError:
    """Return the error for a model that nobody published ImageNet weights of."""
    return InputError(f"--model {name}: has no ImageNet weights: use another, {_WITHOUT}")


def _check_reachable(address: str) -> None:
    import requests

    requests.head(address, timeout=_PATIENCE_S)  # its errors are OSErrors; any answer will do


@contextmanager
def _impatient() -> Iterator[None]:
    """Let urllib, which has no time limit of its own, give up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _checkpoint(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _no_checkpoint(name: str, url: str, error: OSError) -> InputError:
    path = _checkpoint(url)
    return InputError(
        f"--model {name}: ImageNet weights {path.name} are not in {path.parent} and could not be "
        f"fetched from {url} ({_one_line(error)}): put the file there, {_WITHOUT}"
    )


def _broken(name: str, place: str, error: Exception) -> InputError:
    return InputError(
        f"--model {name}: ImageNet weights {place} cannot be read ({_one_line(error)}): delete the "
        f"file and fetch it anew, {_WITHOUT}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
