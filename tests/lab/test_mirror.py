"""The folder of a run in a lab: a real server, real SQLite files, and labs that fail."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest

from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab import errors
from raw2logit.lab.mirror import Mirror, import_run
from raw2logit.lab.record import (
    RunRecord,
    SplitRecord,
    Status,
    files_of,
    split_folder,
    write_history,
    write_record,
)
from raw2logit.lab.tracking import open_lab
from tests.lab.servers import free_port, running

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

STARTED = "2026-01-02T03:04:05+00:00"
MEND = "raw2logit lab import"


class Folder:
    """The folder of a run, written as a run writes it."""

    def __init__(self, path: Path, **fields: Any) -> None:  # noqa: ANN401
        self.path = path
        fields = {"experiment": f"tests {uuid.uuid4().hex}", "register_models": False} | fields
        self.record = RunRecord(
            id=uuid.uuid4().hex,
            kind="train",
            name=path.name,
            started=STARTED,
            files=["config.yaml"],
            **{"params": {"view": "bi,s,ga", "training.lr": 0.1}, **fields},
        )
        write_record(path, self.record)

    def split(self, number: int, epochs: int, status: Status = "running") -> Path:
        place = split_folder(self.path, number)
        metrics = {"test_accuracy": number / 8} if status == "finished" else {}
        record = SplitRecord(
            number=number, status=status, params={"split": number}, metrics=metrics
        )
        write_record(place, record)
        rows = [
            {"epoch": float(epoch), "train_loss": 1 / epoch, "val_loss": number + 1 / epoch}
            for epoch in range(1, epochs + 1)
        ]
        if rows:
            write_history(place, rows)
        return place

    def finish(self, status: Status = "finished", **metrics: float) -> None:
        self.record = dataclasses.replace(self.record, status=status, metrics=metrics)
        write_record(self.path, self.record)

    def whole(self, splits: int = 2) -> Folder:
        for number in range(1, splits + 1):
            place = self.split(number, 3, "finished")
            (place / "stages" / "raw").mkdir(parents=True)
            (place / "stages" / "raw" / "a b.png").write_bytes(b"picture")
        (self.path / "config.yaml").write_text("seed: 0\n")
        self.finish(test_accuracy=0.5)
        return self


class Lab:
    """What a lab holds of the runs of one folder."""

    def __init__(self, uri: str, folder: Folder, experiment: str | None = None) -> None:
        self.client = mlflow.MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment or folder.record.experiment)
        self.experiment = found.experiment_id if found else None
        runs = list(self.client.search_runs([self.experiment])) if self.experiment else []
        self.wholes = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        children = [run for run in runs if run not in self.wholes]
        self.children = sorted(children, key=lambda run: int(run.data.tags["raw2logit.split"]))

    @property
    def whole(self) -> Any:  # noqa: ANN401
        (run,) = self.wholes
        return run

    def statuses(self) -> list[str]:
        return [run.info.status for run in (self.whole, *self.children)]

    def steps(self, child: int, key: str) -> list[tuple[int, float]]:
        run_id = self.children[child].info.run_id
        return [
            (metric.step, metric.value) for metric in self.client.get_metric_history(run_id, key)
        ]

    def files(self, run: Any, path: str | None = None) -> list[str]:  # noqa: ANN401
        found = []
        for item in self.client.list_artifacts(run.info.run_id, path):
            found += self.files(run, item.path) if item.is_dir else [item.path]
        return found

    def everything(self) -> list[Any]:
        return [
            (
                run.to_dictionary(),
                self.files(run),
                {
                    key: self.client.get_metric_history(run.info.run_id, key)
                    for key in run.data.metrics
                },
            )
            for run in (*self.wholes, *self.children)
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "my run")


@pytest.fixture(scope="session")
def empty_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of MLflow's tables, which take a second or two to make."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with warnings.catch_warnings(action="ignore"):
        open_lab(f"sqlite:///{path}", make=True).search_experiments()
    return path


@pytest.fixture
def sqlite(empty_lab: Path, tmp_path: Path) -> str:
    (tmp_path / "lab").mkdir()
    return f"sqlite:///{shutil.copy(empty_lab, tmp_path / 'lab' / 'mlflow.db')}"


@contextmanager
def handling(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Answers(BaseHTTPRequestHandler):
    """Answers any request by the end of its path; unknown ones with 500."""

    replies: tuple[tuple[str, int, str], ...] = ()
    asked: list[str]

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        type(self).asked.append(path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = ((code, body) for end, code, body in self.replies if path.endswith(end))
        code, body = next(known, (500, "no space left"))
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: object) -> None:
        pass


def test_a_run_is_seen_while_it_runs_and_whole_at_its_end(
    folder: Folder, lab_server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = mlflow.get_tracking_uri()
    mirror = Mirror(folder.path, lab_server)
    mirror.update()
    assert Lab(lab_server, folder).statuses() == ["RUNNING"]
    for epoch in (1, 2):
        folder.split(1, epoch)
        mirror.update()
        lab = Lab(lab_server, folder)
        assert lab.statuses() == ["RUNNING", "RUNNING"]
        assert lab.steps(0, "train_loss") == [(1, 1.0), (2, 0.5)][:epoch]
    folder.split(1, 2, "finished")
    folder.split(2, 1)
    mirror.update()
    assert Lab(lab_server, folder).statuses() == ["RUNNING", "FINISHED", "RUNNING"]
    folder.whole()
    run_id = mirror.finish()
    lab = Lab(lab_server, folder)
    assert lab.statuses() == ["FINISHED"] * 3
    whole, first, second = lab.whole, *lab.children
    assert whole.info.run_id == run_id
    assert whole.info.run_name == "my run"
    assert whole.info.start_time == 1767323045000
    assert abs(whole.info.end_time - time.time() * 1000) < 60_000
    assert whole.data.params == {"view": "bi,s,ga", "training.lr": "0.1"}
    assert whole.data.metrics == {"test_accuracy": 0.5}
    assert whole.data.tags["raw2logit.run"] == folder.record.id
    assert whole.data.tags["raw2logit.kind"] == "train"
    assert whole.data.tags["raw2logit.version"] == folder.record.version
    assert lab.files(whole) == ["config.yaml", "run.json"]
    assert first.info.run_name == "split 1"
    assert second.data.tags["mlflow.parentRunId"] == run_id
    assert second.data.params == whole.data.params | {"split": "2"}
    assert second.data.metrics["test_accuracy"] == 0.25
    assert lab.steps(1, "val_loss") == [(1, 3.0), (2, 2.5), (3, 2 + 1 / 3)]
    assert lab.files(second) == ["history.csv", "split.json", "stages/raw/a b.png"]
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["server", "sqlite"])
def test_a_second_import_changes_nothing(
    kind: str, folder: Folder, request: pytest.FixtureRequest
) -> None:
    uri = request.getfixturevalue("lab_server" if kind == "server" else "sqlite")
    run_id = import_run(folder.whole(1).path, uri)
    before = Lab(uri, folder).everything()
    assert import_run(folder.path, uri) == run_id
    assert Lab(uri, folder).everything() == before
    # A run made anew in the same folder is another run.
    folder.record = dataclasses.replace(folder.record, id=uuid.uuid4().hex)
    folder.finish()
    assert import_run(folder.path, uri) != run_id
    assert len(Lab(uri, folder).wholes) == 2


def test_a_killed_run_goes_on_in_the_same_mlflow_runs(folder: Folder, sqlite: str) -> None:
    Mirror(folder.path, sqlite).update()
    folder.split(1, 2)
    Mirror(folder.path, sqlite).update()
    run_id = import_run(folder.path, sqlite)
    assert Lab(sqlite, folder).statuses() == ["KILLED", "KILLED"]
    resumed = Mirror(folder.path, sqlite)
    # The epoch that it was killed in came out a little different.
    place = folder.split(1, 3)
    text = (place / "history.csv").read_text()
    (place / "history.csv").write_text(text.replace("2.0,0.5,", "2.0,0.5000001,"))
    resumed.update()
    assert Lab(sqlite, folder).statuses() == ["RUNNING", "RUNNING"]
    assert resumed.finish() == run_id
    folder.whole()
    assert resumed.finish() == run_id
    lab = Lab(sqlite, folder)
    assert lab.statuses() == ["FINISHED"] * 3
    assert lab.steps(0, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert lab.steps(0, "test_accuracy") == [(3, 0.125)]


def test_final_figures_that_changed_are_the_newer_ones(folder: Folder, sqlite: str) -> None:
    folder.whole(1)
    for status, value in (("failed", 0.25), ("finished", math.nan), ("finished", math.inf)):
        folder.finish(status, accuracy=value)
        import_run(folder.path, sqlite)
        before = Lab(sqlite, folder).everything()
        import_run(folder.path, sqlite)
        assert repr(Lab(sqlite, folder).everything()) == repr(before)
    lab = Lab(sqlite, folder)
    assert lab.whole.data.metrics == {"accuracy": sys.float_info.max}
    assert lab.statuses()[0] == "FINISHED"


def test_an_update_that_died_halfway_is_taken_up(
    folder: Folder, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.split(1, 1)
    create = mlflow.MlflowClient.create_run

    def die_at_the_split(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if "split 1" in args:
            raise KeyboardInterrupt
        return create(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "create_run", die_at_the_split)
        with pytest.raises(KeyboardInterrupt):
            Mirror(folder.path, sqlite).update()
    assert Lab(sqlite, folder).children == []
    Mirror(folder.path, sqlite).update()
    assert Lab(sqlite, folder).statuses() == ["RUNNING", "RUNNING"]


def test_models_are_registered_once(tmp_path: Path, lab_server: str) -> None:
    folder = Folder(tmp_path / f"run-{uuid.uuid4().hex}", register_models=True)
    place = folder.whole(1).split(1, 3, "finished")
    for kind in ("pipeline", "task"):
        (place / kind).mkdir()
        (place / kind / f"{kind}.safetensors").write_bytes(b"weights")
    for _ in range(2):
        import_run(folder.path, lab_server)
    lab = Lab(lab_server, folder)
    run_id = lab.children[0].info.run_id
    found = lab.client.search_model_versions(f"run_id = '{run_id}'")
    assert sorted(version.name for version in found) == [
        f"{folder.path.name} pipeline",
        f"{folder.path.name} task",
    ]


def test_what_mlflow_does_not_take_is_made_fit(tmp_path: Path, lab_server: str) -> None:
    folder = Folder(
        tmp_path / "run",
        params={"a,b": 1, "a;b": 2, "../c": 3, "long": "x" * 9000, "k" * 300: "", "büro": None}
        | {f"many.{number}": number for number in range(250)},
    )
    place = folder.split(1, 1200, "finished")
    (place / "b#1?%20.png").write_text("odd")
    folder.finish(**{"test_accuracy/bi,s,ga": 0.5})
    import_run(folder.path, lab_server)
    lab = Lab(lab_server, folder)
    params = lab.whole.data.params
    assert (params["a_b"], params["a_b_"], params["_.._c"], params["büro"]) == (
        "1",
        "2",
        "3",
        "None",
    )
    assert params["long"] == "x" * 497 + "..."
    assert params["k" * 247 + "..."] == ""
    assert len(params) == 256
    assert lab.whole.data.metrics == {"test_accuracy/bi_s_ga": 0.5}
    assert len(lab.steps(0, "val_loss")) == 1200
    assert lab.files(lab.children[0]) == ["b_1__20.png", "history.csv", "split.json"]


def test_what_a_lab_takes_of_a_folder(folder: Folder) -> None:
    place = folder.whole(1).path / "split-1"
    for path in ("secret.txt", "models/a", "figures/a", ".hidden/a"):
        (folder.path / path).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / path).touch()
    (place / ".b.raw2logit-01234567.png").touch()
    (place / "link").symlink_to(__file__)
    (folder.path / "link").symlink_to(__file__)
    (folder.path / "elsewhere").symlink_to(Path(__file__).parent)
    named = ["config.yaml", "figures/a", "gone", "link", "../outside", "/etc/hostname"]
    named.append(f"elsewhere/{Path(__file__).name}")
    (folder.path.parent / "outside").touch()
    record = dataclasses.replace(folder.record, files=named)
    names = [path.relative_to(folder.path).as_posix() for path in files_of(folder.path, record)]
    assert names == ["config.yaml", "figures/a", "run.json"]
    assert [path.name for path in files_of(place)] == ["history.csv", "split.json", "a b.png"]


def test_an_experiment_deleted_in_the_lab(folder: Folder, sqlite: str) -> None:
    import_run(folder.path, sqlite)
    lab = Lab(sqlite, folder)
    assert lab.experiment is not None
    lab.client.delete_experiment(lab.experiment)
    with pytest.raises(InputError, match=r"was deleted there: name another with --experiment"):
        import_run(folder.path, sqlite)


def test_two_processes_make_lab_and_experiment_at_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    folders = [Folder(tmp_path / name, experiment="shared").whole(1) for name in ("a", "b")]
    code = "import sys, pathlib; from raw2logit.lab.mirror import import_run; "
    code += "print(import_run(pathlib.Path(sys.argv[1]), sys.argv[2]))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, folder.path, uri],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    lab = Lab(uri, folders[0])
    assert sorted(run.info.run_id for run in lab.wholes) == sorted(
        out.strip() for out, _ in outputs
    )


def assert_costs_two_warnings(mirror: Mirror, reason: str, within_s: float) -> None:
    """Three epochs and the end of a run beside a lab that fails."""
    began = time.monotonic()
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        for _ in range(3):
            mirror.update()
        assert mirror.finish() is None
    said = [str(each.message) for each in caught if each.category is UserWarning]
    assert len(said) == 2
    assert all(re.search(f"{reason}.*{MEND}", line) for line in said), said
    assert time.monotonic() - began < within_s


def test_nobody_listens(folder: Folder) -> None:
    folder.split(1, 1)
    uri = f"http://127.0.0.1:{free_port()}"
    assert_costs_two_warnings(Mirror(folder.path, uri), f"{uri}: no answer", 5)


def test_no_postgresql_listens(folder: Folder) -> None:
    uri = f"postgresql://me:secret@127.0.0.1:{free_port()}/lab"
    assert_costs_two_warnings(Mirror(folder.path, uri), r"^(?!.*secret).*refused", 5)


def test_a_lab_that_never_answers(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_HEALTH_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert_costs_two_warnings(Mirror(folder.path, uri), f"{uri}: no answer", 4)


def test_a_server_that_fails(folder: Folder) -> None:
    class Fails(Answers):
        asked: list[str] = []  # noqa: RUF012
        replies = (("/health", 200, "OK"),)

    with handling(Fails) as uri:
        assert_costs_two_warnings(Mirror(folder.path, uri), re.escape(uri), 5)
    assert len(Fails.asked) == 4


def test_no_permission_names_experiment_and_mend(folder: Folder) -> None:
    experiment = '{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}'

    class Forbids(Answers):
        asked: list[str] = []  # noqa: RUF012
        replies = (
            ("/health", 200, "OK"),
            ("/experiments/get-by-name", 200, experiment),
            ("/runs/search", 200, "{}"),
            ("/runs/create", 403, "Permission denied"),
        )

    with handling(Forbids) as uri, pytest.raises(InputError) as caught:
        import_run(folder.path, uri)
    assert repr(folder.record.experiment) in str(caught.value)
    assert "--experiment" in str(caught.value)
    assert "raw2logit lab share" in str(caught.value)


def test_a_server_that_hangs_and_comes_back_and_is_killed(
    folder: Folder, tmp_path: Path, empty_lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{(port := free_port())}"
    database = shutil.copy(empty_lab, tmp_path / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with running(command, f"{uri}/health", tmp_path / "log") as process:
        mirror = Mirror(folder.path, uri)
        folder.split(1, 1)
        mirror.update()
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(errors, "_HEALTH_TIMEOUT_S", 1)
                with pytest.warns(UserWarning, match="no answer.* goes on without the lab"):
                    mirror.update()
        finally:
            os.killpg(process.pid, signal.SIGCONT)
        # It is left alone until the end.
        folder.split(1, 2)
        mirror.update()
        assert Lab(uri, folder).steps(0, "train_loss") == [(1, 1.0)]
        folder.whole()
        assert mirror.finish() is not None
        lab = Lab(uri, folder)
        assert lab.steps(0, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        assert lab.statuses() == ["FINISHED"] * 3
        # Killed in the middle of the files of another run.
        other = Folder(tmp_path / "other", experiment=folder.record.experiment).whole()
        log_artifact = mlflow.MlflowClient.log_artifact

        def kill_then_send(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            log_artifact(*args, **kwargs)

        monkeypatch.setattr(mlflow.MlflowClient, "log_artifact", kill_then_send)
        with pytest.warns(UserWarning, match=rf"no answer.* {MEND} \S*other"):
            assert Mirror(other.path, uri).finish() is None


def test_no_room_for_files(folder: Folder, sqlite: str, tmp_path: Path) -> None:
    """The artifact folder is a file, so that writing fails, for root too."""
    (tmp_path / "lab" / "artifacts").touch()
    folder.whole()
    with pytest.warns(UserWarning, match=rf"{MEND} '.*/my run'"):
        assert Mirror(folder.path, sqlite).finish() is None
    failed = Lab(sqlite, folder)
    assert failed.statuses() == ["FAILED"] * 3
    (tmp_path / "lab" / "artifacts").unlink()
    assert import_run(folder.path, sqlite) == failed.whole.info.run_id
    lab = Lab(sqlite, folder)
    assert lab.statuses() == ["FINISHED"] * 3
    assert lab.files(lab.children[1]) == ["history.csv", "split.json", "stages/raw/a b.png"]


def test_no_room_in_the_database(folder: Folder, sqlite: str, tmp_path: Path) -> None:
    mirror = Mirror(folder.path, sqlite)
    mirror.update()
    folder.split(1, 5000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "lab" / "mlflow.db").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        assert_costs_two_warnings(mirror, "mlflow.db", 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder.whole()
    assert mirror.finish() is not None
    lab = Lab(sqlite, folder)
    assert lab.statuses() == ["FINISHED"] * 3
    assert len(lab.steps(0, "train_loss")) == len({step for step, _ in lab.steps(0, "train_loss")})


def test_an_update_is_quick(folder: Folder, sqlite: str) -> None:
    folder.split(1, 50, "finished")
    folder.split(2, 1)
    mirror = Mirror(folder.path, sqlite)
    mirror.update()
    times = []
    for epoch in range(2, 7):
        folder.split(2, epoch)
        began = time.perf_counter()
        mirror.update()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1


def test_a_folder_without_a_run_or_with_a_broken_record(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"holds no run\.json"):
        import_run(tmp_path, "sqlite:///never.db")
    path = folder.path / "run.json"
    for old, new in (
        (folder.record.id, "' or 1"),
        ('"running"', '"lost"'),
        (STARTED, "yesterday"),
        ('"metrics": {}', '"metrics": []'),
        ('"metrics": {}', f'"metrics": {{"a": 1{"0" * 400}}}'),
        ('"kind": "train"', '"kind": 3'),
        ('"experiment": "', '"experiment": null, "e": "'),
        ('"name": "my run"', '"name": ["my run"]'),
        ('"version": "', '"version": 1, "v": "'),
        ('"register_models": false', '"register_models": "no"'),
        ('"config.yaml"', "3"),
        ('"params": {', '"params": ' + "[" * 100_000),
    ):
        text = path.read_text()
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=r"run\.json: broken"):
            import_run(folder.path, "sqlite:///never.db")
        path.write_text(text)
    assert not Path("never.db").exists()


def test_a_broken_record_of_a_split(folder: Folder, sqlite: str) -> None:
    place = folder.split(1, 2)
    text = (place / "split.json").read_text()
    for number in ("1.5", '"1"', "-1", "true"):
        (place / "split.json").write_text(text.replace('"number": 1', f'"number": {number}'))
        with pytest.raises(InputError, match=r"split\.json: broken"):
            import_run(folder.path, sqlite)
    (place / "split.json").write_text(text)
    for epoch in ("nan", "inf", "-1", "1e300"):
        (place / "history.csv").write_text(f"epoch,a\n{epoch},1\n")
        with pytest.raises(InputError, match=r"history\.csv: broken"):
            import_run(folder.path, sqlite)


def test_names_that_are_no_text(folder: Folder, sqlite: str) -> None:
    place = folder.whole(1).path / "split-1"
    (place / os.fsdecode(b"b\xff.txt")).write_text("x")
    import_run(folder.path, sqlite)
    lab = Lab(sqlite, folder)
    assert "b_.txt" in lab.files(lab.children[0])
