"""A shared lab: everybody with an account reads, the owner and named editors write."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from raw2logit.cli import main
from raw2logit.errors import InputError
from raw2logit.lab.accounts import has_account, set_account, share
from raw2logit.lab.errors import lab_errors
from raw2logit.lab.record import read_history, read_run
from tests.lab.shared import PASSWORDS, Lab, acting, track, write
from tests.tasks.data import TINY_MODEL_FILE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    return shared_lab


def state(lab: Lab) -> object:
    """Return all of olga's that somebody else might change."""
    with acting("adam"):
        client = mlflow.MlflowClient(lab.address)
        experiment = client.get_experiment(lab.experiment)
        runs = client.search_runs([lab.experiment])
        versions = client.search_model_versions(f'name="{lab.model}"')
        return (
            (experiment.name, experiment.lifecycle_stage, dict(experiment.tags)),
            sorted((run.info.run_id, run.info.run_name, str(run.data)) for run in runs),
            [item.path for item in client.list_artifacts(lab.run)],
            client.get_registered_model(lab.model).description,
            [(version.version, version.description, dict(version.tags)) for version in versions],
        )


def test_nobody_enters_without_the_right_password(lab: Lab) -> None:
    for path in ("/", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/version"):
        assert lab.send("GET", path, None).status_code == 401
        for login in (("adam", "password1234"), ("admin", "password1234"), ("adam", "")):
            assert requests.get(f"{lab.address}{path}", auth=login, timeout=20).status_code == 401
    assert lab.send("GET", "/", "rita").status_code == 200


def test_the_password_lies_nowhere_in_clear_text(lab: Lab) -> None:
    files = [path for path in lab.folder.rglob("*") if path.is_file()]
    assert {"accounts.db", "auth.ini", "secret.key"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert not any(password.encode() in content for password in PASSWORDS.values()), path
        assert b"password1234" not in content
        if path.name in ("accounts.db", "auth.ini", "secret.key"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_names_of_the_lab(lab: Lab) -> None:
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    for host, expected in (("lab.example.org", 200), ("evil.example.org", 403)):
        answer = lab.send("GET", path, "rita", headers={"Host": host})
        assert answer.status_code == expected
    body = {"experiment_ids": [lab.experiment]}
    for origin, expected in (("http://lab.example.org", 200), ("http://evil.example.org", 403)):
        path = "/api/2.0/mlflow/runs/search"
        answer = lab.send("POST", path, "rita", json=body, headers={"Origin": origin})
        assert answer.status_code == expected


def test_a_reader_reads_everything(lab: Lab, tmp_path: Path) -> None:
    with acting("rita"):
        client = mlflow.MlflowClient(lab.address)
        run = client.get_run(lab.run)
        assert run.data.metrics == {"accuracy": 0.5}
        assert [point.step for point in client.get_metric_history(lab.run, "accuracy")] == [1]
        assert (
            Path(client.download_artifacts(lab.run, "a.txt", str(tmp_path))).read_text() == "kept"
        )
        assert [version.run_id for version in client.search_model_versions("")] == [lab.run]
        assert {item.name for item in client.search_experiments()} >= {"olga's", "rita's"}
    answer = lab.send("GET", f"/get-artifact?run_uuid={lab.run}&path=a.txt", "rita")
    assert (answer.status_code, answer.text) == (200, "kept")
    query = {"operationName": "Q", "query": 'query Q {test(inputString: "a") {output}}'}
    assert lab.send("POST", "/graphql", "rita", json=query).status_code == 200


# What a reader may try: (method, path after the API's prefix, what is sent).
_ATTEMPTS: dict[str, Callable[[Lab], tuple[str, str, dict[str, Any]]]] = {
    "create a run": lambda lab: ("POST", "runs/create", {"experiment_id": lab.experiment}),
    "log a metric": lambda lab: (
        "POST",
        "runs/log-metric",
        {"run_id": lab.run, "key": "accuracy", "value": 1.0, "timestamp": 1, "step": 2},
    ),
    "log a parameter": lambda lab: (
        "POST",
        "runs/log-parameter",
        {"run_id": lab.run, "key": "b", "value": "1"},
    ),
    "log a batch": lambda lab: (
        "POST",
        "runs/log-batch",
        {"run_id": lab.run, "tags": [{"key": "a", "value": "1"}]},
    ),
    "log inputs": lambda lab: ("POST", "runs/log-inputs", {"run_id": lab.run, "datasets": []}),
    "log outputs": lambda lab: ("POST", "runs/outputs", {"run_id": lab.run, "models": []}),
    "log a model": lambda lab: ("POST", "runs/log-model", {"run_id": lab.run, "model_json": "{}"}),
    "tag a run": lambda lab: (
        "POST",
        "runs/set-tag",
        {"run_id": lab.run, "key": "written", "value": "no"},
    ),
    "take a tag": lambda lab: ("POST", "runs/delete-tag", {"run_id": lab.run, "key": "written"}),
    "rename a run": lambda lab: ("POST", "runs/update", {"run_id": lab.run, "run_name": "x"}),
    "delete a run": lambda lab: ("POST", "runs/delete", {"run_id": lab.run}),
    "rename the experiment": lambda lab: (
        "POST",
        "experiments/update",
        {"experiment_id": lab.experiment, "new_name": "x"},
    ),
    "delete the experiment": lambda lab: (
        "POST",
        "experiments/delete",
        {"experiment_id": lab.experiment},
    ),
    "tag the experiment": lambda lab: (
        "POST",
        "experiments/set-experiment-tag",
        {"experiment_id": lab.experiment, "key": "a", "value": "1"},
    ),
    "add a version": lambda lab: (
        "POST",
        "model-versions/create",
        {"name": lab.model, "source": f"runs:/{lab.own_run}/a.txt", "run_id": lab.own_run},
    ),
    "describe a version": lambda lab: (
        "PATCH",
        "model-versions/update",
        {"name": lab.model, "version": "1", "description": "x"},
    ),
    "delete a version": lambda lab: (
        "DELETE",
        "model-versions/delete",
        {"name": lab.model, "version": "1"},
    ),
    "delete a model": lambda lab: ("DELETE", "registered-models/delete", {"name": lab.model}),
    "rename a model": lambda lab: (
        "POST",
        "registered-models/rename",
        {"name": lab.model, "new_name": "x"},
    ),
    "move an alias": lambda lab: (
        "POST",
        "registered-models/alias",
        {"name": lab.model, "alias": "best", "version": "1"},
    ),
    "make a logged model": lambda lab: (
        "POST",
        "logged-models",
        {"experiment_id": lab.experiment, "name": "x"},
    ),
    "make a trace": lambda lab: (
        "POST",
        "traces",
        {"experiment_id": lab.experiment, "timestamp_ms": 1},
    ),
    "delete traces": lambda lab: (
        "POST",
        "traces/delete-traces",
        {"experiment_id": lab.experiment, "max_timestamp_millis": 9, "max_traces": 9},
    ),
    "make a webhook": lambda lab: (
        "POST",
        "webhooks",
        {"name": "x", "url": "https://example.org", "events": []},
    ),
    "make an account": lambda lab: (
        "POST",
        "users/create",
        {"username": "mallory", "password": "a-long-enough-one"},
    ),
    "become administrator": lambda lab: (
        "PATCH",
        "users/update-admin",
        {"username": "rita", "is_admin": True},
    ),
    "change another's password": lambda lab: (
        "PATCH",
        "users/update-password",
        {"username": "olga", "password": "a-long-enough-one"},
    ),
    "delete an account": lambda lab: ("DELETE", "users/delete", {"username": "olga"}),
    # The same thing twice: once for the check, once for what acts.
    "a field spelt twice": lambda lab: (
        "POST",
        "runs/create",
        {"experiment_id": lab.own_experiment, "experimentId": lab.experiment},
    ),
    "two runs": lambda lab: (
        "POST",
        "runs/set-tag",
        {"run_id": lab.own_run, "run_uuid": lab.run, "key": "written", "value": "no"},
    ),
    "another place for artifacts": lambda lab: (
        "POST",
        "experiments/create",
        {"name": "elsewhere", "artifact_location": "file:///tmp/elsewhere"},
    ),
}


@pytest.mark.parametrize("attempt", _ATTEMPTS)
def test_a_reader_changes_nothing(lab: Lab, attempt: str) -> None:
    method, path, body = _ATTEMPTS[attempt](lab)
    before = state(lab)
    for prefix in ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"):
        answer = lab.send(method, prefix + path, "rita", json=body)
        # MLflow 3.9 has accounts under one prefix alone.
        refused = (403, 404) if path.startswith("users/") else (403,)
        assert answer.status_code in refused, answer.text
        assert lab.send(method, prefix + path, None, json=body).status_code == 401
    assert state(lab) == before


def test_a_reader_leaves_the_artifacts_alone(lab: Lab) -> None:
    before = state(lab)
    tail = f"{lab.experiment}/{lab.run}/artifacts"
    own = f"{lab.own_experiment}/{lab.own_run}/artifacts"
    for api in ("/api/2.0", "/ajax-api/2.0"):
        place = f"{api}/mlflow-artifacts"
        for method, path in (
            ("PUT", f"{place}/artifacts/{tail}/a.txt"),
            ("PUT", f"{place}/artifacts/{tail}/b.txt"),
            ("PUT", f"{place}/artifacts/b.txt"),
            ("DELETE", f"{place}/artifacts/{tail}/a.txt"),
            ("DELETE", f"{place}/artifacts/{lab.experiment}"),
            ("POST", f"{place}/mpu/create/{tail}"),
            ("POST", f"{place}/mpu/complete/{tail}"),
            ("POST", f"{place}/mpu/abort/{tail}"),
            ("POST", f"{api}/mlflow/artifacts/presigned-upload-url"),
            ("POST", f"{api}/mlflow/upload-artifact?run_uuid={lab.run}&path=b.txt"),
            (
                "POST",
                f"{api}/mlflow/upload-artifact?run_id={lab.own_run}&run_uuid={lab.run}&path=b.txt",
            ),
        ):
            how: dict[str, Any] = (
                {"json": {"path": "a.txt"}} if method == "POST" else {"data": b"x"}
            )
            assert lab.send(method, path, "rita", **how).status_code == 403, path
            assert lab.send(method, path, None, **how).status_code == 401, path
    # Out of her own experiment into another's. By hand: the client would tidy the path.
    for step in ("..", "%2e%2e", "%252e%252e", "..%5c"):
        request = requests.Request("PUT", lab.address, data=b"x", auth=("rita", PASSWORDS["rita"]))
        prepared = request.prepare()
        path = f"{own}/{step}/{step}/{step}/{tail}/a.txt"
        prepared.url = f"{lab.address}/api/2.0/mlflow-artifacts/artifacts/{path}"
        with requests.Session() as session:
            session.send(prepared, timeout=20)
        assert state(lab) == before, step
    answer = lab.send("GET", f"/get-artifact?run_uuid={lab.run}&path=a.txt", "rita")
    assert answer.text == "kept"


def test_a_query_beside_the_body_deceives_no_check(lab: Lab) -> None:
    before = state(lab)
    with acting("rita"):
        mlflow.MlflowClient(lab.address).create_registered_model("rita's")
    for kind in ("text/plain", "application/json"):
        answer = lab.send(
            "DELETE",
            "/api/2.0/mlflow/registered-models/delete?name=rita's",
            "rita",
            data=f'{{"name": "{lab.model}"}}',
            headers={"Content-Type": kind},
        )
        assert answer.status_code == 403
    assert state(lab) == before


@pytest.mark.parametrize(
    "source",
    ["http://127.0.0.1:1/x", "mlflow-artifacts://127.0.0.1:1/x", "file://127.0.0.1/x", "s3://a/b"],
)
def test_a_model_lies_in_the_lab(lab: Lab, source: str) -> None:
    body = {"name": lab.model, "source": source, "run_id": lab.run}
    answer = lab.send("POST", "/api/2.0/mlflow/model-versions/create", "olga", json=body)
    assert (answer.status_code, answer.text) == (403, "source: must lie in the lab\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/traces"),
        ("POST", "/ajax-api/3.0/jobs"),
        ("GET", "/ajax-api/3.0/jobs/1"),
        ("POST", "/gateway/mlflow/v1/chat/completions"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/api/3.0/mlflow/datasets/create"),
        ("POST", "/api/3.0/mlflow/scorers/register"),
        ("POST", "/ajax-api/2.0/mlflow/runs/create-promptlab-run"),
        ("POST", "/api/2.0/mlflow/users/create-ui"),
        ("PUT", "/api/3.0/mlflow/scorers/online-config"),
    ],
)
def test_the_rest_of_mlflow_is_shut(lab: Lab, method: str, path: str) -> None:
    assert lab.send(method, path, None, json={}).status_code == 401
    assert lab.send(method, path, "rita", json={}).status_code in (403, 404)


def test_the_owner_names_an_editor_and_takes_it_back(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lab", "share", "olga's", "edna", "--tracking-uri", lab.address]
    with acting("edna"):
        with pytest.raises(InputError, match="raw2logit lab share"), lab_errors(lab.address):
            track(lab, "olga's")
        assert main(words) == 2  # Of herself.
    with acting("rita"):
        assert main(words) == 2
        assert "may not do this" in capsys.readouterr().err
    with acting("olga"):
        assert main(words) == 0
        assert main(words) == 0  # Once more does no harm.
        assert 'edna: write into "olga\'s" and 1 of its models' in capsys.readouterr().out
    with acting("edna"):
        _, run = track(lab, "olga's")
        write(lab, lab.run)
        client = mlflow.MlflowClient(lab.address)
        version = client.create_model_version(lab.model, f"runs:/{run}/a.txt", run)
        client.set_model_version_tag(lab.model, version.version, "split", "1")
        with pytest.raises(InputError, match="may not do this"), lab_errors(lab.address):
            client.delete_run(lab.run)
        with pytest.raises(InputError, match="may not do this"):
            share(lab.address, "olga's", ["rita"])
    with acting("olga"):
        assert main([*words, "--remove"]) == 0
    before = state(lab)
    with acting("edna"):
        client = mlflow.MlflowClient(lab.address)
        for change in (
            lambda: track(lab, "olga's"),
            lambda: write(lab, run),
            lambda: client.log_text(run, "x", "b.txt"),
            lambda: client.create_model_version(lab.model, f"runs:/{run}/a.txt", run),
        ):
            with pytest.raises(InputError, match="may not do this"), lab_errors(lab.address):
                change()
    assert state(lab) == before


def test_what_cannot_be_shared(lab: Lab) -> None:
    with acting("olga"):
        with pytest.raises(InputError, match="no experiment 'nowhere'"):
            share(lab.address, "nowhere", ["edna"])
        with pytest.raises(InputError, match="nobody"):
            share(lab.address, "olga's", ["nobody"])
        with pytest.raises(InputError, match="your own"):
            share(lab.address, "olga's", ["olga"], remove=True)
        with pytest.raises(InputError, match="--shared"):
            share("sqlite:///mlflow.db", "olga's", ["edna"])


def test_accounts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lab", "account", "tom", "--tracking-uri", lab.address]
    with acting("adam"):
        monkeypatch.setenv("RAW2LOGIT_LAB_PASSWORD", "short")
        assert main(words) == 2
        assert "RAW2LOGIT_LAB_PASSWORD: the password is too short" in capsys.readouterr().err
        monkeypatch.setenv("RAW2LOGIT_LAB_PASSWORD", "one-of-many-toms")
        assert main([*words, "--admin"]) == 0
        assert capsys.readouterr().out == "made the account tom\ntom is an administrator\n"
        assert main(["lab", "account", "adam", "--delete", "--tracking-uri", lab.address]) == 2
        assert "your own" in capsys.readouterr().err
    with acting("tom", "one-of-many-toms"):
        # Everybody may change the own password; the former one is known from the login.
        assert set_account(lab.address, "tom", "another-of-many") is False
        with pytest.raises(InputError, match="wrong name or password"):
            has_account(lab.address, "tom")
    with acting("tom", "another-of-many"):
        assert has_account(lab.address, "adam")
    with acting("adam"):
        assert main([*words, "--no-admin"]) == 0
    with acting("tom", "another-of-many"):
        with pytest.raises(InputError, match="may not do this"):
            set_account(lab.address, "mallory", "a-long-enough-one")
        # Nor by going round the command.
        login = ("tom", "another-of-many")
        body = {"username": "tom", "password": "short", "current_password": login[1]}
        path = f"{lab.address}/api/2.0/mlflow/users/update-password"
        assert requests.patch(path, json=body, auth=login, timeout=20).status_code == 403
    with acting("adam"):
        assert main([*words, "--delete"]) == 0
        assert not has_account(lab.address, "tom")
    assert requests.get(lab.address, auth=("tom", "another-of-many"), timeout=20).status_code == 401


def test_what_people_are_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with lab_errors(lab.address):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "30"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"  # The user's.
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    with (
        pytest.raises(InputError, match="wants an account: set MLFLOW_TRACKING_USERNAME"),
        lab_errors(lab.address),
    ):
        mlflow.MlflowClient(lab.address).get_run(lab.run)
    with (
        acting("rita", "not-the-right-one"),
        pytest.raises(InputError, match="wrong name or password"),
        lab_errors(lab.address),
    ):
        mlflow.MlflowClient(lab.address).log_text(lab.run, "x", "b.txt")
    with (
        acting("rita"),
        pytest.raises(InputError, match="may not do this"),
        lab_errors(lab.address),
    ):
        mlflow.MlflowClient(lab.address).log_text(lab.run, "x", "b.txt")


def test_a_training_into_a_shared_lab(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.address)
    Path("tiny.py").write_text(TINY_MODEL_FILE)
    words = ["--count", "24", "--size", "32", "--workers", "1", "--root", "data"]
    assert main(["data", "generate", "microscopy", *words]) == 0
    train = ["train", "--root", "data", "--model", "tiny.py:Tiny", "--epochs", "2"]
    train += ["--batch-size", "8", "--accelerator", "cpu", "--experiment", "trained"]
    with acting("olga"):
        assert main([*train, "--splits", "2", "--run-name", "hers", "-o", "hers"]) == 0
    with acting("rita"):
        # All of it has arrived, for her to read.
        client = mlflow.MlflowClient(lab.address)
        capsys.readouterr()
        assert main(["lab", "runs", "--experiment", "trained", "--format", "json"]) == 0
        (whole,) = json.loads(capsys.readouterr().out)
        assert (whole["name"], whole["status"], whole["splits"]) == ("hers", "FINISHED", 2)
        assert whole["metrics"] == read_run(Path("hers")).metrics
        query = ["lab", "query", "metrics.test_accuracy >= 0 and params.split = '2'"]
        assert main([*query, "--experiment", "trained", "--format", "json"]) == 0
        (split,) = json.loads(capsys.readouterr().out)
        assert (split["name"], split["split"]) == ("hers", "2")
        history = client.get_metric_history(split["id"], "val_loss")
        kept = [row for row in read_history(Path("hers/split-2")) if "val_loss" in row]
        assert [(point.step, point.value) for point in history] == [
            (row["epoch"], row["val_loss"]) for row in kept
        ]
        assert main(["lab", "fetch", whole["id"][:8], "--what", "all", "-o", "fetched"]) == 0
        names = {path.relative_to("fetched") for path in Path("fetched").rglob("*.*")}
        assert {Path("config.yaml"), Path("split-2/pipeline/pipeline.safetensors")} <= names
        for name in names:
            assert Path("fetched", name).read_bytes() == Path("hers", name).read_bytes()
        for kind in ("pipeline", "task"):
            versions = client.search_model_versions(f"name = 'hers {kind}'")
            assert {version.tags["raw2logit.split"] for version in versions} == {"1", "2"}
        # Her own training there goes on without the lab, and is told why.
        capsys.readouterr()
        with warnings.catch_warnings(action="always", category=UserWarning):
            assert main([*train, "--run-name", "not hers", "-o", "ritas"]) == 0
        refused = "your account may not write into the experiment 'trained'"
        assert capsys.readouterr().err.count(refused) == 2
        assert read_run(Path("ritas")).status == "finished"
        assert main(["lab", "import", "ritas"]) == 2
        assert "ask its owner for `raw2logit lab share`" in capsys.readouterr().err
    with acting("olga"):
        assert main(["lab", "share", "trained", "rita"]) == 0
    with acting("rita"):
        assert main(["lab", "import", "ritas"]) == 0
        assert main(["lab", "runs", "--experiment", "trained", "--format", "json"]) == 0
        runs = json.loads(capsys.readouterr().out.split("\n", 2)[2])
        assert {(run["name"], run["status"]) for run in runs} == {
            ("hers", "FINISHED"),
            ("not hers", "FINISHED"),
        }
    with acting("olga"):
        assert main(["lab", "share", "trained", "rita", "--remove"]) == 0
