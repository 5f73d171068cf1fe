"""The pictures of docs/events.md: a threshold with its derivative, and hysteresis.

Run it in the folder where the pictures should go.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import teorell as tl

times = np.linspace(0.0, 24.0, 961)  # h

model = tl.Model("induction")
k, threshold, faster = model.parameters(k=0.1, threshold=5.0, faster=4.0)
x = model.state("x")
model.flow(x, None, k * tl.where(x > threshold, faster, 1.0) * x)
model.output("x", x)
regimen = tl.Regimen.bolus(8.0, into="x", every=6.0, doses=3)
solution = tl.simulate(model, None, regimen, times)
solution.raise_for_status()
slope = tl.jacobian(model, {"threshold": 5.0}, regimen, times, wrt=["threshold"])

figure, (curve, derivative) = plt.subplots(2, 1, figsize=(7, 5), sharex=True)
curve.plot(times, solution["x"][0])
curve.axhline(5.0, color="grey", linewidth=0.8, linestyle="--")
curve.set_ylabel("amount")
derivative.plot(times, slope.derivatives[0, :, 0, 0])
derivative.set_ylabel("d amount / d threshold")
derivative.set_xlabel("time, h")
figure.tight_layout()
figure.savefig("events_threshold.png", dpi=100)

model = tl.Model("thermostat")
k, heat, low, high = model.parameters(k=0.5, heat=5.0, low=1.0, high=2.0)
x = model.state("x", 3.0)
on = model.level("on")
model.rate(x, heat * on - k * x)
model.event(when=x < low, then={on: 1.0})
model.event(when=x > high, then={on: 0.0})
model.output("x", x)
model.output("on", on)
solution = tl.simulate(model, None, None, times[:401])
solution.raise_for_status()

figure, (curve, level) = plt.subplots(
    2, 1, figsize=(7, 4), sharex=True, gridspec_kw={"height_ratios": [3, 1]}
)
curve.plot(times[:401], solution["x"][0])
for value in (1.0, 2.0):
    curve.axhline(value, color="grey", linewidth=0.8, linestyle="--")
curve.set_ylabel("x")
level.step(times[:401], solution["on"][0], where="post")
level.set_ylabel("on")
level.set_xlabel("time, h")
figure.tight_layout()
figure.savefig("events_hysteresis.png", dpi=100)
