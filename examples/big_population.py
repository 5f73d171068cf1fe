"""2,000 virtual adults and midazolam, drawn 500 at a time and written to midazolam.zarr: never all
of them in memory.

Call it again after an interruption, and it goes on where it stopped.
"""

import numpy as np
import teorell as tl
from teorell.pbpk import MIDAZOLAM, virtual_adults, whole_body

CHUNK = 500


def adults(start, stop):
    """The patients start to stop - 1.

    The seed is the number of the chunk, so they are the same each time.
    """
    return virtual_adults(stop - start, seed=start // CHUNK, drug=MIDAZOLAM)


regimen = tl.Regimen.infusion(5.0, into="venous", duration=2 / 60)  # 5 mg in 2 min
times = np.linspace(0.0, 12.0, 121)  # h
stored = tl.simulate_to(
    "midazolam.zarr",
    whole_body(MIDAZOLAM),
    adults,
    regimen,
    times,
    ["cp"],
    patients=2000,
    chunk=CHUNK,
)
stored.raise_for_status()
print(stored)

curves = stored.open()  # an xarray Dataset, which reads what is asked of it
at_six_hours = curves["cp"].sel(time=6.0).to_numpy()  # mg/L
low, median, high = np.percentile(at_six_hours, [5, 50, 95])
print(f"concentration after 6 h: {median:.2e} mg/L, 5 to 95 %: {low:.2e} to {high:.2e}")
print(
    "clearance of the patient with the lowest: "
    f"{float(curves['clint'][at_six_hours.argmin()]):.1f} L/h/kg of liver"
)
