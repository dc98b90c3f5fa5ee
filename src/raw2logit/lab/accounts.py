"""Accounts of a shared lab, and who may write into an experiment.

Everything is asked of the lab's server, which checks who asks. The one who asks is named by
``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``, as for all that MLflow does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raw2logit.errors import InputError
from raw2logit.lab.errors import lab_errors, shown
from raw2logit.lab.passwords import find_weakness

if TYPE_CHECKING:
    import mlflow
    from mlflow.exceptions import MlflowException

_USERS = "/api/2.0/mlflow/users"
_PERMISSIONS = "/api/3.0/mlflow/users/permissions"
_EXPERIMENT, _MODEL = "experiment", "registered_model"
# Of MLflow 3.9, by kind: where its permissions are, and the field that names one.
_FORMER = {
    _EXPERIMENT: ("/api/2.0/mlflow/experiments/permissions", "experiment_id"),
    _MODEL: ("/api/2.0/mlflow/registered-models/permissions", "name"),
}
_AT_ONCE = 100


@dataclass(frozen=True)
class Shared:
    """What was shared, or is shared no longer.

    Attributes:
        experiment: Name of the experiment.
        models: Names of the registered models that its runs have made.
        left_out: Such models that belong to somebody else, who has to share them.
    """

    experiment: str
    models: tuple[str, ...]
    left_out: tuple[str, ...]


def has_account(address: str, name: str) -> bool:
    """Tell whether there is an account of a name.

    Args:
        address: Of the lab's server.
        name: One's own, or any name for an administrator.

    Raises:
        InputError: The lab has no accounts, or refuses.
    """
    from mlflow.exceptions import MlflowException

    _check_server(address)
    with lab_errors(address):
        try:
            _ask(address, "GET", f"{_USERS}/get", params={"username": name})
        except MlflowException as error:
            if _code(error) == "ENDPOINT_NOT_FOUND":
                raise InputError(
                    f"{shown(address)}: has no accounts: it was started without --shared"
                ) from error
            if _code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
    return True


def set_account(address: str, name: str, password: str) -> bool:
    """Make an account, or set its password if it is there.

    Args:
        address: Of the lab's server.
        name: Of the account.
        password: Its new one.

    Returns:
        Whether the account is new.

    Raises:
        InputError: The password is weak, or the lab refuses: accounts are the administrator's;
            others may set their own password.
    """
    if weakness := find_weakness(password):
        raise InputError(weakness)
    new = not has_account(address, name)
    with lab_errors(address):
        body = {"username": name, "password": password}
        if new:
            _ask(address, "POST", f"{_USERS}/create", body)
        else:
            if name == _own_name():
                body["current_password"] = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
            _ask(address, "PATCH", f"{_USERS}/update-password", body)
    return new


def set_administrator(address: str, name: str, admin: bool) -> None:
    """Make an account an administrator's, who may do everything, or an ordinary one.

    Raises:
        InputError: It is one's own, or the lab refuses.
    """
    _check_server(address)
    if name == _own_name() and not admin:
        raise InputError(f"{name}: is your own: another administrator has to do this")
    with lab_errors(address):
        _ask(
            address, "PATCH", f"{_USERS}/update-admin", {"username": name, "is_admin": bool(admin)}
        )


def delete_account(address: str, name: str) -> None:
    """Delete an account; what it has made stays.

    Raises:
        InputError: It is one's own or is not there, or the lab refuses.
    """
    _check_server(address)
    if name == _own_name():
        raise InputError(f"{name}: is your own: another administrator has to do this")
    with lab_errors(address):
        _ask(address, "DELETE", f"{_USERS}/delete", {"username": name})


def share(address: str, experiment: str, names: Sequence[str], *, remove: bool = False) -> Shared:
    """Let accounts write into an experiment, and into the models that its runs have made.

    An editor adds runs, logs into all of them, and adds versions to the models, but deletes
    nothing and names no other editors.

    Args:
        address: Of the lab's server.
        experiment: Its name or its id.
        names: Of the accounts.
        remove: Take that back.

    Raises:
        InputError: There is no such experiment or account, or it belongs to somebody else.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    _check_server(address)
    if (own := _own_name()) in names:
        raise InputError(f"{own}: is your own account: name others")
    change = _revoke if remove else _grant
    shared, left_out = [], []
    with lab_errors(address):
        client = mlflow.MlflowClient(address)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            try:
                found = client.get_experiment(experiment)
            except MlflowException as error:
                if _code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise InputError(
                    f"{shown(address)}: no experiment {experiment!r} there: see "
                    "`raw2logit lab runs`"
                ) from error
        for name in names:
            change(address, name, _EXPERIMENT, str(found.experiment_id))
        for model in _models_of(client, str(found.experiment_id)):
            try:
                for name in names:
                    change(address, name, _MODEL, model)
            except MlflowException as error:
                if _code(error) != "PERMISSION_DENIED":
                    raise
                left_out.append(model)
            else:
                shared.append(model)
    return Shared(str(found.name), tuple(shared), tuple(left_out))


