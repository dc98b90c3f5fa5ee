"""Raw data to time on: a generated aerial scene as the Raw-Drone camera would record it.

One scene of 1024 x 2048 px, with photon noise, read noise and 12-bit steps, is cut into 32 tiles.
The frame is the same scene, mirrored until it is large enough: the time of no contestant depends on
what is in the picture, and mirroring keeps the colour filter array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raw2logit.datasets.synthetic.capture import SENSORS, capture_scene
from raw2logit.datasets.synthetic.drone import render_frame
from raw2logit.isp.functional import mirror_pad

TILE_PX = 256
_SCENE_PX = (1024, 2048)
_SEED = 20231


@dataclass(frozen=True)
class Scene:
    """What is processed.

    Attributes:
        tiles: ``(B, 256, 256)`` mosaics, float32.
        frame: ``(1, H, W)`` mosaic, float32.
    """

    tiles: Tensor
    frame: Tensor


def make_scene(tiles: int, frame_px: tuple[int, int]) -> Scene:
    """Generate the first `tiles` of 32 tiles and a frame of some height and width."""
    light, _ = render_frame(np.random.default_rng(_SEED), *_SCENE_PX)
    raw = capture_scene(light, SENSORS["drone"], intensity=1.0, seed=(_SEED,))
    cut = raw.unfold(0, TILE_PX, TILE_PX).unfold(1, TILE_PX, TILE_PX)
    height, width = frame_px
    # Even, so that the first pixel of the crop is a first pixel of the colour filter array.
    pad_px = (max(height - _SCENE_PX[0], width - _SCENE_PX[1], 0) + 3) // 4 * 2
    frame = mirror_pad(raw[None, None], pad_px)[0, :, :height, :width]
    return Scene(
        tiles=cut.reshape(-1, TILE_PX, TILE_PX)[:tiles].contiguous(), frame=frame.contiguous()
    )
