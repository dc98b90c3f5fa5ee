"""Which passwords a shared lab takes."""

from __future__ import annotations

SHORTEST_PASSWORD = 12


def find_weakness(password: str) -> str | None:
    """Return why a password is too easy to guess, or None."""
    if len(password) < SHORTEST_PASSWORD:
        return f"the password is too short: give it at least {SHORTEST_PASSWORD} characters"
    if len(set(password)) < SHORTEST_PASSWORD // 2:
        return "the password repeats few characters: give it more different ones"
    # MLflow's own former default is known to everybody.
    if password.lower() == "password1234":
        return "the password is known to everybody: choose another"
    return None
