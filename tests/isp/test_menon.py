import numpy as np
import pytest
import torch

from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.isp.functional import demosaic_menon
from tests.isp.data import as_batch, masks, random_mosaic
from tests.tolerance import assert_near

REACH_PX = 8

every_cfa = pytest.mark.parametrize("cfa", CFA_NAMES)
with_and_without_refining = pytest.mark.parametrize("refine", [True, False])


@every_cfa
@with_and_without_refining
def test_a_tie_is_horizontal(cfa: CFA, refine: bool) -> None:
    # Rows and columns of constant difference: both directions are smooth, but not the same.
    values = np.tile([[0.25, 0.5], [0.75, 1.0]], (6, 7))
    in_row = np.tile([[0.5, 0.25], [1.0, 0.75]], (6, 7))
    expected = np.where(masks(cfa, values.shape)[..., 1], values, in_row)
    image = demosaic_menon(as_batch(values, torch.float64), cfa, refine=refine)
    assert_near(image[:, 1], as_batch(expected, torch.float64))


@every_cfa
def test_a_pixel_depends_on_the_mosaic_up_to_its_reach(cfa: CFA) -> None:
    before = as_batch(np.stack([random_mosaic(40, 42, seed) for seed in range(400)]), torch.float64)
    after = before.clone()
    after[:200, 20, 20] = 1 - after[:200, 20, 20]
    after[200:, 21, 20] = 1 - after[200:, 21, 20]
    changed = (demosaic_menon(before, cfa) != demosaic_menon(after, cfa)).any(dim=1)
    for part, row in ((changed[:200], 20), (changed[200:], 21)):
        rows, columns = part.any(dim=0).nonzero().T
        distance = torch.maximum((rows - row).abs(), (columns - 20).abs())
        assert distance.max() <= REACH_PX


@every_cfa
@with_and_without_refining
@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 4, 6), (1, 12, 2)])
def test_gradients(cfa: CFA, refine: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    mosaic = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda raw: demosaic_menon(raw, cfa, refine=refine), mosaic)


@every_cfa
def test_a_brighter_mosaic_is_as_much_brighter_everywhere(cfa: CFA) -> None:
    mosaic = as_batch(random_mosaic(12, 14), torch.float64)
    assert_near(demosaic_menon(mosaic + 0.25, cfa), demosaic_menon(mosaic, cfa) + 0.25)


@every_cfa
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(cfa: CFA, dtype: torch.dtype) -> None:
    mosaic = as_batch(random_mosaic(20, 22), dtype)
    image = demosaic_menon(mosaic, cfa)
    assert image.dtype == dtype
    assert image.shape == (1, 3, 20, 22)
    assert image.isfinite().all()


@every_cfa
def test_empty_batch(cfa: CFA) -> None:
    assert demosaic_menon(torch.empty(0, 6, 8), cfa).shape == (0, 3, 6, 8)


def test_exports_with_free_batch_and_size() -> None:
    class Module(torch.nn.Module):
        def forward(self, mosaic: torch.Tensor) -> torch.Tensor:
            return demosaic_menon(mosaic, "GBRG")

    free = dict.fromkeys((0, 1, 2), torch.export.Dim.AUTO)
    program = torch.export.export(Module(), (torch.rand(2, 64, 48),), dynamic_shapes=(free,))
    mosaic = torch.rand(3, 80, 36)
    assert_near(program.module()(mosaic), demosaic_menon(mosaic, "GBRG"))