def _models_of(client: mlflow.MlflowClient, experiment_id: str) -> list[str]:
    """Return the names of the registered models that the runs of an experiment have made."""
    runs: list[str] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        runs += [run.info.run_id for run in page]
        if not (token := page.token):
            break
    names: set[str] = set()
    for start in range(0, len(runs), _AT_ONCE):
        wanted = ",".join(f"'{run}'" for run in runs[start : start + _AT_ONCE])
        token = None
        while True:
            versions = client.search_model_versions(f"run_id IN ({wanted})", page_token=token)
            names |= {version.name for version in versions}
            if not (token := versions.token):
                break
    return sorted(names)


def _grant(address: str, name: str, kind: str, resource: str) -> None:
    from mlflow.exceptions import MlflowException

    body = {"username": name, "resource_type": kind, "resource_id": resource}
    place, field = _FORMER[kind]
    former = {"username": name, field: resource, "permission": "EDIT"}
    try:
        _ask(address, "POST", f"{_PERMISSIONS}/grant", body | {"permission": "EDIT"})
    except MlflowException as error:
        if _code(error) == "RESOURCE_ALREADY_EXISTS":
            # There is one permission an account, and no way to change it but this.
            _ask(address, "POST", f"{_PERMISSIONS}/revoke", body)
            _ask(address, "POST", f"{_PERMISSIONS}/grant", body | {"permission": "EDIT"})
        elif _code(error) != "ENDPOINT_NOT_FOUND":
            raise
        elif not _try(address, "POST", f"{place}/create", former, "RESOURCE_ALREADY_EXISTS"):
            _ask(address, "PATCH", f"{place}/update", former)


def _revoke(address: str, name: str, kind: str, resource: str) -> None:
    from mlflow.exceptions import MlflowException

    body = {"username": name, "resource_type": kind, "resource_id": resource}
    try:
        if not _try(address, "POST", f"{_PERMISSIONS}/revoke", body, "ENDPOINT_NOT_FOUND"):
            place, field = _FORMER[kind]
            _ask(address, "DELETE", f"{place}/delete", {"username": name, field: resource})
    except MlflowException as error:
        # A model may be younger than the sharing.
        if kind != _MODEL or _code(error) != "RESOURCE_DOES_NOT_EXIST":
            raise


def _try(address: str, method: str, endpoint: str, body: dict[str, Any], expected: str) -> bool:
    """Send a request to the lab; tells whether it did not end with the expected error."""
    from mlflow.exceptions import MlflowException

    try:
        _ask(address, method, endpoint, body)
    except MlflowException as error:
        if _code(error) != expected:
            raise
        return False
    return True


def _ask(
    address: str,
    method: str,
    endpoint: str,
    body: dict[str, Any] | None = None,
    params: dict[str, str] | None = None,
) -> None:
    """Send a request to the lab.

    Raises:
        MlflowException: It refuses.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request_safe

    credentials = get_default_host_creds(address)  # type: ignore[no-untyped-call]
    http_request_safe(  # type: ignore[no-untyped-call]
        credentials, endpoint, method, json=body, params=params
    )


def _code(error: MlflowException) -> str:
    return str(error.error_code)


def _own_name() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_USERNAME")


def _check_server(address: str) -> None:
    if not address.startswith(("http://", "https://")):
        raise InputError(
            f"{shown(address)}: a lab has accounts only behind `raw2logit lab up --shared`: set "
            "--tracking-uri or MLFLOW_TRACKING_URI to its http address"
        )
