"""Models lowered lately are remembered by what they say, not by which object they are."""

from __future__ import annotations

import threading

import pytest
import teorell as tl
from teorell.lowering import recent as lowered
from teorell.memo import Memo


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The calls of `lower`, on an empty memory."""
    calls: list[tuple[str, ...]] = []
    real = lowered.lower

    def lower(
        model: tl.Model, outputs: tuple[str, ...], infused: tuple[str, ...], derivatives: str | None
    ) -> lowered.Programs:
        calls.append((model.name, *outputs, *infused))
        return real(model, outputs, infused, derivatives)

    monkeypatch.setattr(lowered, "lower", lower)
    monkeypatch.setattr(lowered, "_kept", Memo(lowered._kept.kept))
    return calls


def decay(name: str = "decay", rate: float = 0.1) -> tl.Model:
    model = tl.Model(name)
    (k,) = model.parameters(k=rate)
    body, gone = model.states("body", "gone")
    model.flow(body, gone, k * body)
    return model


def test_simulating_again_lowers_nothing(counted: list[tuple[str, ...]]) -> None:
    model = decay()
    first = tl.simulate(model, None, tl.Regimen.bolus(1, into="body"), [1.0])
    again = tl.simulate(
        decay(), {"k": [0.1, 0.2]}, tl.Regimen.bolus(1, into="body", time=0.5), [1.0, 2.0]
    )
    assert len(counted) == 1
    assert first["body"].shape == (1, 1)
    assert again["body"].shape == (2, 2)
    tl.simulate(model, None, tl.Regimen.infusion(1, into="body", duration=1), [1.0])
    tl.simulate(model, None, None, [1.0], outputs=["gone"])
    assert counted == [
        ("decay", "body", "gone"),
        ("decay", "body", "gone", "body"),
        ("decay", "gone"),
    ]


def test_a_changed_model_is_another_one(counted: list[tuple[str, ...]]) -> None:
    model = decay()
    before = tl.simulate(model, None, tl.Regimen.bolus(1, into="body"), [10.0])["body"]
    model.flow("body", None, 0.5 * tl.model.expression.symbol("state", "body"))
    after = tl.simulate(model, None, tl.Regimen.bolus(1, into="body"), [10.0])["body"]
    assert len(counted) == 2
    assert after[0, 0] < 0.1 * before[0, 0]


def test_the_oldest_goes_first(counted: list[tuple[str, ...]]) -> None:
    models = [decay(f"m{k}") for k in range(lowered._kept.kept + 1)]
    for model in models[: lowered._kept.kept]:
        lowered.programs_of(model, ("body",), ())
    lowered.programs_of(models[0], ("body",), ())  # now the second is the oldest
    lowered.programs_of(models[-1], ("body",), ())
    assert len(lowered._kept) == lowered._kept.kept
    del counted[:]
    lowered.programs_of(models[0], ("body",), ())
    assert not counted
    lowered.programs_of(models[1], ("body",), ())
    assert counted == [("m1", "body")]


def test_threads_get_the_same_programs() -> None:
    found: list[lowered.Programs] = []
    start = threading.Barrier(4)
    models = lowered._kept.kept + 4  # more than are remembered

    def work() -> None:
        start.wait()
        names = [f"m{k % models}" for k in range(2 * models)]
        found.extend(lowered.programs_of(decay(name), ("body",), ()) for name in names)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * models
    assert {programs.output_names for programs in found} == {("body",)}
    assert len(lowered._kept) == lowered._kept.kept


def test_a_wrong_model_is_not_remembered() -> None:
    with pytest.raises(KeyError):
        lowered.programs_of(decay(), ("nothing",), ())
    assert not len(lowered._kept)
