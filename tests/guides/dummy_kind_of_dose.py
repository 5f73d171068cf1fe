"""A dummy kind of dose, by the guide of How to add."""

from __future__ import annotations

import numpy as np
import teorell as tl
from patched_copy import Change, Steps, before
from teorell.schedule.timeline import RANK

# An amount moves from the first state of the model into another. Its number is the next one.
RANKS = RANK.tolist()
STEPS: Steps = {
    "cpp/include/teorell/events.hpp": [
        before("    bolus = 0,", f"    transfer = {len(RANKS)},\n"),
        before(
            "            case bolus:",
            "            case transfer: lane(at.yn, l) -= value; [[fallthrough]];\n",
        ),
    ],
    "cpp/include/teorell/tape_walk.hpp": [
        before(
            "        case bolus:",
            "        case transfer: lane(at.yn, l) -= value; [[fallthrough]];\n",
        )
    ],
    "cpp/include/teorell/reverse_events.hpp": [
        before(
            "        if (kind == bolus || kind == given)",
            "        if (kind == transfer) value = lane(at.lam + target, l) - lane(at.lam, l);\n",
        )
    ],
    "cpp/include/teorell/forward_events.hpp": [
        before(
            "            if (kind == bolus || kind == given)",
            "            if (kind == transfer)\n"
            "                ydot(carried, d, target)[l] += value,\n"
            "                    ydot(carried, d, 0)[l] -= value;\n",
        )
    ],
    "cpp/bindings/batch_views.hpp": [
        Change("to_initial + 1, at.n_params, at.n}", "to_initial + 1, at.n_params, at.n, at.n}"),
        Change("std::int64_t{given} + 1", "std::int64_t{transfer} + 1"),
    ],
    "python/teorell/schedule/dose.py": [
        before("NOT_STEADY, REPLACE, ADD = range(3)", f"TRANSFER = {len(RANKS)}\n"),
        Change("self.kind not in (BOLUS, RESET)", "self.kind not in (BOLUS, RESET, TRANSFER)"),
        before(
            "        words = [_show(self.amount)",
            "        if self.kind == TRANSFER:\n"
            "            numbers = f'{_show(self.amount)}, into={self.into!r}'\n"
            "            return f'Regimen.transfer({numbers}, time={_show(self.time)})'\n",
        ),
    ],
    "python/teorell/schedule/regimen.py": [
        Change("    MODELLED_RATE,\n    Dose,", "    MODELLED_RATE,\n    TRANSFER,\n    Dose,"),
        before(
            "    @staticmethod\n    @eager\n    def reset(",
            "    @staticmethod\n    @eager\n    def transfer(amount, into, time=0.0):\n"
            "        return Regimen((line_of(amount, into, time, None, None, kind=TRANSFER),))\n\n",
        ),
    ],
    "python/teorell/schedule/timeline_rows.py": [
        before("# Roles, what a row comes from", f"TRANSFER = {len(RANKS)}\n"),
        Change(
            "target = (to_states if kind == BOLUS else to_infused)[into[source]]",
            "target = (to_states if kind in (BOLUS, TRANSFER) else to_infused)[into[source]]",
        ),
        before(
            "    boluses = np.flatnonzero(short & given & coming)\n",
            "    moved = (table.kind == TRANSFER)[entry]\n"
            "    transfers = np.flatnonzero(short & given & coming & moved)\n",
        ),
        before(
            "    return [piece(boluses, BOLUS,",
            "    amounts = doses.amount[entry]\n"
            "    found.append(piece(transfers, TRANSFER, DOSE, start, amounts, implied))\n",
        ),
        Change("(short & given & coming)\n", "(short & given & coming & ~moved)\n"),
    ],
    "python/teorell/schedule/timeline.py": [
        Change(f"np.array({RANKS})", f"np.array({[*RANKS, len(RANKS)]})")
    ],
    "python/teorell/schedule/timeline_derivatives.py": [
        Change("(table.kind != BOLUS) &", "~np.isin(table.kind, (BOLUS, TRANSFER)) &"),
        Change("import BOLUS\n", "import BOLUS, TRANSFER\n"),
    ],
    "python/teorell/simulation/core_call.py": [
        Change("(table.kind != RESET)]", "(table.kind != RESET) & (table.kind != TRANSFER)]"),
        Change("import BOLUS, NOT_STEADY, RESET\n", "import BOLUS, NOT_STEADY, RESET, TRANSFER\n"),
    ],
}
LEFT = {
    "python/teorell/engine/batch.py": "a docstring",
    "python/teorell/schedule/dose_table.py": "amount, time and state stand in columns already",
    "python/teorell/schedule/given_doses.py": "it goes into a state, as all but resets",
    "python/teorell/schedule/arrival_rows.py": "it comes in as every row of its role does",
    "python/teorell/schedule/event_table.py": "NONMEM has none",
    "python/teorell/schedule/event_doses.py": "NONMEM has none",
    "python/teorell/simulation/inputs.py": "amount and time vary, as of all lines but a reset",
    "python/teorell/results/gradient.py": "no other numbers than a bolus has",
}


