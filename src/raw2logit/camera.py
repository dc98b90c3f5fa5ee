"""What a pipeline needs to know of a camera, and the presets of the published cameras."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import write_text

FULL_SCALE_DN = 65535
"""Digital number of full scale in the 16-bit files that hold all mosaics."""

Triple = tuple[float, float, float]
IDENTITY_MATRIX: tuple[Triple, Triple, Triple] = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
)


@dataclass(frozen=True)
class Camera:
    """Constants of a Bayer camera.

    Levels are fractions of full scale (digital number / (2^bits - 1) of the file), the light is
    linear, and the colour filter array (CFA) is named by its top-left 2x2 read row by row.

    Attributes:
        name: What messages and reports call it.
        cfa: ``RGGB``, ``BGGR``, ``GRBG`` or ``GBRG``.
        black_level: One value a CFA site, in the order of `cfa`.
        white_balance: Gains of red, green and blue.
        colour_matrix: Rows of the 3x3 matrix from white-balanced camera RGB to linear sRGB.
        white_level: Value of a saturated pixel; None: no rescaling (as both published cameras).
        bits: Bits of the analogue-digital converter. Files hold them left-justified in 16.
        full_scale_electrons: Electrons that fill the full scale; None: unknown. The inverse of
            the gain: a gain of g DN(16 bit)/e- is 65535 / g electrons.
        read_noise_electrons: Standard deviation of the read noise; None: unknown.
    """

    name: str
    cfa: CFA = "RGGB"
    black_level: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    white_balance: Triple = (1.0, 1.0, 1.0)
    colour_matrix: tuple[Triple, Triple, Triple] = IDENTITY_MATRIX
    white_level: float | None = None
    bits: int = 16
    full_scale_electrons: float | None = None
    read_noise_electrons: float | None = None

    def __post_init__(self) -> None:
        """Turn sequences into tuples of floats, and refuse constants that no pipeline could use."""
        if self.cfa not in CFA_NAMES:
            raise self._error(f"CFA {self.cfa!r} is none of {', '.join(CFA_NAMES)}")
        for field, length in (("black_level", 4), ("white_balance", 3)):
            self._set(field, self._numbers(field, getattr(self, field), length))
        try:
            rows = tuple(self.colour_matrix)
        except TypeError:
            rows = ()
        if len(rows) != 3:
            raise self._error(f"colour_matrix must be 3 rows of 3, got {self.colour_matrix!r}")
        self._set("colour_matrix", tuple(self._numbers("colour_matrix", row, 3) for row in rows))
        for field in ("white_level", "full_scale_electrons", "read_noise_electrons"):
            if (value := getattr(self, field)) is not None:
                self._set(field, self._numbers(field, (value,), 1)[0])
        if self.white_level is not None and self.white_level <= max(self.black_level):
            raise self._error(
                f"white level {self.white_level} is not above the black level {self.black_level}"
            )
        if self.full_scale_electrons is not None and self.full_scale_electrons <= 0:
            raise self._error(
                f"full_scale_electrons must be above 0, got {self.full_scale_electrons}"
            )
        if self.read_noise_electrons is not None and self.read_noise_electrons < 0:
            raise self._error(
                f"read_noise_electrons must not be negative, got {self.read_noise_electrons}"
            )
        if self.bits not in range(1, 17):
            raise self._error(f"bits must be from 1 to 16, got {self.bits}")

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)  # the way round `frozen` that dataclasses know

    def _numbers(self, field: str, values: object, length: int) -> tuple[float, ...]:
        try:
            if isinstance(values, str):
                raise TypeError
            numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            raise self._error(f"{field} holds no numbers: {values!r}") from None
        if len(numbers) != length:
            raise self._error(f"{field} needs {length} numbers, got {values!r}")
        if not all(map(math.isfinite, numbers)):
            raise self._error(f"{field} must be finite, got {values!r}")
        return numbers

    def _error(self, message: str) -> InputError:
        return InputError(f"camera {self.name!r}: {message}")

    @staticmethod
    def preset(name: str) -> Camera:
        """Return a registered camera.

        Args:
            name: ``microscopy``, ``drone`` or a name given to `register_camera`.

        Raises:
            InputError: No camera has that name.
        """
        try:
            return _PRESETS[name]
        except KeyError:
            raise InputError(
                f"unknown camera {name!r}: registered are {', '.join(sorted(_PRESETS))}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, fit for YAML and JSON; `from_dict` reads them."""
        plain = dataclasses.asdict(self)
        plain["black_level"] = list(self.black_level)
        plain["white_balance"] = list(self.white_balance)
        plain["colour_matrix"] = [list(row) for row in self.colour_matrix]
        return plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Camera:
        """Build a camera from what `to_dict` returned.

        Raises:
            InputError: A key is unknown or a value has the wrong shape.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"camera: unknown keys {unknown}; known are {sorted(known)}")
        if "name" not in values:
            raise InputError("camera: a name is needed")
        return cls(**values)

    def to_yaml(self, path: str | Path) -> Path:
        """Write the constants as YAML, complete or not at all; `from_yaml` reads them."""
        import yaml

        return write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Camera:
        """Read a camera from a YAML file with the attributes above as keys; `name` is needed.

        Raises:
            MissingDataError: There is no such file.
            InputError: It is no YAML, a key is unknown, or a value has the wrong shape.
        """
        import yaml

        path = Path(path)
        if not path.is_file():
            raise MissingDataError(f"{path}: no such camera file: check the name")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: no YAML ({reason}): mend it") from error
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise InputError(f"{path}: holds no 'name: value' pairs: see Camera.to_yaml")
        if not isinstance(values.get("name", ""), str):
            raise InputError(f"{path}: name {values['name']!r} is no text: put it in quotes")
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def find_camera(given: Camera | str | Path) -> Camera:
    """Return a camera that is given as such, by a preset's name, or as a YAML file.

    Args:
        given: A text that ends in ``.yaml`` or ``.yml``, and every `Path`, is a file.

    Raises:
        MissingDataError: There is no such file.
        InputError: No preset has that name, or the file is broken.
    """
    if isinstance(given, Camera):
        return given
    if isinstance(given, Path) or given.lower().endswith((".yaml", ".yml")):
        return Camera.from_yaml(given)
    try:
        return Camera.preset(given)
    except InputError as error:
        raise InputError(f"{error}; or name a YAML file") from None


def register_camera(camera: Camera) -> Camera:
    """Make `camera` known to `Camera.preset` and the command line under its name.

    Raises:
        InputError: Another camera has that name already.
    """
    if _PRESETS.get(camera.name, camera) != camera:
        raise InputError(f"camera {camera.name!r} is registered already with other constants")
    _PRESETS[camera.name] = camera
    return camera


# Both published cameras: Oala, Aversa et al., TMLR 2023. They state no white level.
_PRESETS: dict[str, Camera] = {
    camera.name: camera
    for camera in (
        Camera(
            name="microscopy",
            cfa="RGGB",
            black_level=(9.834368023181512e-06,) * 4,
            white_balance=(-0.6567, 1.9673, 3.5304),
            colour_matrix=(
                (-2.0338, 0.0933, 0.4157),
                (-0.0286, 2.6464, -0.0574),
                (-0.5516, -0.0947, 2.9308),
            ),
            bits=16,
        ),
        Camera(
            name="drone",
            cfa="RGGB",
            black_level=(0.0625, 0.0626, 0.0625, 0.0626),
            white_balance=(2.86653646, 1.0, 1.73079425),
            colour_matrix=(
                (1.50768983, -0.33571374, -0.17197604),
                (-0.23048614, 1.70698738, -0.47650126),
                (-0.03119153, -0.32803956, 1.35923111),
            ),
            bits=12,
            full_scale_electrons=FULL_SCALE_DN / 8.448,
        ),
    )
}
