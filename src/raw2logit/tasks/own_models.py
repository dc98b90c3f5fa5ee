"""Task models of the user's own: ``module:Class`` or ``path/to/file.py:Class``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from raw2logit.errors import InputError, MissingDataError


def load_factory(name: str) -> Callable[..., Any]:
    """Import the class or function that makes the model from ``n_outputs=``.

    Args:
        name: ``module:Class``, installed or in the working folder, or ``path/to/file.py:Class``.

    Raises:
        MissingDataError: There is no such file.
        InputError: The import fails, or gives nothing of that name.
    """
    place, _, attribute = name.rpartition(":")
    module = _import(name, place)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        made = [n for n, value in vars(module).items() if inspect.isclass(value) and n[0] != "_"]
        raise InputError(
            f"--model {name}: {place} has no class or function {attribute!r}"
            + (f"; it has {' '.join(made[:8])}" if made else "")
        )
    return cast(Callable[..., Any], factory)


def source_files(name: str) -> list[Path]:
    """Return the file that is named, and the one that defines the class if that is another."""
    factory = load_factory(name)
    module = _import(name, name.rpartition(":")[0])
    files = {module.__file__}
    try:
        files.add(inspect.getsourcefile(factory))
    except TypeError:  # an instance with __call__, or written in C
        files.add(inspect.getsourcefile(type(factory)))
    return sorted(Path(file).resolve() for file in files if file)


def _import(name: str, place: str) -> ModuleType:
    path = Path(place)
    if path.suffix == ".py" and not path.is_file():
        raise MissingDataError(f"--model {name}: {place}: no such file")
    try:
        if path.suffix == ".py":
            return _import_file(path.resolve())
        _find_beside(Path.cwd())
        return importlib.import_module(place)
    except InputError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise InputError(f"--model {name}: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    # A name of its own, that changes with the file: a long session sees what was edited.
    digest = hashlib.sha256(bytes(path) + path.read_bytes()).hexdigest()[:8]
    name = f"{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is no Python file")
    module = module_from_spec(spec)
    # Registered before it runs, as the import statement does: data classes look themselves up.
    sys.modules[name] = module
    _find_beside(path.parent)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _find_beside(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
