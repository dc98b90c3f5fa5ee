import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from raw2logit import Camera, InputError, MissingDataError, register_camera
from raw2logit import camera as camera_module
from raw2logit.camera import find_camera
from raw2logit.cfa import CFA_NAMES


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Camera]:
    """Return a copy of the registered cameras that the test may change."""
    presets = dict(camera_module._PRESETS)
    monkeypatch.setattr(camera_module, "_PRESETS", presets)
    return presets


def test_published_constants_of_the_microscope() -> None:
    camera = Camera.preset("microscopy")
    assert camera.name == "microscopy"
    assert camera.cfa == "RGGB"
    assert camera.bits == 16
    assert camera.black_level == (9.834368023181512e-06,) * 4
    assert camera.white_level is None
    assert camera.white_balance == (-0.6567, 1.9673, 3.5304)
    assert camera.colour_matrix == (
        (-2.0338, 0.0933, 0.4157),
        (-0.0286, 2.6464, -0.0574),
        (-0.5516, -0.0947, 2.9308),
    )


def test_published_constants_of_the_drone() -> None:
    camera = Camera.preset("drone")
    assert camera.name == "drone"
    assert camera.cfa == "RGGB"
    assert camera.bits == 12
    assert camera.black_level == (0.0625, 0.0626, 0.0625, 0.0626)
    assert camera.white_level is None
    assert camera.white_balance == (2.86653646, 1.0, 1.73079425)
    assert camera.colour_matrix == (
        (1.50768983, -0.33571374, -0.17197604),
        (-0.23048614, 1.70698738, -0.47650126),
        (-0.03119153, -0.32803956, 1.35923111),
    )
    assert camera.full_scale_electrons is not None
    assert 65535 / camera.full_scale_electrons == pytest.approx(8.448)


def test_default_camera_changes_nothing() -> None:
    camera = Camera("plain")
    assert camera.black_level == (0, 0, 0, 0)
    assert camera.white_balance == (1, 1, 1)
    assert camera.colour_matrix == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert camera.white_level is None


def test_camera_is_immutable_and_hashable() -> None:
    camera = Camera.preset("drone")
    with pytest.raises(dataclasses.FrozenInstanceError):
        camera.cfa = "BGGR"  # type: ignore[misc]
    assert len({camera, dataclasses.replace(camera), Camera.preset("microscopy")}) == 2


@pytest.mark.parametrize("name", ["microscopy", "drone"])
def test_round_trip_through_yaml_and_json(name: str) -> None:
    camera = dataclasses.replace(
        Camera.preset(name), cfa="GBRG", white_level=0.98, read_noise_electrons=2.5
    )
    plain = camera.to_dict()
    assert set(plain) == {field.name for field in dataclasses.fields(Camera)}
    for restored in (yaml.safe_load(yaml.safe_dump(plain)), json.loads(json.dumps(plain))):
        again = Camera.from_dict(restored)
        assert again == camera
        assert hash(again) == hash(camera)


def test_sequences_become_tuples_of_floats() -> None:
    camera = Camera("mine", black_level=[0, 0, 0, "0.1"], white_balance=[1, 2, 3])  # type: ignore[arg-type, list-item]
    assert camera.black_level == (0.0, 0.0, 0.0, 0.1)
    assert hash(camera) == hash(dataclasses.replace(camera))


def test_from_dict_fills_in_defaults() -> None:
    assert Camera.from_dict({"name": "plain"}) == Camera("plain")


