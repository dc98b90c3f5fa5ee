"""The option ``--import``: code of the user's own, run before the verb."""

from __future__ import annotations

import hashlib
import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from raw2logit.errors import InputError, MissingDataError
from raw2logit.parallel import prepare_workers

_OPTION = "--import"


def take_imports(words: list[str]) -> tuple[list[str], list[str]]:
    """Split ``--import NAME`` and ``--import=NAME`` off a command line.

    Returns:
        The names, and the other words in their order.

    Raises:
        InputError: An ``--import`` names nothing.
    """
    names: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, name = word.partition("=")
        if option != _OPTION:
            others.append(word)
            continue
        if not equals:
            name = next(rest, "")
        if not name:
            raise InputError(f"{_OPTION}: name a Python file or module")
        names.append(name)
    return names, others


def import_plugin(name: str) -> None:
    """Import a Python file, or a module that is installed or lies in the working folder.

    Raises:
        MissingDataError: There is no such file.
        InputError: The import fails.
    """
    path = Path(name)
    if path.suffix == ".py" and not path.is_file():
        raise MissingDataError(f"{_OPTION} {name}: no such file")
    try:
        if path.suffix == ".py":
            _import_file(path)
        else:
            sys.path.append(str(Path.cwd()))
            importlib.import_module(name)
    except InputError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise InputError(f"{_OPTION} {name}: {type(error).__name__}: {error}") from error
    prepare_workers(import_plugin, str(path.resolve()) if path.suffix == ".py" else name)


def _import_file(path: Path) -> None:
    whole = path.resolve()
    # A name of its own, that no installed module and no other file of that stem has.
    name = f"{path.stem}_{hashlib.sha256(bytes(whole)).hexdigest()[:8]}"
    spec = spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise InputError(f"{_OPTION} {path}: is no Python file")
    module = module_from_spec(spec)
    # Registered before it runs, as the import statement does: data classes look themselves up.
    sys.modules[name] = module
    sys.path.append(str(whole.parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
