"""A model with every kind of event and a closed form, for tests of derivatives.

One compartment with boluses and infusions, and a substance that decays at a rate k1 until the time
2 tau - 1, k2 from then
on. The closed form takes complex numbers: its derivatives are those of the complex step (Squire and
Trapp, SIAM Rev. 40 (1998) 110-112), exact to rounding. Comparisons look at the real parts.
"""

import numpy as np
import teorell as tl

STEP = 1e-100


def model():
    m = tl.Model("closed form")
    cl, v, k1, k2, tau = m.parameters(cl=4.0, v=20.0, k1=0.1, k2=0.5, tau=2.6)
    central, other = m.states("central", "other")
    m.flow(central, None, cl / v * central)
    m.flow(other, None, tl.where(m.time < 2 * tau - 1, k1, k2) * other)
    m.output("cp", central / v)
    m.output("other", other)
    return m


def values(parameters, lines, times, patients):
    """(patients, times, 2).

    parameters: name -> value; lines: (into, doses, fields by name), complex or not.
    """
    p = {"cl": 4.0, "v": 20.0, "k1": 0.1, "k2": 0.5, "tau": 2.6} | parameters
    cl, v, k1, k2, tau = (np.asarray(p[name])[..., None] for name in ("cl", "v", "k1", "k2", "tau"))
    k, theta = cl / v, 2 * tau - 1
    theta = np.where(theta.real > 0, theta, 0.0)
    t = np.asarray(times) + 0j

    def decay(at):
        return np.where(at.real < theta.real, k1 * at, k1 * theta + k2 * (at - theta))

    cp, other = np.zeros((2, patients, t.size), complex)
    for into, doses, fields in lines:
        f = {name: np.asarray(value)[..., None] for name, value in fields.items()}
        amount, first = f["amount"], f["time"]
        for dose in range(doses):
            start = first + dose * f.get("every", 0.0)
            since = np.where(t.real >= start.real, t - start, 0.0)
            if into == "other":
                other += np.where(
                    t.real >= start.real, amount * np.exp(decay(start) - decay(t)), 0.0
                )
            elif "duration" in f or "rate" in f:
                duration = f["duration"] if "duration" in f else amount / f["rate"]
                after = np.where(since.real >= duration.real, since - duration, 0.0)
                cp += amount / (duration * k * v) * (np.exp(-k * after) - np.exp(-k * since))
            else:
                cp += np.where(t.real >= start.real, amount / v * np.exp(-k * since), 0.0)
    return np.stack([cp, other], -1)


def regimen(lines):
    """The tl.Regimen of the same lines."""
    result = tl.Regimen.none()
    for into, doses, fields in lines:
        make = tl.Regimen.infusion if "duration" in fields or "rate" in fields else tl.Regimen.bolus
        result += make(into=into, doses=doses, **fields)
    return result


def derivative(entry, parameters, lines, times, patients):
    """d values / d an Input, (patients, times, 2); by an array that of each patient by the
    patient's own element.
    """
    parameters, lines = (
        dict(parameters),
        [(into, doses, dict(fields)) for into, doses, fields in lines],
    )
    place = parameters if entry.kind == "parameter" else lines[entry.line][2]
    place[entry.name] = np.asarray(place[entry.name]) + 1j * STEP
    return values(parameters, lines, times, patients).imag / STEP
