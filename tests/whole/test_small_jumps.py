"""Small jumps of rates, such as those of PK-Sim's fill levels (4.5e-5 in each of twelve segments of
the gut): passed at their tolerance, also where both sides lead back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl

FULL, K, JUMP = 0.9, 2.0, 4.5e-5


def gut(segments: int) -> tl.Model:
    """Water moves on, more slowly by a little into a segment that is full."""
    model = tl.Model("gut")
    q, k, full, jump, fade = model.parameters(q=1.8, k=K, full=FULL, jump=JUMP, fade=0.0)
    source = model.state("source", 1.0)
    model.rate(source, -fade * source)
    water = [model.state(f"w{number}") for number in range(segments)]
    gone = model.state("gone")
    into = [tl.where(each < full, 1.0, 1.0 - jump) for each in water]
    model.flow(None, water[0], q * source * into[0])
    for each, following, open_to in zip(water, water[1:], into[1:], strict=False):
        model.flow(each, following, k * each * open_to)
    model.flow(water[-1], gone, k * water[-1])
    model.output("w", water[0])
    model.output("last", water[-1])
    model.output("gone", gone)
    return model


BALANCE = FULL * K * (1.0 + 0.4 * JUMP)  # more than goes out below `full`, less above
TIMES = np.array([2.0, 7.0, 12.0, 24.0])


def held(q: float, k: float, full: float) -> np.ndarray:
    """w0 and what is gone of one segment that stays at `full` once it is there, (times, 2)."""
    at = -np.log(1.0 - full * k / q) / k
    rising = np.minimum(TIMES, at)
    water = q / k * (1.0 - np.exp(-k * rising))
    return np.stack([water, q * rising - water + np.maximum(TIMES - at, 0.0) * k * full], axis=1)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_a_small_jump_whose_both_sides_lead_back_holds(rtol: float) -> None:
    model = gut(1)
    point = {"q": BALANCE, "k": K, "full": FULL}
    options: dict[str, Any] = {"rtol": rtol, "outputs": ["w", "gone"]}
    solution = tl.simulate(model, point, None, TIMES, **options)
    assert solution.status[0] == 0
    assert solution.steps[0] < 3000
    exact = held(**point)
    np.testing.assert_allclose(solution.values[0], exact, rtol=4.0 * rtol)
    if rtol > JUMP:
        return  # the jump is below the tolerance, and so is all that it changes
    tangents = tl.jacobian(model, point, None, TIMES, wrt=list(point), **options).derivatives[0]
    weights = np.random.default_rng(3).normal(size=(1, len(TIMES), 2))
    _, gradient = tl.value_and_grad(weights, model, point, None, TIMES, **options)
    for number, name in enumerate(point):
        ends = [held(**(point | {name: point[name] * (1.0 + h)})) for h in (1e-6, -1e-6)]
        slope = (ends[0] - ends[1]) / (2e-6 * point[name])
        # by the length of a step, 0.04 / k: within it, it moves as if nothing held it
        np.testing.assert_allclose(tangents[:, 0, number], slope[:, 0], atol=0.02)
        np.testing.assert_allclose(tangents[:, 1, number], slope[:, 1], rtol=6e-3)
        np.testing.assert_allclose(
            gradient.parameters[name], (weights[0] * tangents[..., number]).sum(), rtol=1e-10
        )


def test_twelve_segments_at_once() -> None:
    """All of them fill up to the same level, and stay there."""
    model = gut(12)
    solution = tl.simulate(model, {"q": BALANCE}, None, [24.0, 36.0], threads=1)
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["w"][0], FULL, rtol=4e-6)
    whole = tl.simulate(model, {"q": [1.0, BALANCE, 2.1]}, None, [24.0, 36.0])
    assert whole.values[1].tobytes() == solution.values[0].tobytes()
    interpreted = tl.simulate(model, {"q": BALANCE}, None, [24.0, 36.0], executor="interpreter")
    assert interpreted.values.tobytes() == solution.values.tobytes()


def test_a_level_that_falls_slowly_through_a_small_jump() -> None:
    """For a while both sides lead back; what that changes is below the tolerance."""
    model = gut(3)
    point = {"q": 1.9, "k": K, "full": FULL, "fade": 0.01}
    wrt = list(point)
    found = {
        rtol: tl.jacobian(model, point, None, TIMES, wrt=wrt, rtol=rtol, outputs=["w", "gone"])
        for rtol in (1e-6, 1e-8)
    }
    assert all(each.status[0] == 0 for each in found.values())
    assert found[1e-6].steps[0] < 100
    whole = np.array(list(point.values()))
    np.testing.assert_allclose(
        found[1e-6].derivatives * whole, found[1e-8].derivatives * whole, rtol=1e-5, atol=3e-5
    )


def test_a_large_jump_is_refused_by_name() -> None:
    model = gut(1)
    for jump in (0.5, 0.01):
        point = {"q": FULL * K * (1.0 + 0.4 * jump), "jump": jump}
        solution = tl.simulate(model, point, None, TIMES)
        assert solution.status[0] == 8
        assert solution.steps[0] < 1200
        with pytest.raises(tl.SimulationError, match="condition w0 < full"):
            solution.raise_for_status()


def test_a_jump_whose_effect_takes_a_way_round() -> None:
    """The product of two amounts is held: the second follows the first, and for a long time."""
    model = tl.Model("product")
    q = model.parameter("q", 1.0 + 2.5e-5)
    x, y = model.state("x", 0.1), model.state("y", 0.1)
    model.flow(None, x, q * tl.where(x * y < 0.5, 1.0, 1.0 - 5e-5))
    model.flow(x, y, x)
    model.flow(y, None, 2.0 * y)
    model.output("product", x * y)
    solution = tl.simulate(model, None, None, [40.0, 100.0, 900.0], rtol=1e-5)
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["product"][0], 0.5, rtol=1e-4)


def test_an_area_of_an_output_that_jumps_there_too() -> None:
    """What is asked for does not change what is small."""
    model = gut(1)
    w = tl.Model("asked")
    q = w.parameter("q", BALANCE)
    x = w.state("x")
    w.flow(None, x, q * tl.where(x < FULL, 1.0, 1.0 - JUMP))
    w.flow(x, None, K * x)
    w.output("w", x)
    w.output("low", tl.where(x < FULL, x, 0.0))
    reductions = [tl.AUC("low", end=1.0)]
    solution = tl.simulate(w, None, None, [1.0, 24.0], reductions=reductions)
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["w"][0, 1], FULL, rtol=4e-6)
    gone = tl.simulate(model, {"q": BALANCE}, None, [1.0])["gone"][0, 0]
    np.testing.assert_allclose(solution.reductions["auc_low"][0] * K, gone, rtol=1e-5)


def test_a_start_at_the_level() -> None:
    model = tl.Model("full from the start")
    q, jump = model.parameters(q=BALANCE, jump=JUMP)
    w = model.state("w", FULL)
    model.flow(None, w, q * tl.where(w < FULL, 1.0, 1.0 - jump))
    model.flow(w, None, K * w)
    model.output("w", w)
    solution = tl.simulate(model, {"jump": [JUMP, 0.5]}, None, [1.0, 9.0])
    assert solution.status.tolist() == [0, 8]
    np.testing.assert_allclose(solution["w"][0], FULL, rtol=4e-6)
