"""Every kind of dose, drawn: the pictures of docs/dosing.md.

Run it in the folder where the pictures should go.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import teorell as tl
from teorell import Regimen

model = tl.Model("one compartment with a depot")
cl, v, ka = model.parameters(cl=4.0, v=20.0, ka=0.9)
lag, f, d, r = model.parameters(lag=0.0, f=1.0, d=5.0, r=12.0)
depot, central = model.states("depot", "central")
model.flow(depot, central, ka * depot)
model.flow(central, None, cl / v * central)
model.output("cp", central / v, unit="mg/L")
model.dosing(depot, lag=lag, bioavailability=f)
model.dosing(central, lag=lag, bioavailability=f, duration=d, rate=r)

times = np.linspace(0.0, 48.0, 481)
repeated = {"every": 12.0, "doses": 4}
growing = tl.stepwise([0.0, 16.0, 32.0], [4.0, 8.0, 2.0])
kinds = {
    "bolus": [("100 mg into central", {}, Regimen.bolus(100, into=central, **repeated))],
    "oral": [("100 mg into the depot", {}, Regimen.bolus(100, into=depot, **repeated))],
    "infusion": [
        ("over 5 h", {}, Regimen.infusion(100, into=central, duration=5, **repeated)),
        (
            "over 18 h, overlapping",
            {},
            Regimen.infusion(100, into=central, duration=18, **repeated),
        ),
    ],
    "lag": [
        ("no lag", {}, Regimen.bolus(100, into=depot, **repeated)),
        ("lag 3 h", {"lag": 3.0}, Regimen.bolus(100, into=depot, **repeated)),
    ],
    "bioavailability": [
        (
            "rate given: shorter",
            {"f": 0.5},
            Regimen.infusion(100, into=central, rate=20, **repeated),
        ),
        (
            "duration given: slower",
            {"f": 0.5},
            Regimen.infusion(100, into=central, duration=5, **repeated),
        ),
    ],
    "modelled": [
        ("duration 5 h", {}, Regimen.infusion(100, into=central, duration="modelled", **repeated)),
        (
            "duration 9 h",
            {"d": 9.0},
            Regimen.infusion(100, into=central, duration="modelled", **repeated),
        ),
    ],
    "steady_state": [
        ("from the first dose", {}, Regimen.bolus(100, into=depot, every=6, doses=8)),
        (
            "at steady state",
            {},
            Regimen.bolus(100, into=depot, every=6, doses=8, steady_state=True),
        ),
    ],
    "constant_infusion": [
        (
            "has run for ever, ends at 6 h",
            {},
            Regimen.infusion(0, into=central, rate=12, time=6, steady_state=True),
        ),
    ],
    "added": [
        (
            "morning dose at steady state, evening dose added",
            {},
            Regimen.bolus(100, into=depot, every=24, doses=2, steady_state=True)
            + Regimen.bolus(40, into=depot, time=12, every=24, doses=2, steady_state="add"),
        ),
    ],
    "reset": [
        (
            "reset at 20 h",
            {},
            Regimen.bolus(100, into=depot, every=6, doses=8) + Regimen.reset(time=20),
        )
    ],
    "covariate": [
        ("clearance 4, 8, 2 L/h", {"cl": growing}, Regimen.bolus(100, into=central, **repeated))
    ],
}
for name, curves in kinds.items():
    figure, axes = plt.subplots(figsize=(5.2, 2.2), layout="constrained")
    for label, parameters, regimen in curves:
        solution = tl.simulate(model, parameters, regimen, times)
        solution.raise_for_status()
        axes.plot(times, solution["cp"][0], label=label)
    axes.set(xlabel="time [h]", ylabel="cp [mg/L]", xlim=(0, 48), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(f"dosing_{name}.png", dpi=110)
    plt.close(figure)
    print(f"dosing_{name}.png")
