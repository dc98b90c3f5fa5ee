"""Read damaged copies of files; a process of its own, which a crash would end.

Run as ``python -m tests.read_mutants FIRST LAST FILE...``. Prints one JSON line a file and seed.
"""

import json
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

from raw2logit import InputError, MissingDataError, read_raw

from .mutations import decode, mutant


def outcome(path: Path, intact: np.ndarray) -> tuple[str, str]:
    """Return what reading a damaged file came to, and why.

    ``error``: a clear one; ``same``: as if intact; ``other``: the pixels that are left, right;
    ``unverified``: nothing here decodes them, but their shape is right; ``bug``: all the rest.
    """
    try:
        mosaic = read_raw(path).mosaic.numpy()
    except (InputError, MissingDataError) as error:
        message = str(error)
        clear = message.startswith(f"{path}: ") and "\n" not in message and message.isprintable()
        return ("error" if clear else "bug"), message
    except BaseException as error:
        return "bug", repr(error)
    if np.array_equal(mosaic, intact):
        return "same", ""
    try:
        expected = decode(path.read_bytes(), path.suffix)
    except NotImplementedError as error:
        return ("unverified" if mosaic.shape == error.args else "bug"), f"{mosaic.shape}"
    except Exception as error:
        return "bug", f"{mosaic.shape} was read, though {error!r}"
    return ("other" if np.array_equal(mosaic, expected) else "bug"), f"{mosaic.shape}"


def main(first: int, last: int, files: list[Path]) -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*no colour matrix", category=UserWarning)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for file in files:
        content = file.read_bytes()
        intact = read_raw(file).mosaic.numpy()
        path = file.with_name(f"mutant-{file.name}")
        for seed in range(first, last):
            path.write_bytes(mutant(content, file.suffix, seed))
            result, why = outcome(path, intact)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if after - before > 100_000:  # KiB
                result, why = "bug", f"asked for {after - before} KiB"
            before = after
            line = {"file": file.name, "seed": seed, "outcome": result, "why": why}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
