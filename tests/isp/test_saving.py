"""A pipeline written to a file comes back the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from raw2logit import (
    VIEWS,
    InputError,
    MissingDataError,
    Pipeline,
    Step,
    load_pipeline,
    parametrized_pipeline,
    save_pipeline,
    static_pipeline,
)
from raw2logit.isp import FAMILIES, steps
from tests.isp.data import CAMERAS, mid_grey_raw
from tests.tolerance import DTYPES

OTHER = CAMERAS["other"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", [*VIEWS, "bi,s,wa", "none", "neural"])
@torch.no_grad()
def test_round_trip(view: str, dtype: torch.dtype, tmp_path: Path) -> None:
    learned = parametrized_pipeline(OTHER, view, dtype=dtype).eval()
    for parameter in learned.parameters():
        parameter += 0.01
    path = save_pipeline(learned, tmp_path / "isp.safetensors")
    restored = load_pipeline(path).eval()
    assert type(restored) is Pipeline
    assert (restored.camera, restored.view) == (OTHER, view)
    assert not any(parameter.requires_grad for parameter in restored.parameters())
    raw = mid_grey_raw(OTHER, 32, 34).to(dtype)
    assert torch.equal(restored(raw), learned(raw))
    assert [file.name for file in tmp_path.iterdir()] == ["isp.safetensors"]


@torch.no_grad()
def test_order_names_and_settings_come_back(tmp_path: Path) -> None:
    isp = Pipeline(
        {
            "black": steps.BlackLevel(OTHER),
            "balance": steps.WhiteBalance(OTHER),
            "rgb": steps.MalvarDemosaic(OTHER.cfa),
            "soft": steps.UnsharpMask(2.5, 0.3),
            "hard": steps.SharpenFilter(torch.ones(5, 5).div(25).tolist()),
            "quiet": steps.TotalVariationDenoise(0.02, 7),
        },
        OTHER,
    )
    restored = load_pipeline(save_pipeline(isp, str(tmp_path / "isp.safetensors")))
    assert list(restored.steps) == ["black", "balance", "rgb", "soft", "hard", "quiet"]
    assert repr(restored) == repr(isp)
    assert restored.steps["soft"].support_px == 10
    assert restored.steps["hard"].reach_px == 2
    assert restored.steps["quiet"].iterations == 7
    raw = mid_grey_raw(OTHER, 12, 14).float()
    assert torch.equal(restored(raw), isp(raw))


def test_reordered_view(tmp_path: Path) -> None:
    order = ("black_level", "white_balance", "demosaic", *FAMILIES[3:])
    isp = static_pipeline(OTHER, "me,u,me", order=order)
    restored = load_pipeline(save_pipeline(isp, tmp_path / "isp.safetensors"))
    assert tuple(restored.steps) == order


def test_what_is_no_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "isp.safetensors"
    with pytest.raises(MissingDataError, match=r"isp.safetensors: no such file"):
        load_pipeline(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"isp.safetensors: cannot be read as safetensors"):
        load_pipeline(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"isp.safetensors: holds no pipeline"):
        load_pipeline(path)


def rewrite(path: Path, change: dict[str, object], *, lose: str | None = None) -> None:
    state = load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["raw2logit.pipeline"])
    if lose:
        del state[lose]
    save_file(state, path, {"raw2logit.pipeline": json.dumps({**description, **change})})


def steps_of(path: Path) -> list[dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found: list[dict[str, Any]] = json.loads(file.metadata()["raw2logit.pipeline"])["steps"]
    return found


def test_files_of_another_kind_or_version(tmp_path: Path) -> None:
    path = save_pipeline(static_pipeline(OTHER), tmp_path / "isp.safetensors")
    rewrite(path, {"format": 99})
    with pytest.raises(InputError, match=r"isp.safetensors: pipeline format 99, this version"):
        load_pipeline(path)
    rewrite(path, {"format": 1}, lose="steps.gamma.log_gamma")
    with pytest.raises(InputError, match=r"isp.safetensors: holds no pipeline.*log_gamma"):
        load_pipeline(path)
    entry = {"name": "denoise", "family": "denoise", "code": "magic", "options": {}}
    rewrite(path, {"steps": [entry]})
    with pytest.raises(
        InputError, match=r"isp.safetensors: step 'denoise' is a denoise 'magic', .*import"
    ):
        load_pipeline(path)
    rewrite(path, {"dtype": "nonsense"})
    with pytest.raises(InputError, match=r"isp.safetensors: holds no pipeline.*nonsense"):
        load_pipeline(path)
    rewrite(path, {"dtype": "float32", "camera": {"name": "x", "cfa": "XTRANS"}})
    with pytest.raises(InputError, match=r"isp.safetensors: camera 'x': CFA 'XTRANS'"):
        load_pipeline(path)


def layer(height_px: object, width_px: object, name: str = "additive_layer") -> dict[str, object]:
    options = {"height_px": height_px, "width_px": width_px}
    return {"name": name, "family": "additive_layer", "code": "add", "options": options}


@pytest.mark.parametrize(
    "options",
    [
        layer(50_000, 50_000),
        layer(10**9, 1),
        layer(1e9, 4),
        layer(-1, 4),
        layer("4", 4),
        layer(4, 4, "elsewhere"),
    ],
)
def test_an_added_layer_is_as_large_as_the_file_holds(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isp = static_pipeline(OTHER).inserted(
        "additive_layer", steps.AdditiveLayer(4, 4), before="gamma"
    )
    path = save_pipeline(isp, tmp_path / "isp.safetensors")
    assert load_pipeline(path).steps["additive_layer"].options == {"height_px": 4, "width_px": 4}
    monkeypatch.setattr(steps.AdditiveLayer, "__init__", lambda *_, **__: pytest.fail("is built"))
    entries = steps_of(path)
    rewrite(path, {"steps": [*entries[:-2], options, entries[-1]]})
    with pytest.raises(InputError, match=r"^[^\n]*isp.safetensors: holds no pipeline[^\n]*layer"):
        load_pipeline(path)


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("k", {"sigma_px": 1e5}),
        ("ga", {"sigma_px": 1e9}),
        ("ga", {"sigma_px": float("nan")}),
        ("tv", {"iterations": 10**12}),
        ("wa", {"levels": 10**9}),
        ("nl", {"search_px": 10**6}),
    ],
)
def test_steps_that_would_never_end(code: str, options: dict[str, object], tmp_path: Path) -> None:
    path = save_pipeline(static_pipeline(OTHER, f"bi,s,{code}"), tmp_path / "isp.safetensors")
    entries = steps_of(path)
    (entry,) = [entry for entry in entries if entry["family"] == "denoise"]
    entry["options"] |= options
    rewrite(path, {"steps": entries})
    (name,) = options
    with pytest.raises(InputError, match=f"'denoise': {name} is .*, the largest is 1000"):
        load_pipeline(path)


def test_descriptions_that_say_two_things(tmp_path: Path) -> None:
    path = save_pipeline(static_pipeline(OTHER), tmp_path / "isp.safetensors")
    rewrite(path, {"steps": [*steps_of(path), steps_of(path)[-1]]})
    with pytest.raises(InputError, match="two steps are called 'gamma'"):
        load_pipeline(path)
    save_pipeline(static_pipeline(OTHER), path)
    rewrite(path, {"view": {"bi": "s"}})
    with pytest.raises(InputError, match="view is no name"):
        load_pipeline(path)
    rewrite(path, {"format": "9" * 10**5})
    with pytest.raises(InputError, match=r"pipeline format '9") as caught:
        load_pipeline(path)
    assert len(str(caught.value)) < 200 + len(str(path))
    assert str(caught.value).count(str(path)) == 1


def test_a_step_without_a_code_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    class Unknown(Step):
        family = "denoise"

    isp = static_pipeline(OTHER).replaced("denoise", Unknown())
    with pytest.raises(InputError, match="Unknown is not registered"):
        save_pipeline(isp, tmp_path / "isp.safetensors")
    assert not list(tmp_path.iterdir())
