"""Say in one line what is wrong with a lab, and notice soon that it is down."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import unquote

from raw2logit.errors import InputError

# MLflow's own: 7 retries, a backoff of 2 s that doubles, 120 s for an answer.
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.5",
    # For an answer. Not shorter: what is sent again after a timeout may be done twice.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_HEALTH_TIMEOUT_S = 8
UNCLEAR = "write @ / ? # in user and password as %40 %2F %3F %23"


def impatient() -> AbstractContextManager[None]:
    """Let MLflow's HTTP requests of this process give up soon, until the block ends.

    What the user set in the environment stays.
    """
    return environment(_IMPATIENT)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set in the environment what the user has not set, until the block ends."""
    mine = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


@contextmanager
def lab_errors(address: str) -> Iterator[None]:
    """Turn what MLflow and requests raise inside the block into an `InputError` of one line.

    A server is first asked whether it is up: one that is down is noticed within 10 s. `impatient`
    holds inside the block.

    Args:
        address: Of the lab, as `raw2logit.lab.tracking.tracking_uri` returns it.

    Raises:
        InputError: The lab is down, refuses, or does not know what was asked for; the line says
            what to do. It never holds a password that is part of the address.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    with impatient():
        try:
            if address.startswith(("http://", "https://")):
                _check_up(address)
            yield
        # An ImportError: of the driver of a database.
        except (ImportError, MlflowException, requests.RequestException, SQLAlchemyError) as error:
            raise InputError(explain(error, address)) from error


def explain(error: BaseException, address: str) -> str:
    """Return one line that says what an error of MLflow or requests means, and the mend.

    Args:
        error: What was raised.
        address: Of the lab; passwords in it are not repeated.
    """
    lab = shown(address)
    if is_unclear(address):
        # Whatever was raised may hold a part of the password.
        return f"{lab}: {UNCLEAR}"
    if _has_no_answer(error):
        return (
            f"{lab}: no answer: start the lab there with `raw2logit lab up`, or set --tracking-uri "
            "or MLFLOW_TRACKING_URI to where it is"
        )
    status = _status(error)
    if status == 401:
        if os.environ.get("MLFLOW_TRACKING_USERNAME"):
            return (
                f"{lab}: wrong name or password: see MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD; an administrator makes accounts and sets passwords with "
                "`raw2logit lab account NAME`"
            )
        return (
            f"{lab}: wants an account: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; "
            "an administrator makes one with `raw2logit lab account NAME`"
        )
    if status == 403:
        return (
            f"{lab}: your account may not do this: ask the owner of the experiment for "
            "`raw2logit lab share EXPERIMENT NAME`, or use an experiment of your own"
        )
    if status == 404 and "API request to endpoint" in str(error):
        return f"{lab}: what answers there is no MLflow server: check the address"
    # The text of a database's error goes on with the statement and a link.
    text = str(error).split("\n[SQL:")[0].split("\n(Background on this error")[0]
    return f"{lab}: {without_passwords(' '.join(text.split()), address)}"


def shown(address: str) -> str:
    """Return an address as people may see it: without password and options, which may hold one."""
    scheme, login, place, _ = _parts(address)
    if is_unclear(address):
        return f"{scheme}..."
    user, colon, _ = login.partition(":")
    return f"{scheme}{user}{':***' if colon else ''}{'@' if login else ''}{place}"


def without_passwords(text: str, address: str) -> str:
    """Return a text in which no password is left that an address holds, escaped or not."""
    _, login, _, options = _parts(address)
    pairs = [option.partition("=") for option in re.split("[&;#]", options)]
    secrets = [value for name, _, value in pairs if "pass" in name.lower()]
    for secret in [login.partition(":")[2], *secrets]:
        for form in (secret, unquote(secret)):
            if form:
                text = text.replace(form, "***")
    return text


def is_unclear(address: str) -> bool:
    """Tell whether a password in an address may end anywhere: it has characters to be escaped."""
    _, login, place, options = _parts(address)
    return "@" in f"{login}{place}{options}" and not _is_file(address)


def _parts(address: str) -> tuple[str, str, str, str]:
    """Return scheme with ``://``, user and password, place, and options of an address."""
    if _is_file(address):
        return "", "", address, ""
    scheme, mark, rest = address.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    login, _, host = authority.rpartition("@")
    path, *options = re.split("[?#]", rest[len(authority) :], maxsplit=1)
    return f"{scheme}{mark}", login, f"{host}{path}", "".join(options)


def _is_file(address: str) -> bool:
    """Tell whether the rest of an address is the name of a file, which may hold anything."""
    _, mark, rest = address.partition("://")
    return not mark or rest.startswith("/")


def _check_up(address: str) -> None:
    """Ask for an answer, whatever it is.

    Raises:
        MlflowException: There is none.
    """
    from mlflow.exceptions import MlflowException
    from urllib3.exceptions import ProtocolError

    try:
        _ask_health(address)
    except MlflowException as error:
        # A server may close a connection that it kept open at the moment it is used again.
        if not any(isinstance(part, ProtocolError) for part in _chain(error)):
            raise
        _ask_health(address)


def _ask_health(address: str) -> None:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    # As MLflow's own requests: with its settings for certificates and proxies.
    http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(address),  # type: ignore[no-untyped-call]
        "/health",
        "GET",
        max_retries=0,
        raise_on_status=False,
        timeout=_HEALTH_TIMEOUT_S,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it: MLflow wraps what requests raises."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _has_no_answer(error: BaseException) -> bool:
    import requests

    return any(
        isinstance(part, requests.ConnectionError | requests.Timeout) for part in _chain(error)
    )


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that stands behind an error, or None."""
    import requests
    from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException

    for part in _chain(error):
        if isinstance(part, requests.HTTPError) and part.response is not None:
            return part.response.status_code
        if isinstance(part, MlflowException):
            return ERROR_CODE_TO_HTTP_STATUS.get(part.error_code)
    return None
