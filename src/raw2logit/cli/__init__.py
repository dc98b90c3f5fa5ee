"""The command ``raw2logit``: one verb a file, loaded on first use.

A verb's file imports what its help needs and nothing heavy; the work is imported inside.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from raw2logit import __version__
from raw2logit.cli._config import read_options
from raw2logit.cli._plugins import import_plugin, take_imports
from raw2logit.errors import InputError, MissingDataError

app = App(
    name="raw2logit",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    config=(read_options,),
    help="Will a vision model survive another camera's processing?",
    help_epilogue="`raw2logit VERB --help` shows a verb's options. Anywhere: --debug shows the "
    "traceback of an error; --import FILE.py (or a module) runs code of your own first, for "
    "instance to register a step.",
)

_data = App(name="data", help="Make and look after data sets.")
_data.command(
    "raw2logit.cli.data.calibrate:calibrate",
    name="calibrate",
    help="Measure a camera's gain and read noise.",
)
_data.command(
    "raw2logit.cli.data.download:download",
    name="download",
    help="Fetch a published data set, verified.",
)
_data.command(
    "raw2logit.cli.data.generate:generate",
    name="generate",
    help="Make a data set in the published layout.",
)
_data.command(
    "raw2logit.cli.data.info:info",
    name="info",
    help="Tell what is there, what is missing and what is broken.",
)
_data.command(
    "raw2logit.cli.data.intensities:intensities",
    name="intensities",
    help="Simulate lower exposures of a data set.",
)
_data.command(
    "raw2logit.cli.data.tile:tile", name="tile", help="Cut full frames and masks into tiles."
)
_data.command(
    "raw2logit.cli.data.views:views",
    name="views",
    help="Write every view of every raw image as PNG.",
)
_lab = App(name="lab", help="Find, fetch and share what runs have kept.")
_lab.command(
    "raw2logit.cli.lab.account:account",
    name="account",
    help="Make an account of a shared lab, or change its password.",
)
_lab.command("raw2logit.cli.lab.fetch:fetch", name="fetch", help="Get the models of a run.")
_lab.command(
    "raw2logit.cli.lab.bring:bring",
    name="import",
    help="Bring runs in that were made without the lab.",
)
_lab.command(
    "raw2logit.cli.lab.query:query", name="query", help="Find runs by parameters and metrics."
)
_lab.command("raw2logit.cli.lab.runs:runs", name="runs", help="List runs, the newest first.")
_lab.command(
    "raw2logit.cli.lab.share:share", name="share", help="Let others write into an experiment."
)
_lab.command("raw2logit.cli.lab.up:up", name="up", help="Start the lab's server and its web page.")
app.command(
    "raw2logit.cli.demo:demo", name="demo", help="Raw data in, drift report out: the whole tour."
)
app.command(_data)
app.command(_lab)
app.command("raw2logit.cli.process:process", name="process", help="Turn raw files into views.")
app.command(
    "raw2logit.cli.train:train", name="train", help="Train a task model, from raw to logit."
)
app.command(
    "raw2logit.cli.synthesis:synthesis",
    name="synthesis",
    help="Train on some views, test on others: the drift report.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Words after ``raw2logit``; None: those of the process.

    Returns:
        Exit code: 0 done, 1 something is missing or broken (``data info``), 2 bad input (one line
        on standard error), 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _show_warning
    try:
        names, words = take_imports(words)
        for name in names:
            import_plugin(name)
        code = app(words, exit_on_error=False, print_error=False)
    except (CycloptsError, InputError, MissingDataError, OSError) as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        print(f"raw2logit: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("raw2logit: interrupted; the same command continues", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _show_warning(
    message: Warning | str, category: type[Warning], *_: object, **__: object
) -> None:
    """Print a warning meant for users as one line; leave other libraries' notes out."""
    if category is UserWarning:
        print(f"raw2logit: warning: {message}", file=sys.stderr)
