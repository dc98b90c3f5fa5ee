"""The steps of a pipeline: each a thin module around one function, with its natural parameters.

Every parameter is a `torch.nn.Parameter`; a static pipeline is one whose parameters are frozen.
What must stay positive (gamma, standard deviations) is stored as its logarithm and read through a
property in natural units.
"""

from raw2logit.isp.steps.additive import AdditiveLayer
from raw2logit.isp.steps.base import (
    FAMILIES,
    KernelStep,
    LinearStep,
    LumaStep,
    Step,
    code_of,
    register_step,
    registered_steps,
)
from raw2logit.isp.steps.colour import BlackLevel, ColourMatrix, Gamma, WhiteBalance
from raw2logit.isp.steps.demosaic import (
    BilinearDemosaic,
    DemosaicStep,
    MalvarDemosaic,
    MenonDemosaic,
)
from raw2logit.isp.steps.denoise import (
    BilateralDenoise,
    FFTLowPass,
    GaussianDenoise,
    KernelDenoise,
    MedianDenoise,
    NonLocalMeansDenoise,
    TotalVariationDenoise,
    WaveletDenoise,
)
from raw2logit.isp.steps.neural import UnetPlusPlus
from raw2logit.isp.steps.sharpen import SharpenFilter, UnsharpMask

__all__ = [
    "FAMILIES",
    "AdditiveLayer",
    "BilateralDenoise",
    "BilinearDemosaic",
    "BlackLevel",
    "ColourMatrix",
    "DemosaicStep",
    "FFTLowPass",
    "Gamma",
    "GaussianDenoise",
    "KernelDenoise",
    "KernelStep",
    "LinearStep",
    "LumaStep",
    "MalvarDemosaic",
    "MedianDenoise",
    "MenonDemosaic",
    "NonLocalMeansDenoise",
    "SharpenFilter",
    "Step",
    "TotalVariationDenoise",
    "UnetPlusPlus",
    "UnsharpMask",
    "WaveletDenoise",
    "WhiteBalance",
    "code_of",
    "register_step",
    "registered_steps",
]
