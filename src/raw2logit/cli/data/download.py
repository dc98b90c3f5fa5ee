"""``raw2logit data download``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from raw2logit.cli._console import show_progress
from raw2logit.cli._options import Root


def download(
    kind: Literal["microscopy", "drone"],
    /,
    *,
    root: Root = None,
    source: Annotated[str | None, Parameter(name="--from")] = None,
    keep_archives: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Download a published data set, verify it, and unpack it into the layout of the loaders.

    An interrupted or killed call is taken up by the next one. Nothing appears before all of it is
    verified, nothing is overwritten, and where all is there the network is not touched.

    Args:
        kind: microscopy or drone.
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        source: Another place than the published record: https://..., s3://... or a path of a
            folder with a list SHA256SUMS or MD5SUMS in it, or of one archive beside such a list.
            A bucket's endpoint and credentials come from the environment.
        keep_archives: Keep what was fetched, in the folder archives/ of the data set.
    """
    from raw2logit.datasets import default_root
    from raw2logit.datasets.download import download_dataset

    with show_progress(unit="bytes") as progress:
        folder = download_dataset(
            kind,
            root or default_root(),
            source=source,
            keep_archives=keep_archives,
            progress=progress,
        )
    print(folder)
