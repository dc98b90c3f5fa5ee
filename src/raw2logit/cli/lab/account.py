"""``raw2logit lab account``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def account(
    name: str,
    /,
    *,
    admin: bool | None = None,
    delete: Annotated[bool, Parameter(negative="")] = False,
    tracking_uri: str | None = None,
) -> None:
    """Make an account of a shared lab, or change its password.

    The account's password comes from RAW2LOGIT_LAB_PASSWORD, else it is asked for. Who makes it is
    the administrator that MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD name; others may
    change their own password.

    Args:
        name: Of the account.
        admin: Make it an administrator's, who may do everything, or no longer; the password of an
            account that is there stays.
        delete: Delete it; its runs stay.
        tracking_uri: Address of the lab; default $MLFLOW_TRACKING_URI.
    """
    import os

    from raw2logit.errors import InputError
    from raw2logit.lab.accounts import (
        delete_account,
        has_account,
        set_account,
        set_administrator,
    )
    from raw2logit.lab.administrator import choose_password
    from raw2logit.lab.tracking import tracking_uri as find_lab

    address = find_lab(tracking_uri)
    if delete:
        if admin is not None:
            raise InputError("--delete: leave --admin and --no-admin out")
        delete_account(address, name)
        print(f"deleted {name}")
        return
    there = has_account(address, name)
    if not there or admin is None:
        password = choose_password(os.environ, "RAW2LOGIT_LAB_PASSWORD", f"the account {name}")
        set_account(address, name, password)
        print(f"changed the password of {name}" if there else f"made the account {name}")
    if admin is not None:
        set_administrator(address, name, admin)
        print(f"{name} is {'an administrator' if admin else 'no administrator'}")
