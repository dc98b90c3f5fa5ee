"""The address that a user names: refused early where it cannot work, and shown without secrets."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from raw2logit.errors import InputError

S3_SCHEMES = ("s3", "s3a")

# The second form is a key with a slash in it, which no URL may have, and which is no port.
_CREDENTIALS = re.compile(
    r"(?<=://)(?:[^/?#@\s]*@)+|(?<=://)[^/?#@\s:\[]*:(?!\d*(?:[/?#\s]|$))[^@\s]*@"
)
_QUERY = re.compile(r"\?[^\s'\"]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_web(address: str) -> bool:
    """Tell whether an address is that of a web server."""
    return address.lower().startswith(("http://", "https://"))


def check_address(address: str) -> str:
    """Return an address as the stores take it: the path of a ``file://`` one.

    Raises:
        InputError: It names nothing, or holds what it must not.
    """
    scheme, mark, rest = address.partition("://")
    scheme = scheme.lower() if mark else ""
    shown = f"--from {without_secrets(address)}"
    if not address.strip():
        raise InputError(
            "--from: the address is empty: name one, or leave the option out for the published "
            "record"
        )
    if _CONTROL.search(address):
        raise InputError(f"--from {without_secrets(address)!r}: has a control character in it")
    if scheme in S3_SCHEMES and _CREDENTIALS.search(address):
        raise InputError(
            f"{shown}: has credentials in it: give them in the environment, as AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, and name the bucket alone"
        )
    if mark and not rest.strip("/?#") and scheme not in ("file", "memory"):
        raise InputError(f"{shown}: names no server or bucket: write {scheme}://NAME/...")
    if scheme == "file":
        path = unquote(rest.removeprefix("localhost"))
        if not path:
            raise InputError(f"{shown}: names no folder: write file:///FOLDER")
        return path
    if is_web(address):
        try:
            parts = urlsplit(address)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise InputError(f"{shown}: no address of a web server: write {scheme}://SERVER/...")
    return address


def split_query(address: str) -> tuple[str, str]:
    """Split the query of a web address off, with its question mark; others have none."""
    if not is_web(address):
        return address, ""
    base, mark, query = address.partition("#")[0].partition("?")
    return base, mark + query


def join(folder: str, name: str) -> str:
    """Return the address of a file in a folder; a query, perhaps a token, stays at the end."""
    base, query = split_query(folder)
    return f"{base.rstrip('/')}/{quote(name) if is_web(folder) else name}{query}"


def without_secrets(address: str) -> str:
    """Return an address as messages and manifests may show it: no user, password or query."""
    if "://" not in address or address.lower().startswith("file:"):
        return address
    return _CREDENTIALS.sub("", re.split(r"[?#]", address, maxsplit=1)[0])


def scrub(text: str) -> str:
    """Return what a library says of an error without the secrets of addresses in it."""
    return _QUERY.sub("", _CREDENTIALS.sub("", text))
