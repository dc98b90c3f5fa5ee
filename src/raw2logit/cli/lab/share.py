"""``raw2logit lab share``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def share(
    experiment: str,
    /,
    *names: str,
    remove: Annotated[bool, Parameter(negative="")] = False,
    tracking_uri: str | None = None,
) -> None:
    """Let others write into an experiment of a shared lab.

    They may add runs and log into all of them, and add versions to the models that its runs have
    registered until now. They delete nothing. For the owner of the experiment, whom
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD name, and for administrators.

    Args:
        experiment: Its name or its id.
        names: Accounts.
        remove: Take that back.
        tracking_uri: Address of the lab; default $MLFLOW_TRACKING_URI.
    """
    from raw2logit.errors import InputError
    from raw2logit.lab.accounts import share as share_with
    from raw2logit.lab.tracking import tracking_uri as find_lab

    if not names:
        raise InputError(f"{experiment}: name the accounts to share it with")
    shared = share_with(find_lab(tracking_uri), experiment, names, remove=remove)
    what = f"{shared.experiment!r} and {len(shared.models)} of its models"
    people = ", ".join(names)
    print(f"{people}: no longer write into {what}" if remove else f"{people}: write into {what}")
    if shared.left_out:
        print(f"left out, their owners have to share them: {', '.join(shared.left_out)}")
