import gc
import weakref
from collections.abc import Sequence

import pytest
import torch

from raw2logit import InputError, parametrized_pipeline, static_pipeline
from raw2logit.isp import FAMILIES, VIEWS, Pipeline, parse_views, steps
from tests.isp.data import CAMERAS, mid_grey_raw, random_mosaic
from tests.tolerance import assert_near

DRONE = CAMERAS["drone"]
WHITE_BALANCE_FIRST = ("black_level", "white_balance", "demosaic", *FAMILIES[3:])


def test_the_twelve_views_in_their_order() -> None:
    assert VIEWS == (
        "bi,s,me", "bi,s,ga", "bi,u,me", "bi,u,ga",
        "ma,s,me", "ma,s,ga", "ma,u,me", "ma,u,ga",
        "me,s,me", "me,s,ga", "me,u,me", "me,u,ga",
    )  # fmt: skip


def test_default_view_and_order() -> None:
    isp = static_pipeline(DRONE)
    assert isp.view == "bi,s,ga"
    assert isp.camera is DRONE
    assert tuple(isp.steps) == FAMILIES
    assert FAMILIES == (
        "black_level", "demosaic", "white_balance", "colour_matrix", "sharpen", "denoise", "gamma",
    )  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_view_code_picks_the_steps(view: str) -> None:
    kinds = {
        "bi": steps.BilinearDemosaic,
        "ma": steps.MalvarDemosaic,
        "me": steps.MenonDemosaic,
        "s": steps.SharpenFilter,
        "u": steps.UnsharpMask,
    }
    demosaic, sharpen, denoise = view.split(",")
    isp = static_pipeline(DRONE, view)
    assert type(isp.steps["demosaic"]) is kinds[demosaic]
    assert type(isp.steps["sharpen"]) is kinds[sharpen]
    denoisers = {"me": steps.MedianDenoise, "ga": steps.GaussianDenoise}
    assert type(isp.steps["denoise"]) is denoisers[denoise]


class TestCapture:
    def test_gives_every_stage_in_order(self) -> None:
        isp = static_pipeline(DRONE, order=WHITE_BALANCE_FIRST)
        raw = mid_grey_raw(DRONE, 4, 6, batch=2).float()
        with isp.capture() as stages:
            view = isp(raw)
        assert tuple(stages) == WHITE_BALANCE_FIRST
        shapes = [tuple(stage.shape) for stage in stages.values()]
        assert shapes == [(2, 4, 6)] * 2 + [(2, 3, 4, 6)] * 5
        assert torch.equal(stages["gamma"], view)
        assert torch.equal(stages["demosaic"], isp.steps["demosaic"](stages["white_balance"]))

    def test_does_not_change_the_view(self) -> None:
        isp = static_pipeline(DRONE, "me,u,me")
        raw = mid_grey_raw(DRONE, 8, 8).float()
        with isp.capture():
            captured = isp(raw)
        assert_near(captured, isp(raw))

    @pytest.mark.parametrize("view", ["bi,s,ga", "ma,u,ga", "me,s,me"])
    def test_keeps_gradients(self, view: str) -> None:
        isp = parametrized_pipeline(DRONE, view, dtype=torch.float64)
        with isp.capture() as stages:
            isp(mid_grey_raw(DRONE, 4, 6)).sum().backward()
        gradients = [stage.grad for stage in stages.values()]
        assert all(gradient is not None for gradient in gradients)
        assert torch.equal(stages["gamma"].grad, torch.ones(1, 3, 4, 6, dtype=torch.float64))
        # The chain rule by hand, one step before the end.
        before = stages["denoise"].detach().requires_grad_()
        isp.steps["gamma"](before).sum().backward()
        assert before.grad is not None
        assert_near(stages["denoise"].grad, before.grad)

    def test_of_a_static_pipeline_keeps_gradients_when_the_raw_asks(self) -> None:
        isp = static_pipeline(DRONE)
        raw = mid_grey_raw(DRONE, 4, 6).float()
        with isp.capture() as stages:
            isp(raw)
        assert not any(stage.requires_grad for stage in stages.values())
        with isp.capture() as stages:
            isp(raw.requires_grad_()).sum().backward()
        assert all(stage.grad is not None for stage in stages.values())

    def test_keeps_the_last_call(self) -> None:
        isp = static_pipeline(DRONE)
        first, second = mid_grey_raw(DRONE, 4, 6, batch=2).float().split(1)
        with isp.capture() as stages:
            isp(first)
            view = isp(second)
        assert torch.equal(stages["gamma"], view)
        assert tuple(stages) == FAMILIES

    def test_keeps_nothing_after_the_context(self) -> None:
        isp = static_pipeline(DRONE)
        raw = mid_grey_raw(DRONE, 4, 6).float()
        with isp.capture() as stages:
            isp(raw)
        kept = dict(stages)
        isp(raw)
        assert all(stages[name] is kept[name] for name in FAMILIES)
        stage = weakref.ref(stages["demosaic"])
        del stages, kept
        gc.collect()
        assert stage() is None

    def test_ends_when_the_body_fails(self) -> None:
        isp = static_pipeline(DRONE)
        with pytest.raises(InputError), isp.capture() as stages:
            isp(torch.zeros(3, 3))
        isp(mid_grey_raw(DRONE, 4, 6).float())
        assert stages == {}