def use() -> None:
    """In a process that imports the changed copy."""
    model = tl.Model("two pools")
    p, q = model.parameters(p=0.5, q=0.2)
    a, b = model.states("a", "b")
    model.flow(a, None, p * a)
    model.flow(b, None, q * b)
    model.output("a", a)
    model.output("b", b)
    times, people = np.array([1.0, 2.5, 6.0]), {"p": np.array([0.5, 0.6]), "q": 0.2}
    moved, late = np.array([30.0, 20.0]), 2.0
    regimen = tl.Regimen.bolus(100.0, into="a") + tl.Regimen.transfer(moved, into="b", time=late)
    assert repr(regimen).endswith("Regimen.transfer(<2 values, 20 to 30>, into='b', time=2)")

    def closed(p, q, amount, at):
        since, after = times - at, times > 2.0
        in_a = 100.0 * np.exp(-p * times) - after * amount * np.exp(-p * since)
        return np.stack([in_a, after * amount * np.exp(-q * since)], axis=-1)

    def everyone(p=0.0, q=0.0, amount=0.0, at=0.0):
        return np.array(
            [closed(people["p"][i] + p, 0.2 + q, moved[i] + amount, late + at) for i in (0, 1)]
        )

    h, weights = 1e-30, np.array([[[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]]])
    slopes = {name: everyone(**{name: 1j * h}).imag / h for name in ("p", "q", "amount", "at")}
    values = []
    for executor in ("machine_code", "interpreter"):
        given = {"rtol": 1e-10, "atol": 1e-12, "executor": executor}
        values.append(tl.simulate(model, people, regimen, times, **given).values)
        np.testing.assert_allclose(values[-1], everyone(), rtol=1e-7, atol=1e-9)
        _, back = tl.value_and_grad(weights, model, people, regimen, times, **given)
        line = back.doses[1]
        for name, found in (("p", back.parameters["p"]), ("amount", line.amount)):
            np.testing.assert_allclose(found, (weights * slopes[name]).sum(axis=(1, 2)), rtol=1e-6)
        np.testing.assert_allclose(line.time, (weights * slopes["at"]).sum(), rtol=1e-6)
        np.testing.assert_allclose(back.parameters["q"], (weights * slopes["q"]).sum(), rtol=1e-6)
        wrt = ["p", "q", (1, "amount"), (1, "time")]
        forth = tl.jacobian(model, people, regimen, times, wrt=wrt, **given).derivatives
        for k, name in enumerate(("p", "q", "amount", "at")):
            np.testing.assert_allclose(forth[..., k], slopes[name], rtol=1e-6, atol=1e-8)
    assert values[0].tobytes() == values[1].tobytes()


if __name__ == "__main__":
    use()
