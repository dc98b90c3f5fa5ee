"""What tiles were cut from and how, so that no call mixes them with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raw2logit.datasets.drone import TILING
from raw2logit.datasets.tile_layouts import Layout
from raw2logit.errors import InputError
from raw2logit.files import write_text

_ELSEWHERE = "choose another place, or take these tiles away first"


class TileRecord(NamedTuple):
    """Lies beside the tiles as `TILING`.

    Attributes:
        options: How they were cut.
        masks: Digests of the frames' masks, by name.
        frames: Digests of the raw files, by intensity and name.
    """

    options: dict[str, Any]
    masks: dict[str, str]
    frames: dict[str, str]


def claim_tiles(layout: Layout, options: dict[str, Any]) -> TileRecord:
    """Return the record of what earlier calls with the same options wrote; none: an empty one.

    Raises:
        InputError: Something else stands where the tiles would, or other options made them.
    """
    path = layout.folder / TILING
    if not path.is_file():
        if occupants := layout.occupied():
            raise InputError(
                f"{occupants[0]}: not made by `raw2logit data tile`, which overwrites nothing: "
                f"{_ELSEWHERE}, or cut the frames into another folder (--frames, --masks, --out)"
            )
        return TileRecord(options, {}, {})
    record = _read(path)
    for key in options | record.options:
        made, asked = (each.get(key, "none") for each in (record.options, options))
        if made != asked:
            what = key if isinstance(made, dict) or isinstance(asked, dict) else f"{key} {made}"
            raise InputError(
                f"{layout.folder}: its tiles were cut with another {what}: {_ELSEWHERE}"
            )
    return record


def write_record(
    layout: Layout, made: TileRecord, masks: Mapping[str, str], frames: Mapping[str, str]
) -> None:
    """Write the record, or refuse other files than before; further raw files may join.

    Args:
        layout: Of the tiles.
        made: From `claim_tiles`.
        masks: As in `TileRecord`, now.
        frames: As in `TileRecord`, now.

    Raises:
        InputError: A file has changed, or the masks are not the same ones.
    """
    changed = [name for name, digest in made.frames.items() if frames.get(name) != digest]
    if made.masks:
        changed += sorted({name for name, _ in made.masks.items() ^ masks.items()})
    if changed:
        raise InputError(
            f"{layout.folder}: its tiles were cut from other files ({changed[0]} changed, came or "
            f"went): {_ELSEWHERE}"
        )
    joined = dict(sorted({**made.frames, **frames}.items()))
    record = TileRecord(made.options, dict(masks), joined)
    write_text(layout.folder / TILING, json.dumps(record._asdict(), indent=2) + "\n")


def _read(path: Path) -> TileRecord:
    try:
        record = TileRecord(**json.loads(path.read_text(encoding="utf-8")))
        digests = {**record.masks, **record.frames}
        if not isinstance(record.options, dict) or not all(
            isinstance(digest, str) for digest in digests.values()
        ):
            raise TypeError("no record of tiles")
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: broken ({error}): {_ELSEWHERE}") from error
    return record
