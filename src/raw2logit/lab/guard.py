"""What a shared lab lets through: logins, and the requests that MLflow checks for permission.

MLflow's basic-auth app calls `authenticate` before it answers a request. MLflow looks up who may
do what by the path of a request; which paths it does not know, and so lets everybody use, differs
from version to version. Here it is the other way round: what writes and is not listed is refused.

Runs inside the server: `raw2logit.lab.server` names it in MLflow's configuration.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Any

from raw2logit.lab.passwords import find_weakness

if TYPE_CHECKING:
    from flask import Request, Response
    from werkzeug.datastructures import Authorization

_READ_METHODS = ("GET", "HEAD", "OPTIONS")
# Each is checked by MLflow 3.9 and later: the sender's permission on what the body names.
_WRITES = {
    "POST": (
        "experiments/(create|delete|restore|update|set-experiment-tag|delete-experiment-tag)",
        "runs/(create|delete|restore|update|log-metric|log-parameter|log-batch|log-model)",
        "runs/(set-tag|delete-tag)",
        "logged-models",
        "logged-models/[^/]+/params",
        "registered-models/(create|rename|set-tag|alias)",
        "model-versions/(create|set-tag|transition-stage)",
        "users/create",
        "(experiments|registered-models)/permissions/create",
        "users/permissions/(grant|revoke)",
    ),
    "PATCH": (
        "logged-models/[^/]+(/tags)?",
        "registered-models/update",
        "model-versions/update",
        "users/update-(password|admin)",
        "(experiments|registered-models)/permissions/update",
    ),
    "DELETE": (
        "logged-models/[^/]+(/tags/[^/]+)?",
        "registered-models/(delete|delete-tag|alias)",
        "model-versions/(delete|delete-tag)",
        "users/delete",
        "(experiments|registered-models)/permissions/delete",
    ),
}
_API = r"/(ajax-)?api/[23]\.0/mlflow/"
_WRITE_PATHS = {
    method: re.compile(f"{_API}({'|'.join(paths)})") for method, paths in _WRITES.items()
}
# Questions too long for an address; everybody with an account may ask them.
_QUESTIONS = re.compile(
    f"{_API}((experiments|runs|logged-models|traces|datasets)/search|"
    "experiments/search-datasets|registered-models/get-latest-versions|"
    "traces/(metrics|calculate-filter-correlation|batchGetInfos))|/graphql"
)
# Not under ajax-api, where MLflow 3.9 asks for no permission.
_ARTIFACT = re.compile(r"/api/2\.0/mlflow-artifacts/artifacts/\d+/.+")
# No other host: who loads the model would show it the lab's password.
_SOURCE = re.compile(r"(runs|models|mlflow-artifacts|file):(?!//[^/])|/")

_key = secrets.token_bytes(32)
_known_logins: dict[str, bytes] = {}
_KNOWN_LIMIT = 1000


def authenticate() -> Authorization | Response:
    """Return who sends the request at hand, or the response that refuses it.

    For the ``authorization_function`` of MLflow's basic-auth app, which calls it several times a
    request.
    """
    from flask import g, make_response, request
    from mlflow.server.auth import make_basic_auth_response

    if (login := g.get("raw2logit_login")) is not None:
        found: Authorization = login
        return found
    login = request.authorization
    if login is None or login.type != "basic" or not _is_right(login.username, login.password):
        answer: Response = make_basic_auth_response()
        return answer
    if (reason := find_refusal(request)) is not None:
        return make_response(f"{reason}\n", 403)
    g.raw2logit_login = login
    return login


def find_refusal(request: Request) -> str | None:
    """Return why a request is refused to everybody, or None if MLflow is to decide."""
    if request.method in _READ_METHODS:
        return None
    if request.method in ("PUT", "DELETE") and _ARTIFACT.fullmatch(request.path):
        return "no query here" if request.query_string else None
    if request.method == "POST" and _QUESTIONS.fullmatch(request.path):
        return None
    allowed = _WRITE_PATHS.get(request.method)
    if allowed is None or not allowed.fullmatch(request.path):
        return "this lab does not offer that part of MLflow"
    return _find_trick(request)


def _find_trick(request: Request) -> str | None:
    """Return what in a request may mean one thing to MLflow's check and another to what acts."""
    if request.query_string:
        return "no query here"
    if not request.is_json:
        return "the body must be JSON"
    body: Any = request.get_json(silent=True)
    if not isinstance(body, dict):
        return "the body must be a JSON object"
    # A field may also be spelt runId, which the check does not read.
    if any(name != name.lower() for name in body):
        return "names of fields are spelt in small letters"
    runs = {body[name] for name in ("run_id", "run_uuid") if isinstance(body.get(name), str)}
    if len(runs - {""}) > 1:
        return "run_id and run_uuid differ"
    if body.get("artifact_location"):
        return "the lab chooses where artifacts go: leave artifact_location out"
    # Else the server would fetch from any address for everybody.
    if (source := body.get("source")) and not _SOURCE.match(str(source)):
        return "source: must lie in the lab"
    if "password" in body and (weakness := find_weakness(str(body["password"]))):
        return weakness
    return None


def _is_right(name: str | None, password: str | None) -> bool:
    """Tell whether a login is right; remembers it while its stored hash stays the same."""
    from mlflow.server.auth import store

    if not name or not password or not store.has_user(name):
        return False
    stored = store.get_user(name).password_hash
    # To check a password takes a tenth of a second, on purpose; a run sends many requests.
    mark = hashlib.blake2b(f"{stored}\n{password}".encode(), key=_key).digest()
    if secrets.compare_digest(_known_logins.get(name, b""), mark):
        return True
    if not store.authenticate_user(name, password):
        return False
    if len(_known_logins) >= _KNOWN_LIMIT:
        _known_logins.clear()
    _known_logins[name] = mark
    return True
