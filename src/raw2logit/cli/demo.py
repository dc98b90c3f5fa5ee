"""``raw2logit demo``."""

from __future__ import annotations

from pathlib import Path

from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import Out, Root, Seed, SplitOptions, Splits
from raw2logit.tasks.config import TrainingConfig

_COUNT, _SIZE = 360, 64
_VIEWS = ("bi,u,ga", "ma,s,me", "me,s,ga")
_TRAINING = TrainingConfig(epochs=12, batch_size=16)


def demo(
    *,
    root: Root = None,
    seed: Seed = 0,
    splits: Splits = None,
    out: Out = Path("runs/demo"),
    tracking_uri: str | None = None,
) -> None:
    """Generate raw blood smears, train on three views, test on all, write the drift report.

    Takes a few minutes on two cores. A killed call continues where it was.

    Args:
        root: The generated data goes to ROOT/demo; default $RAW2LOGIT_DATA, else ./data.
        seed: Of data, splits and trainings.
        splits: Train / validation / test splits; default 2.
        out: Folder of the run.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.cli.synthesis import run_and_report
    from raw2logit.datasets import RawMicroscopy, default_root
    from raw2logit.datasets.synthetic.generate import generate_microscopy

    # A folder of its own: never beside published data, one for each seed.
    folder = (root or default_root()) / "demo" / f"seed-{seed}"
    claim_folder(out)
    with show_progress() as progress:
        generate_microscopy(folder, count=_COUNT, size=_SIZE, seed=seed, progress=progress)
        dataset = RawMicroscopy(folder)
        splitting = SplitOptions()
        parts = splitting.deal(dataset, splits, default=2, seed=seed)
        report = run_and_report(
            dataset,
            _VIEWS,
            _VIEWS,
            _TRAINING,
            out,
            parts,
            {"intensity": 1.0, **splitting.config(parts), "seed": seed},
            models=None,
            experiment=None,
            run_name="demo",
            tracking_uri=tracking_uri,
            progress=progress,
        )
    print(f"The report: {report}")
