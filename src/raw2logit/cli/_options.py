"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from raw2logit.datasets import RawDataset, Split

Root = Annotated[Path | None, Parameter(name="--root")]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Views = Annotated[list[str], Parameter(consume_multiple=True, negative="")]
Files = Annotated[list[Path], Parameter(consume_multiple=True, negative="")]
Intensities = Annotated[list[float], Parameter(consume_multiple=True, negative="")]
Severities = Annotated[list[int], Parameter(consume_multiple=True, negative="")]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Config = Annotated[Path | None, Parameter(name="--config")]
Experiment = Annotated[str | None, Parameter(name=["--experiment", "--experiment-name"])]
Splits = Annotated[int | None, Parameter(validator=Number(gte=1))]
Data = Annotated[
    str,
    Parameter(
        help="microscopy, drone, drone-classification, or folder:PATH for raw files of your own: "
        "a folder per class, images/ and masks/, or a CSV with the columns file,label[,group] or "
        "file,mask[,group]."
    ),
]


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How ``--data folder:PATH`` is read; verbs hand the fields to `open_dataset`.

    Attributes:
        camera: folder:PATH only: camera of all files, a preset's name or a YAML file; default
            camera.yaml beside the data, else each file's own metadata.
        task: folder:PATH only: what the labels of a CSV are; default regression if all are
            numbers, segmentation if there are masks, else classification.
        crop_odd: folder:PATH only: drop the last row or column of odd-sized images and masks.
    """

    camera: str | None = None
    task: Literal["classification", "segmentation", "regression"] | None = None
    crop_odd: bool = False


Folder = Annotated[FolderOptions, Parameter(name="*")]


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How a data set is split into train, validation and test parts.

    Attributes:
        split_scheme: kfold: every image is tested once a round of --split-folds; random: each split
            is shuffled anew, as published.
        split_by: group: all images of a slide's zone, frame or group stay in one part; image: they
            do not, as published, and scores come out too high.
        split_folds: One fold tests, one validates, the others train; default 5 (60/20/20 per cent).
        splits_from: Take the splits of an earlier run instead: its folder, its splits.json, or
            runs:/ID of the lab.
    """

    split_scheme: Literal["kfold", "random"] = "kfold"
    split_by: Literal["group", "image"] = "group"
    split_folds: int | None = None
    splits_from: str | None = None

    def deal(
        self,
        dataset: RawDataset,
        n_splits: int | None,
        *,
        default: int,
        seed: int,
        lab: str | None = None,
    ) -> list[Split]:
        """Return the splits of a run.

        Args:
            dataset: What is split.
            n_splits: What the user asks for; None: all of `splits_from`, or `default`.
            default: Of the verb.
            seed: Of the shuffle.
            lab: Address of the lab that ``runs:/ID`` is in.
        """
        from raw2logit.datasets import make_splits, read_splits
        from raw2logit.errors import InputError

        if self.splits_from is None:
            return make_splits(
                dataset,
                n_splits or default,
                seed=seed,
                scheme=self.split_scheme,
                by=self.split_by,
                folds=self.split_folds,
            )
        if n_splits is not None or self != SplitOptions(splits_from=self.splits_from):
            raise InputError(
                "--splits-from: takes the splits as they are: leave --splits and --split-* out"
            )
        if self.splits_from.startswith("runs:/"):
            from raw2logit.lab.fetch import fetched_splits

            with fetched_splits(self.splits_from, tracking_uri=lab) as path:
                return read_splits(path, dataset)
        return read_splits(Path(self.splits_from), dataset)

    def config(self, splits: Sequence[Split]) -> dict[str, Any]:
        """Return what ``config.yaml`` says of the splits of a run."""
        if self.splits_from is not None:
            return {"splits_from": self.splits_from}
        made = {key: value for key, value in asdict(self).items() if key != "splits_from"}
        return {"splits": len(splits), **made}


Splitting = Annotated[SplitOptions, Parameter(name="*")]