def test_from_dict_refuses_unknown_keys() -> None:
    with pytest.raises(
        ValueError, match=r"unknown keys \['blacklevel'\]; known are .*'black_level'"
    ):
        Camera.from_dict({"name": "x", "blacklevel": [0, 0, 0, 0]})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "x", "black_level": 0.1},
        {"name": "x", "white_balance": None},
        {"name": "x", "colour_matrix": [1, 2, 3]},
        {"name": "x", "white_level": "high"},
    ],
)
def test_from_dict_refuses_wrong_shapes(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Camera.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfa": "rggb"}, "CFA 'rggb' is none of RGGB, BGGR, GRBG, GBRG"),
        ({"cfa": "RGBG"}, "CFA 'RGBG' is none of"),
        ({"cfa": "XTRANS"}, "CFA 'XTRANS' is none of"),
        ({"black_level": (0.1, 0.1, 0.1)}, "black_level needs 4 numbers, got"),
        ({"black_level": (0.1, 0.1, 0.1, math.nan)}, "black_level must be finite"),
        ({"black_level": 0.1}, "black_level holds no numbers: 0.1"),
        ({"black_level": None}, "black_level holds no numbers: None"),
        ({"white_balance": (1.0, 1.0)}, "white_balance needs 3 numbers, got"),
        ({"white_balance": (1.0, math.inf, 1.0)}, "white_balance must be finite"),
        ({"white_balance": ("a", "b", "c")}, "white_balance holds no numbers"),
        ({"colour_matrix": (1.0, 0.0, 0.0)}, "colour_matrix holds no numbers"),
        ({"colour_matrix": ((1.0, 0.0), (0.0, 1.0))}, "colour_matrix must be 3 rows of 3"),
        ({"colour_matrix": ((1.0, 0.0, 0.0),) * 4}, "colour_matrix must be 3 rows of 3"),
        ({"colour_matrix": ((1.0, 0.0, -math.inf),) * 3}, "colour_matrix must be finite"),
        ({"white_level": 0.05, "black_level": (0.05, 0.06, 0.05, 0.05)}, "white level 0.05 is not"),
        ({"colour_matrix": ((1.0, 0.0),) * 3}, "colour_matrix needs 3 numbers"),
        ({"white_level": math.nan}, "white_level must be finite"),
        ({"white_level": math.inf}, "white_level must be finite"),
        ({"bits": 0}, "bits must be from 1 to 16"),
        ({"bits": 17}, "bits must be from 1 to 16"),
        ({"full_scale_electrons": -1.0}, "full_scale_electrons must be above 0"),
        ({"read_noise_electrons": -1.0}, "read_noise_electrons must not be negative"),
    ],
)
def test_bad_values_are_refused_with_the_name_of_the_camera(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Camera(name="mine", **changes)
    assert isinstance(caught.value, InputError)
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_all_four_cfas_are_accepted(cfa: str) -> None:
    assert Camera(name="mine", cfa=cfa).cfa == cfa  # type: ignore[arg-type]


def test_unknown_camera_lists_the_registered() -> None:
    with pytest.raises(
        ValueError, match="unknown camera 'nikon': registered are drone, microscopy"
    ):
        Camera.preset("nikon")


@pytest.mark.usefixtures("registry")
def test_registered_camera_is_found_by_its_name() -> None:
    mine = Camera("mine", cfa="BGGR")
    assert register_camera(mine) is mine
    assert Camera.preset("mine") is mine
    assert register_camera(Camera("mine", cfa="BGGR")) == mine


@pytest.mark.parametrize("name", ["drone", "microscopy"])
def test_register_refuses_other_constants_under_a_name(
    name: str, registry: dict[str, Camera]
) -> None:
    before = registry[name]
    with pytest.raises(ValueError, match=f"camera '{name}' is registered already"):
        register_camera(Camera(name))
    assert Camera.preset(name) is before
    register_camera(dataclasses.replace(before))


@pytest.mark.parametrize("name", ["drone", "microscopy"])
def test_yaml_round_trip(name: str, tmp_path: Path) -> None:
    camera = Camera.preset(name)
    path = camera.to_yaml(tmp_path / "camera.yaml")
    assert Camera.from_yaml(path) == camera
    assert [file.name for file in tmp_path.iterdir()] == ["camera.yaml"]


def test_yaml_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text("name: bench\ncfa: GRBG\nblack_level: [1e-3, 0, 0, 0]\nbits: 12\n")
    expected = Camera("bench", cfa="GRBG", black_level=(1e-3, 0, 0, 0), bits=12)
    assert Camera.from_yaml(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "no YAML"),
        ("name: \udcff", "no YAML"),
        ("- drone", "holds no 'name: value' pairs"),
        ("", "holds no 'name: value' pairs"),
        ("1: 2", "holds no 'name: value' pairs"),
        ("name: 3", "name 3 is no text"),
        ("cfa: RGGB", "camera: a name is needed"),
        ("name: x\nISO: 100", r"unknown keys \['ISO'\]"),
        ("name: x\ncfa: RGBG", "camera 'x': CFA 'RGBG' is none of"),
        ("name: x\nblack_level: 0.1", "camera 'x': black_level holds no numbers"),
        ("name: x\nbits: many", "camera 'x': bits must be from 1 to 16"),
        ("!!python/object:os.system {}", "no YAML"),
    ],
)
def test_broken_yaml_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=words) as caught:
        Camera.from_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_find_camera(tmp_path: Path) -> None:
    camera = Camera("bench", bits=10)
    assert find_camera(camera) is camera
    assert find_camera("drone") == Camera.preset("drone")
    assert find_camera(str(camera.to_yaml(tmp_path / "a.YML"))) == camera
    assert find_camera(camera.to_yaml(tmp_path / "b.txt")) == camera
    with pytest.raises(MissingDataError, match=r"c\.yaml: no such camera file"):
        find_camera("c.yaml")
    with pytest.raises(InputError, match=r"unknown camera 'c': .* or name a YAML file"):
        find_camera("c")