class TestOrder:
    def test_bilinear_commutes_with_white_balance(self) -> None:
        raw = torch.from_numpy(random_mosaic(12, 14))[None]
        for view in VIEWS[:4]:
            default = static_pipeline(CAMERAS["other"], view, dtype=torch.float64)
            assert_near(default.reordered(WHITE_BALANCE_FIRST)(raw), default(raw))

    @pytest.mark.parametrize("view", VIEWS[4:])
    def test_malvar_and_menon_do_not(self, view: str) -> None:
        raw = torch.from_numpy(random_mosaic(12, 14)[None] * 0.3 + 0.03)
        default = static_pipeline(CAMERAS["other"], view, dtype=torch.float64)
        difference = default.reordered(WHITE_BALANCE_FIRST)(raw) - default(raw)
        assert difference.abs().max() > 1e-2

    def test_reordered_shares_the_steps(self) -> None:
        isp = parametrized_pipeline(DRONE, "ma,u,me")
        other = isp.reordered(WHITE_BALANCE_FIRST)
        assert tuple(other.steps) == WHITE_BALANCE_FIRST
        assert tuple(isp.steps) == FAMILIES
        assert all(other.steps[name] is isp.steps[name] for name in FAMILIES)
        assert (other.camera, other.view) == (isp.camera, isp.view)

    def test_order_argument_equals_reordered(self) -> None:
        raw = mid_grey_raw(DRONE, 6, 6).float()
        order = ("black_level", "demosaic", "denoise", "sharpen", *FAMILIES[2:4], "gamma")
        built = static_pipeline(DRONE, "ma,s,me", order=order)
        assert tuple(built.steps) == order
        expected = static_pipeline(DRONE, "ma,s,me").reordered(order)(raw)
        assert torch.equal(built(raw), expected)

    @pytest.mark.parametrize(
        "order", [(), FAMILIES[:-1], (*FAMILIES, "gamma"), (*FAMILIES[:-1], "tone_curve")]
    )
    def test_wrong_names_are_refused(self, order: Sequence[str]) -> None:
        message = "must name each of .*'black_level', .*'gamma'.* exactly once"
        with pytest.raises(InputError, match=message):
            static_pipeline(DRONE, order=order)
        with pytest.raises(ValueError, match=message):
            static_pipeline(DRONE).reordered(order)


