"""A model of one's own in ten lines: two compartments, a thousand patients, a dose every twelve
hours.
"""

import numpy as np
import teorell as tl

model = tl.Model("two compartments")
cl, v1, q, v2 = model.parameters(cl=5.0, v1=20.0, q=3.0, v2=40.0)  # L/h, L, L/h, L
central, peripheral = model.states("central", "peripheral")  # amounts in mg
model.flow(central, None, cl / v1 * central)  # None is outside
model.flow(central, peripheral, q / v1 * central - q / v2 * peripheral)
model.output("cp", central / v1, unit="mg/L")

clearances = 5.0 * np.exp(0.3 * np.random.default_rng(1).standard_normal(1000))
regimen = tl.Regimen.bolus(100, into="central", every=12, doses=4)
solution = tl.simulate(model, {"cl": clearances}, regimen, np.linspace(0, 48, 97), outputs=["cp"])

solution.raise_for_status()
print(solution)
print("median trough before the last dose:", np.median(solution["cp"][:, 71]).round(3), "mg/L")
