"""The ISP as pure functions, one algorithm a file.

Convention: a mosaic is ``(B, H, W)``, an image ``(B, 3, H, W)`` in the order red, green, blue,
light is linear up to `gamma`, borders mirror without repeating the edge pixel (which keeps the
parity of the colour filter array), and nothing clips before `gamma`.
"""

from raw2logit.cfa import colour_sites, mosaic_of
from raw2logit.isp.functional.bilateral import denoise_bilateral
from raw2logit.isp.functional.black_level import subtract_black_level
from raw2logit.isp.functional.borders import mirror_pad
from raw2logit.isp.functional.colour import apply_colour_matrix, balance_white
from raw2logit.isp.functional.convolution import convolve_kernel
from raw2logit.isp.functional.demosaic_bilinear import bilinear_kernels, demosaic_bilinear
from raw2logit.isp.functional.demosaic_malvar import demosaic_malvar, malvar_kernels
from raw2logit.isp.functional.demosaic_menon import demosaic_menon
from raw2logit.isp.functional.fft_low_pass import fft_low_pass
from raw2logit.isp.functional.gamma import encode_gamma
from raw2logit.isp.functional.gaussian import gaussian_blur
from raw2logit.isp.functional.luma import LUMA_WEIGHTS, filter_luma, luma_of
from raw2logit.isp.functional.median import median_3x3
from raw2logit.isp.functional.non_local_means import denoise_non_local_means
from raw2logit.isp.functional.sharpen import SHARPEN_KERNEL, unsharp_mask
from raw2logit.isp.functional.total_variation import denoise_total_variation
from raw2logit.isp.functional.wavelet import WAVELETS, denoise_wavelet

__all__ = [
    "LUMA_WEIGHTS",
    "SHARPEN_KERNEL",
    "WAVELETS",
    "apply_colour_matrix",
    "balance_white",
    "bilinear_kernels",
    "colour_sites",
    "convolve_kernel",
    "demosaic_bilinear",
    "demosaic_malvar",
    "demosaic_menon",
    "denoise_bilateral",
    "denoise_non_local_means",
    "denoise_total_variation",
    "denoise_wavelet",
    "encode_gamma",
    "fft_low_pass",
    "filter_luma",
    "gaussian_blur",
    "luma_of",
    "malvar_kernels",
    "median_3x3",
    "mirror_pad",
    "mosaic_of",
    "subtract_black_level",
    "unsharp_mask",
]