class TestEditing:
    def test_inserted(self) -> None:
        isp = static_pipeline(DRONE)
        second = steps.MedianDenoise()
        longer = isp.inserted("median", second, before="gamma")
        assert list(longer.steps) == [*FAMILIES[:-1], "median", "gamma"]
        assert longer.steps["median"] is second
        assert longer.steps["gamma"] is isp.steps["gamma"]
        assert list(isp.steps) == list(FAMILIES)
        raw = mid_grey_raw(DRONE, 6, 8).float()
        with isp.capture() as stages:
            isp(raw)
        assert_near(longer(raw), isp.steps["gamma"](second(stages["denoise"])))

    def test_inserted_last(self) -> None:
        isp = static_pipeline(DRONE).removed("gamma").inserted("gamma", steps.Gamma(1.8))
        assert list(isp.steps) == list(FAMILIES)

    def test_what_is_no_step_or_for_another_array(self) -> None:
        isp = static_pipeline(DRONE)
        with pytest.raises(InputError, match="step 'denoise' is a Identity: derive it from Step"):
            isp.replaced("denoise", torch.nn.Identity())  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"step 'demosaic' is for BGGR mosaics, but .* RGGB"):
            isp.replaced("demosaic", steps.BilinearDemosaic("BGGR"))

    def test_removed(self) -> None:
        isp = static_pipeline(DRONE)
        raw = mid_grey_raw(DRONE, 6, 8).float()
        with isp.capture() as stages:
            isp(raw)
        shorter = isp.removed("gamma")
        assert list(shorter.steps) == list(FAMILIES[:-1])
        assert_near(shorter(raw), stages["denoise"])

    def test_replaced(self) -> None:
        isp = static_pipeline(DRONE)
        other = isp.replaced("demosaic", steps.MenonDemosaic("RGGB"))
        assert list(other.steps) == list(FAMILIES)
        assert (isp.view, other.view) == ("bi,s,ga", None)
        raw = mid_grey_raw(DRONE, 6, 8).float()
        assert_near(other(raw), static_pipeline(DRONE, "me,s,ga")(raw))

    def test_errors(self) -> None:
        isp = static_pipeline(DRONE)
        step = steps.MedianDenoise()
        with pytest.raises(InputError, match="step 'gamma' is there already: replace it"):
            isp.inserted("gamma", step, before="denoise")
        for edit in (
            lambda: isp.inserted("median", step, before="tone"),
            lambda: isp.removed("tone"),
            lambda: isp.replaced("tone", step),
        ):
            with pytest.raises(InputError, match="no step 'tone': the pipeline has black_level, "):
                edit()
        with pytest.raises(InputError, match=r"needs one|put it"):
            isp.removed("demosaic")
        with pytest.raises(InputError, match="works on an image"):
            isp.inserted("median", step, before="demosaic")


class TestBaselines:
    def test_none_only_interpolates(self) -> None:
        raw = torch.rand(2, 6, 8)
        isp = static_pipeline(DRONE, "none")
        assert list(isp.steps) == ["demosaic"]
        assert torch.equal(isp(raw), steps.BilinearDemosaic("RGGB")(raw))

    def test_neural_learns(self) -> None:
        isp = parametrized_pipeline(DRONE, "neural")
        raw = torch.rand(2, 34, 36)
        view = isp(raw)
        assert view.shape == (2, 3, 34, 36)
        view.sum().backward()
        assert list(isp.parameters_by_family()) == ["neural"]
        assert all(p.grad is not None for p in isp.parameters() if p.requires_grad)

    def test_neural_is_not_static(self) -> None:
        with pytest.raises(InputError, match="a static neural pipeline would stay random: learn"):
            static_pipeline(DRONE, "neural")

    def test_parse(self) -> None:
        assert parse_views(["none", "neural", "bi,s,wa"]) == ("none", "neural", "bi,s,wa")


class TestParameters:
    def test_freeze_and_unfreeze(self) -> None:
        isp = parametrized_pipeline(DRONE, "ma,u,ga")
        assert isp.freeze() is isp
        assert not any(parameter.requires_grad for parameter in isp.parameters())
        assert not isp(mid_grey_raw(DRONE, 4, 4).float()).requires_grad
        assert isp.unfreeze() is isp
        assert all(parameter.requires_grad for parameter in isp.parameters())
        assert isp(mid_grey_raw(DRONE, 4, 4).float()).requires_grad

    @pytest.mark.parametrize("view", VIEWS)
    def test_by_family(self, view: str) -> None:
        demosaic, sharpen, denoise = view.split(",")
        isp = parametrized_pipeline(DRONE, view)
        families = isp.parameters_by_family()
        counts = {
            "black_level": 4,
            "demosaic": {"bi": 27, "ma": 100, "me": 0}[demosaic],
            "white_balance": 3,
            "colour_matrix": 9,
            "sharpen": {"s": 9, "u": 2}[sharpen],
            "denoise": {"me": 0, "ga": 1}[denoise],
            "gamma": 1,
        }
        found = {name: sum(map(torch.numel, tensors)) for name, tensors in families.items()}
        assert found == {name: count for name, count in counts.items() if count}
        together = [id(tensor) for tensors in families.values() for tensor in tensors]
        assert sorted(together) == sorted(map(id, isp.parameters()))

    def test_by_family_joins_two_steps_of_one_family(self) -> None:
        isp = Pipeline(
            {
                "demosaic": steps.MenonDemosaic("RGGB"),
                "first": steps.UnsharpMask(),
                "second": steps.SharpenFilter(),
                "gamma": steps.Gamma(),
            },
            DRONE,
        )
        assert list(isp.parameters_by_family()) == ["sharpen", "gamma"]
        assert len(isp.parameters_by_family()["sharpen"]) == 3

    def test_learning_lowers_a_loss(self) -> None:
        raw = mid_grey_raw(DRONE, 8, 8, batch=2).float()
        isp = parametrized_pipeline(DRONE)
        target = static_pipeline(DRONE)(raw) * 0.9
        optimizer = torch.optim.Adam(isp.parameters(), lr=1e-3)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = (isp(raw) - target).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.3 * losses[0]


