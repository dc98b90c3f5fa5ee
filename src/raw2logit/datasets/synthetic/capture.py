"""From a scene in linear light to the raw file that a camera would write of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.isp.functional import mosaic_of
from raw2logit.sensor import expose, noise_generator

# The published cameras state no read noise, and the microscope's no gain. These are assumed for
# generated data only: a 1-inch sensor, and a small one at high gain, so that at 1 % of the light a
# model loses, as it does on the published data, though it was trained there.
SENSORS = {
    "microscopy": dataclasses.replace(
        Camera.preset("microscopy"), full_scale_electrons=4_000.0, read_noise_electrons=5.0
    ),
    "drone": dataclasses.replace(Camera.preset("drone"), read_noise_electrons=3.0),
}


def capture_scene(
    scene: npt.NDArray[np.float32], camera: Camera, *, intensity: float, seed: tuple[int, ...]
) -> Tensor:
    """Take a raw picture of a scene.

    The scene's linear sRGB goes back through the camera's matrix and white balance to camera RGB,
    is sampled by the colour filter array and exposed with photon and read noise.

    Args:
        scene: ``(H, W, 3)``, linear sRGB, 1 is display white; even H and W.
        camera: Needs a gain; see `raw2logit.sensor.expose`.
        intensity: Exposure relative to full.
        seed: Of the noise; the same numbers give the same bytes.

    Returns:
        ``(H, W)`` mosaic in [0, 1] as a 16-bit file holds it.
    """
    to_srgb = np.asarray(camera.colour_matrix) * np.asarray(camera.white_balance)
    from_srgb = np.linalg.inv(to_srgb).astype(np.float32)
    # Written out: a matrix product may round differently with the number of threads.
    light = [
        row[0] * scene[..., 0] + row[1] * scene[..., 1] + row[2] * scene[..., 2]
        for row in from_srgb
    ]
    mosaic = mosaic_of(torch.from_numpy(np.stack(light))[None], camera.cfa)
    return expose(mosaic, camera, intensity=intensity, generator=noise_generator(seed))[0]
