"""A dummy rule of doses, by the guide of How to add."""

from __future__ import annotations

import numpy as np
import teorell as tl
from patched_copy import Change, Steps, before

# A second factor of the amount: where bioavailability is the product, nothing else differs.
STEPS: Steps = {
    "python/teorell/model/declarations.py": [
        before("    rate: Expression | None = None\n", "    potency: Expression | None = None\n")
    ],
    "python/teorell/model/model.py": [
        Change(
            "duration: Operand | None = None,\n    ) -> None:",
            "duration: Operand | None = None,\n"
            "        potency: Operand | None = None,\n    ) -> None:",
        ),
        Change('"duration": duration}', '"duration": duration, "potency": potency}'),
    ],
    "python/teorell/model/equations.py": [
        Change("d.rate, d.duration)", "d.rate, d.duration, d.potency)")
    ],
    "python/teorell/model/description.py": [
        Change('"rate", "duration"):', '"rate", "duration", "potency"):')
    ],
    "python/teorell/schedule/rule_values.py": [
        Change(
            '1.0 if field == "bioavailability" else',
            '1.0 if field in ("bioavailability", "potency") else',
        )
    ],
    "python/teorell/schedule/introduction.py": [
        before('            "rate": self.flowing,\n', '            "potency": self.acting,\n'),
        Change(
            "for n in _names(rule.bioavailability, rule.duration)",
            "for n in _names(rule.bioavailability, rule.duration, rule.potency)",
        ),
        before(
            "            (rule.duration, here & ",
            "            (rule.potency, here),\n",
        ),
        Change(
            'inside = {"bioavailability": acting}',
            'inside = {"bioavailability": acting, "potency": acting}',
        ),
        Change(
            "amount = table.amount * rules_of(table, rules, inside, values_at)[1]"
            '["bioavailability"]',
            "both = rules_of(table, rules, inside, values_at)[1]\n"
            '    amount = table.amount * both["bioavailability"] * both["potency"]',
        ),
    ],
    "python/teorell/schedule/dosing_rules.py": [
        before(
            "    extent: Array  # (rows,) the duration or the rate",
            "    potency: Array  # (rows,)\n",
        ),
        Change(
            '"amount": amount * like(self.bioavailability, amount),\n            "time"',
            '"amount": amount * like(self.bioavailability * self.potency, amount),\n'
            '            "time"',
        ),
        Change(
            '"bioavailability": amount * like(self.table.amount, amount),',
            '"bioavailability": amount * like(self.table.amount * self.potency, amount),\n'
            '            "potency": amount * like('
            "self.table.amount * self.bioavailability, amount),",
        ),
        Change(
            "            amount * like(self.bioavailability, amount)\n"
            '            + like(self.table.amount, amount) * of_rules["bioavailability"]\n',
            "            amount * like(self.bioavailability * self.potency, amount)\n"
            "            + like(self.table.amount * self.potency, amount)"
            ' * of_rules["bioavailability"]\n'
            "            + like(self.table.amount * self.bioavailability, amount)"
            ' * of_rules["potency"]\n',
        ),
        Change(
            'amount = table.amount * values["bioavailability"]\n',
            'amount = table.amount * values["bioavailability"] * values["potency"]\n',
        ),
        before(
            '        bioavailability=values["bioavailability"],\n',
            '        potency=values["potency"],\n',
        ),
    ],
    "python/teorell/schedule/timeline.py": [
        Change(
            "doses.bioavailability, doses.extent)",
            "doses.bioavailability, doses.potency, doses.extent)",
        ),
        Change("width, bioavailability, extent = ", "width, bioavailability, potency, extent = "),
        before("        extent=extent,\n", "        potency=potency,\n"),
    ],
    "python/teorell/simulation/core_call.py": [
        Change("rule.rate, rule.duration)", "rule.rate, rule.duration, rule.potency)")
    ],
    "python/teorell/simulation/call_tangents.py": [
        Change(
            '"bioavailability", "rate", "duration")',
            '"bioavailability", "rate", "duration", "potency")',
        )
    ],
}
LEFT = {
    "python/teorell/schedule/regimen.py": "a docstring",
    "python/teorell/schedule/dose_table.py": "a docstring",
}


def use() -> None:
    """In a process that imports the changed copy."""

    def model_of(**rules):
        model = tl.Model("rules")
        ka, k, f, w = model.parameters(ka=1.2, k=0.3, f=0.8, w=0.5)
        gut, central = model.states("gut", "central")
        model.flow(gut, central, ka * gut)
        model.flow(central, None, k * central)
        model.output("c", central)
        model.dosing("gut", **{name: rule(f, w) for name, rule in rules.items()})
        return model

    ours = model_of(bioavailability=lambda f, w: f, potency=lambda f, w: w * w)
    theirs = model_of(bioavailability=lambda f, w: f * (w * w))
    assert "potency =" in ours.describe()
    assert ours.content() != theirs.content()
    times = np.linspace(0.5, 20.0, 9)
    regimen = tl.Regimen.bolus(100.0, into="gut", every=6.0, doses=3)
    regimen = regimen + tl.Regimen.infusion(50.0, into="gut", rate=10.0, time=4.0)
    changing = tl.stepwise([0.0, 5.0, 11.0], [0.5, 0.7, 0.4])
    for w in (np.array([0.5, 0.9]), changing):
        people, found = {"f": np.array([0.8, 0.6]), "w": w}, []
        for model, executor in ((ours, "machine_code"), (ours, "interpreter"), (theirs, None)):
            given = {"rtol": 1e-10, "atol": 1e-12, "executor": executor}
            solved = tl.simulate(model, people, regimen, times, **given)
            weights = np.cos(times)[None, :, None]
            _, back = tl.value_and_grad(weights, model, people, regimen, times, **given)
            along = tl.jacobian(model, people, regimen, times, wrt=["f", "w"], **given).derivatives
            for k, name in enumerate(("f", "w")):
                forwards = (weights * along[..., k]).sum()
                np.testing.assert_allclose(np.sum(back.parameters[name]), forwards, rtol=1e-8)
            found.append((solved.values, back.parameters["f"], back.parameters["w"], along))
        for a, b, c in zip(*found, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
            np.testing.assert_allclose(a, c, rtol=1e-8, atol=1e-10)
    people = {"f": 0.8, "w": 0.5}
    half = tl.simulate(ours, people, tl.Regimen.bolus(100.0, into="gut"), times)["c"]
    known = 0.8 * 0.25 * 100.0 * 1.2 / 0.9 * (np.exp(-0.3 * times) - np.exp(-1.2 * times))
    np.testing.assert_allclose(half.ravel(), known, rtol=1e-4)


if __name__ == "__main__":
    use()