class TestErrors:
    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (torch.zeros(4, 4), r"must be \(B, H, W\), got \(4, 4\)"),
            (torch.zeros(1, 3, 4, 4), r"must be \(B, H, W\), got \(1, 3, 4, 4\)"),
            (
                torch.zeros(1, 4, 4, dtype=torch.int32),
                r"floating point.*got torch.int32: divide by 2\^bits - 1",
            ),
            (
                torch.zeros(1, 4, 4, dtype=torch.uint16),
                r"floating point.*got torch.uint16: divide by 2\^bits - 1",
            ),
            (torch.zeros(1, 5, 4), "even height and width, got 5 x 4: crop the last row or column"),
            (torch.zeros(1, 4, 3), "even height and width, got 4 x 3: crop the last row or column"),
            (torch.zeros(1, 0, 4), "even height and width, got 0 x 4"),
        ],
    )
    def test_raw_that_is_no_mosaic(self, raw: torch.Tensor, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            static_pipeline(DRONE)(raw)
        assert isinstance(caught.value, InputError)

    @pytest.mark.parametrize("view", ["", "bi", "bi,s", "bi,s,xx", "s,bi,ga", "BI,S,GA", "all"])
    def test_unknown_view(self, view: str) -> None:
        with pytest.raises(
            ValueError, match=f"unknown view '{view}': choose from bi,s,me .*me,u,ga"
        ):
            static_pipeline(DRONE, view)
        with pytest.raises(InputError, match="choose from"):
            parametrized_pipeline(DRONE, view)

    def test_no_steps(self) -> None:
        with pytest.raises(ValueError, match="no step among"):
            Pipeline({}, DRONE)

    def test_a_step_where_it_cannot_work(self) -> None:
        order = ["demosaic", "black_level", *steps.FAMILIES[2:]]
        with pytest.raises(ValueError, match=r"'black_level' works on a mosaic.*put it before"):
            static_pipeline(DRONE, order=order)
        order = [
            "black_level",
            "colour_matrix",
            "demosaic",
            *steps.FAMILIES[2:3],
            *steps.FAMILIES[4:],
        ]
        with pytest.raises(ValueError, match=r"'colour_matrix' works on an image.*put it after"):
            static_pipeline(DRONE, order=order)

    def test_dtype_of_raw_and_pipeline_differ(self) -> None:
        with pytest.raises(ValueError, match=r"raw is torch.float64, but .* raw.float\(\)"):
            static_pipeline(DRONE)(torch.rand(1, 4, 4, dtype=torch.float64))

    def test_inner_capture_leaves_the_outer_one_going(self) -> None:
        isp = static_pipeline(DRONE)
        raw = torch.rand(1, 4, 4)
        with isp.capture() as outer:
            with isp.capture() as inner:
                isp(raw)
            assert not outer
            isp(raw)
        assert list(outer) == list(inner) == list(steps.FAMILIES)


class TestParseViews:
    def test_all_stands_for_the_twelve(self) -> None:
        assert parse_views(["all"]) == VIEWS

    def test_each_once_in_the_order_given(self) -> None:
        assert parse_views(["me,u,me", "bi,s,ga", "me,u,me"]) == ("me,u,me", "bi,s,ga")
        assert parse_views(["me,u,ga", "all"]) == ("me,u,ga", *VIEWS[:-1])

    def test_errors_list_the_choice(self) -> None:
        with pytest.raises(ValueError, match=r"no view given: choose from bi,s,me .*or all"):
            parse_views([])
        with pytest.raises(ValueError, match="unknown view 'xx': choose from bi,s,me"):
            parse_views(["bi,s,ga", "xx"])
