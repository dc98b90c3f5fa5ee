"""Turn a pipeline against a task model: the published adversarial objective."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp import Pipeline
from raw2logit.isp.steps import AdditiveLayer
from raw2logit.similarity import ssim
from raw2logit.tasks.config import AttackConfig


class Attack(nn.Module):
    """What an attacking pipeline minimises.

    minus task loss + weight x distance(view, default view): Oala, Aversa et al., TMLR 2023, drift
    forensics. The distance is the mean squared difference, or 1 - SSIM; the published code added
    SSIM itself, which rewards views that differ.

    Attributes:
        default: The pipeline as it was before the attack.
    """

    def __init__(self, default: Pipeline, config: AttackConfig) -> None:
        """Keep a frozen copy of the pipeline before the attack."""
        super().__init__()
        self.default = copy.deepcopy(default).freeze().eval()
        self.config = config

    def objective(self, loss: Tensor, view: Tensor, raw: Tensor) -> Tensor:
        """Return what to minimise.

        Args:
            loss: Of the task, a scalar.
            view: ``(B, 3, H, W)``, what the attacking pipeline makes of `raw`.
            raw: ``(B, H, W)``.
        """
        return self.config.attack_weight * self.distance(view, raw) - loss

    def distance(self, view: Tensor, raw: Tensor) -> Tensor:
        """Return the distance of `view` to the default view of `raw`, averaged over the batch.

        Outside of mixed precision: half the digits are too few for the variances of SSIM.
        """
        with torch.autocast(view.device.type, enabled=False):
            reference: Tensor = self.default(raw)
            if self.config.attack_distance == "ssim":
                return 1 - ssim(view, reference).mean()
            return (view - reference).square().mean()


def attacking_pipeline(
    default: Pipeline, config: AttackConfig, size: tuple[int, int] | None = None
) -> Pipeline:
    """Return a copy of a pipeline in which only what may change learns.

    Args:
        default: The pipeline before the attack.
        config: What may change. A layer that an earlier attack has added learns on.
        size: Height and width of the images, for the additive layer.

    Raises:
        InputError: There is nothing that may change.
    """
    pipeline = copy.deepcopy(default)
    if config.attack_layer and "additive_layer" not in pipeline.steps:
        dtype = next((parameter.dtype for parameter in pipeline.parameters()), None)
        layer = AdditiveLayer(*(size or (1, 1)), dtype=dtype)
        before = "gamma" if "gamma" in pipeline.steps else None
        pipeline = pipeline.inserted("additive_layer", layer, before=before)
    for family, parameters in pipeline.parameters_by_family().items():
        for parameter in parameters:
            parameter.requires_grad_(config.changes(family))
    if not any(parameter.requires_grad for parameter in pipeline.parameters()):
        has = " ".join(pipeline.parameters_by_family()) or "no parameters"
        raise InputError(
            f"--attack-parameters {' '.join(config.attack_parameters)}: the pipeline has nothing "
            f"of that to change: it has {has}"
        )
    return pipeline
