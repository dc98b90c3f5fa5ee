"""The plain formulation in torch: each step of `bi,s,ga` written as its textbook operation.

A mosaic with zeros where a colour was not sampled, a convolution, a product for every colour
transform, a convolution for every filter. Each number of it is a parameter that learns.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.color import rgb2yuv, yuv2rgb
from torch import Tensor, nn
from torch.nn import functional as F

from raw2logit import Camera

GRADIENT_FLOOR = 1e-5
"""Lower clip before the logarithm."""

_SIGMA_PX, _GAMMA = 0.5, 2.2
_CHANNEL = {"R": 0, "G": 1, "B": 2}


class PlainPipeline(nn.Module):
    """The view `bi,s,ga` for mosaics of one size, learnable."""

    masks: Tensor
    to_yuv: Tensor
    to_rgb: Tensor

    def __init__(self, camera: Camera, height: int, width: int) -> None:
        """Start from a camera without white level and the published filters."""
        super().__init__()
        colour = torch.tensor([_CHANNEL[letter] for letter in camera.cfa]).reshape(2, 2)
        colour = colour.repeat(height // 2, width // 2)
        self.register_buffer("masks", torch.stack([colour == i for i in range(3)]).float())
        eye = np.eye(3)[None]
        self.register_buffer("to_yuv", torch.from_numpy(rgb2yuv(eye)[0].T.copy()).float())
        self.register_buffer("to_rgb", torch.from_numpy(yuv2rgb(eye)[0].T.copy()).float())
        sparse = [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
        green = [[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]]
        sharpen = [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]
        self.black_level = nn.Parameter(torch.tensor(camera.black_level))
        self.kernels = nn.Parameter(torch.tensor([sparse, green, sparse])[:, None])
        self.gains = nn.Parameter(torch.tensor(camera.white_balance))
        self.matrix = nn.Parameter(torch.tensor(camera.colour_matrix))
        self.sharpen = nn.Parameter(torch.tensor(sharpen)[None, None])
        self.blur = nn.Parameter(gaussian_kernel(torch.tensor(_SIGMA_PX)))
        self.gamma = nn.Parameter(torch.tensor(_GAMMA))

    def forward(self, raw: Tensor) -> Tensor:
        """Map ``(B, H, W)`` raws to ``(B, 3, H, W)`` views."""
        height, width = raw.shape[-2:]
        signal = raw - self.black_level.reshape(2, 2).repeat(height // 2, width // 2)
        planes = F.pad(signal[:, None] * self.masks, (1, 1, 1, 1), mode="reflect")
        rgb = F.conv2d(planes, self.kernels, groups=3)
        rgb = torch.einsum("i,bihw->bihw", self.gains, rgb)
        rgb = torch.einsum("ij,bjhw->bihw", self.matrix, rgb)
        yuv = torch.einsum("ij,bjhw->bihw", self.to_yuv, rgb)
        luma = F.conv2d(F.pad(yuv[:, :1], (1, 1, 1, 1), mode="reflect"), self.sharpen)
        luma = F.conv2d(F.pad(luma, (2, 2, 2, 2), mode="reflect"), self.blur)
        rgb = torch.einsum("ij,bjhw->bihw", self.to_rgb, torch.cat([luma, yuv[:, 1:]], dim=1))
        return torch.exp(torch.log(rgb.clamp(GRADIENT_FLOOR, 1.0)) / self.gamma)

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients by the parameter names of raw2logit's pipeline.

        That pipeline learns logarithms of standard deviation and gamma: the chain rule leads there.
        """
        log_sigma = torch.tensor(math.log(_SIGMA_PX), requires_grad=True)
        gaussian_kernel(log_sigma.exp()).backward(_gradient(self.blur))
        return {
            "steps.black_level.black_level": _gradient(self.black_level),
            "steps.demosaic.kernels": _gradient(self.kernels)[:, 0],
            "steps.white_balance.gains": _gradient(self.gains),
            "steps.colour_matrix.matrix": _gradient(self.matrix),
            "steps.sharpen.kernel": _gradient(self.sharpen)[0, 0],
            "steps.denoise.log_sigma_px": _gradient(log_sigma),
            "steps.gamma.log_gamma": _gradient(self.gamma) * self.gamma.detach(),
        }


def gaussian_kernel(sigma_px: Tensor) -> Tensor:
    """Return the sampled, normalised ``(1, 1, 5, 5)`` gaussian."""
    line = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma_px) ** 2)
    line = line / line.sum()
    return torch.outer(line, line)[None, None]


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("no gradient reached a parameter of the plain formulation")
    return parameter.grad
