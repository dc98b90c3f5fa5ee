"""What a lab keeps of a run, listed and downloaded with mistrust: names come from a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from raw2logit.errors import InputError
from raw2logit.lab.errors import lab_errors
from raw2logit.lab.tracking import PARENT_TAG, SPLIT_TAG, open_lab
from raw2logit.lab.tracking import tracking_uri as lab_of
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import Run

_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
_DEEPEST = 8
_PAGE = 1000


class Artifacts:
    """The artifacts of one run, or of one version of a registered model.

    Attributes:
        owner: For messages: whose they are.
    """

    def __init__(self, uri: str, tracking_uri: str, owner: str) -> None:
        """Open a place.

        Args:
            uri: Where they lie, as the lab says.
            tracking_uri: Address of the lab.
            owner: For messages: whose they are.

        Raises:
            InputError: They lie on another web server, which MLflow would show the lab's password.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        from mlflow.utils.file_utils import local_file_uri_to_path
        from mlflow.utils.uri import is_local_uri

        parts, lab = urlsplit(uri), urlsplit(tracking_uri)
        host, own = (address.netloc.rpartition("@")[2] for address in (parts, lab))
        if parts.scheme in ("http", "https", "mlflow-artifacts") and host not in ("", own):
            raise InputError(f"{owner}: artifacts on another server ({host}) are not read")
        self.owner = owner
        self._repository: Any = get_artifact_repository(uri, tracking_uri=tracking_uri)
        self._sizes: dict[str, int | None] = {}
        self._local: Path | None = None
        if is_local_uri(uri):  # type: ignore[no-untyped-call]
            self._local = Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]

    def has(self, path: str) -> bool:
        """Tell whether there is a file of this path, ``folder/name`` or ``name``."""
        folder = path.rpartition("/")[0]
        if folder and (folder, True) not in self._listed(""):
            return False
        return (path, False) in self._listed(folder)

    def names(self) -> list[str]:
        """Return the outermost names, those of folders with a slash behind them."""
        return sorted(f"{path}/" if is_folder else path for path, is_folder in self._listed(""))

    def files(self, folder: str = "") -> Iterator[str]:
        """Yield the paths of all files in a folder and below, in order.

        Raises:
            InputError: A name may lead out of the folder, or is a symbolic link.
        """
        if folder.count("/") >= _DEEPEST:
            raise InputError(f"{self.owner}: {folder}: folders lie too deep in each other")
        for path, is_folder in sorted(self._items(folder)):
            if is_folder:
                yield from self.files(path)
            else:
                yield path

    def download(self, path: str, folder: Path) -> Path:
        """Download one file, which `files` or `has` have seen, into `folder`, made if need be.

        Raises:
            InputError: What comes is no file, or not all of it.
        """
        self._refuse_links(path)
        folder.mkdir(exist_ok=True)
        with _without_bar():
            target = Path(self._repository.download_artifacts(path, dst_path=str(folder)))
        if target.is_symlink() or not target.is_file():
            raise InputError(f"{self.owner}: artifact {path!r} is no file")
        came, size = target.stat().st_size, self._sizes.get(path)
        if size is not None and came != size:
            raise InputError(
                f"{self.owner}: artifact {path!r} came with {came} of {size} bytes: try again"
            )
        return target

    def _items(self, folder: str) -> Iterator[tuple[str, bool]]:
        for path, is_folder in self._listed(folder):
            before, _, name = path.rpartition("/")
            if before != folder or name in ("", ".", "..") or "\\" in name or not _is_plain(name):
                raise InputError(f"{self.owner}: artifact {path!r} has a name that is not safe")
            self._refuse_links(path)
            yield path, is_folder

    def _listed(self, folder: str) -> list[tuple[str, bool]]:
        self._refuse_links(folder)
        items = self._repository.list_artifacts(folder or None)
        self._sizes |= {str(item.path): item.file_size for item in items if not item.is_dir}
        return [(str(item.path), bool(item.is_dir)) for item in items]

    def _refuse_links(self, path: str) -> None:
        """A lab in a folder is read directly, and a link may lead anywhere on this machine."""
        place = self._local
        if place is None or not path:
            return
        for name in path.split("/"):
            place = place / name
            if place.is_symlink():
                raise InputError(f"{self.owner}: artifact {path!r} is a symbolic link")


@contextmanager
def reading_lab(tracking_uri: str | None) -> Iterator[tuple[mlflow.MlflowClient, str]]:
    """Yield a client of a lab and the lab's address; what MLflow raises becomes one line.

    Args:
        tracking_uri: Address of the lab; None: see `raw2logit.lab.tracking.tracking_uri`.

    Raises:
        InputError: The lab does not answer, refuses, or does not know what was asked for.
    """
    import mlflow  # noqa: F401 - sets the levels of its loggers, which are raised below

    address = lab_of(tracking_uri)
    with quiet("alembic", "mlflow"), lab_errors(address):
        yield open_lab(address), address


def run_artifacts(run: Run, tracking_uri: str) -> Artifacts:
    """Return the artifacts of a run."""
    return Artifacts(run.info.artifact_uri, tracking_uri, f"run {run.info.run_id}")


def splits_of(client: mlflow.MlflowClient, parent: Run) -> dict[int, Run]:
    """Return the child runs of a run by the number of their split, in order.

    Raises:
        InputError: Two are of the same split.
    """
    filter_string = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'"
    found: dict[int, Run] = {}
    for child in all_runs(client, [parent.info.experiment_id], filter_string):
        number = child.data.tags.get(SPLIT_TAG, "")
        if not number.isdecimal():
            continue
        if int(number) in found:
            both = f"{found[int(number)].info.run_id} {child.info.run_id}"
            raise InputError(
                f"run {parent.info.run_id}: has two runs of split {number}: name one of {both}"
            )
        found[int(number)] = child
    return dict(sorted(found.items()))


def all_runs(
    client: mlflow.MlflowClient, experiments: list[str], filter_string: str
) -> Iterator[Run]:
    """Yield the runs that a filter finds, page by page."""
    token = None
    while True:
        page = client.search_runs(experiments, filter_string, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep MLflow's progress bar, one for each file, off the terminal."""
    if _BAR in os.environ:
        yield
        return
    os.environ[_BAR] = "false"
    try:
        yield
    finally:
        os.environ.pop(_BAR, None)


def _is_plain(name: str) -> bool:
    """Tell whether a name is free of control characters, and of Windows' drives."""
    return name.isprintable() and name[1:2] != ":"
