"""The image signal processor: functions, steps, the pipeline, and the ready views."""

from raw2logit.isp.contract import STEP_CHECKS, check_step, step_classes
from raw2logit.isp.pipeline import Pipeline
from raw2logit.isp.presets import VIEWS, parametrized_pipeline, parse_views, static_pipeline
from raw2logit.isp.saving import load_pipeline, save_pipeline
from raw2logit.isp.steps import (
    FAMILIES,
    LinearStep,
    LumaStep,
    Step,
    register_step,
    registered_steps,
)

__all__ = [
    "FAMILIES",
    "STEP_CHECKS",
    "VIEWS",
    "LinearStep",
    "LumaStep",
    "Pipeline",
    "Step",
    "check_step",
    "load_pipeline",
    "parametrized_pipeline",
    "parse_views",
    "register_step",
    "registered_steps",
    "save_pipeline",
    "static_pipeline",
    "step_classes",
]
