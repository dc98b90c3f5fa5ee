"""Options from a YAML file: ``--config FILE``, or of a run that is resumed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab.record import CONFIG_FILE

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import ArgumentCollection

RESOLVED = "resolved"
"""The part of a run's file that tells what came of the options, and is none itself."""


def read_options(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Take what a command line leaves open from the file that it names; for cyclopts.

    Raises:
        MissingDataError: There is no such file.
        InputError: It is no YAML of options.
    """
    from cyclopts.config import Dict

    if (path := _file(arguments)) is None:
        return
    options = {key: value for key, value in _load(path).items() if value is not None}
    options.pop(RESOLVED, None)
    if nested := [key for key, value in options.items() if isinstance(value, dict)]:
        raise InputError(f"--config {path}: {nested[0]} is no plain value: do not nest options")
    if "config" in options:
        raise InputError(f"--config {path}: names another file of options: put all into one")
    # Under the verb's name: at the top, cyclopts takes what is called like a verb, as --data is,
    # for that verb's options, and leaves it out.
    for command in reversed(commands):
        options = {command: options}
    Dict(options, source=str(path))(app, commands, arguments)


def _file(arguments: ArgumentCollection) -> Path | None:
    given = {
        argument.name: [token.value for token in argument.tokens]
        for argument in arguments
        if argument.tokens
    }
    if named := given.get("--config"):
        return Path(named[-1])
    if "--resume" in given and (out := given.get("--out")):
        return _of_run(Path(out[-1]))
    return None


def _of_run(run: Path) -> Path:
    path = run / CONFIG_FILE
    if not path.is_file():
        raise MissingDataError(f"--resume: {path}: not there: {run} holds no run to resume")
    return path


def _load(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise MissingDataError(f"--config {path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--config {path}: no YAML ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"--config {path}: expected lines of `option: value`")
    return content


def require_same(run: Path, config: dict[str, Any]) -> None:
    """Raise `InputError` unless a run was started with just these options.

    Args:
        run: Folder of the run that is to be resumed.
        config: The options now.
    """
    path = _of_run(run)
    old = _load(path)
    for key in _in_order(old, config):
        if old.get(key) != config.get(key):
            option = key.replace("_", "-")
            raise InputError(
                f"--resume: {path} says {option} {old.get(key)}, not {config.get(key)}: leave the "
                "option out, or name another --out"
            )


def _in_order(*mappings: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
