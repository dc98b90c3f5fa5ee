"""Figures and the self-contained HTML report of a run.

`figures` turns numbers and views into matplotlib figures, `html` puts figures,
tables and plain sentences into one file that opens anywhere, without a network.
The names below are loaded on first use: importing this package imports neither
matplotlib nor Jinja.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raw2logit.report.figures import (
        contact_sheet,
        difference_strip,
        drift_heatmap,
        drop_heatmap,
        learning_curves,
        save_png,
        view_gallery,
    )
    from raw2logit.report.html import Picture, Report, Section, Table, write_report

__all__ = [
    "Picture",
    "Report",
    "Section",
    "Table",
    "contact_sheet",
    "difference_strip",
    "drift_heatmap",
    "drop_heatmap",
    "learning_curves",
    "save_png",
    "view_gallery",
    "write_report",
]

_FROM_HTML = {"Picture", "Report", "Section", "Table", "write_report"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the type is that of the exported name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{'html' if name in _FROM_HTML else 'figures'}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
