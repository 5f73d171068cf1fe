"""The numbers of a drug: units, what is possible, what is usual where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "LIVER", "OPTIONAL", "PKA", "PLASMA_PH", "RANGES", "RATIO", "RATIO_OF_ACIDS",
    "SURVEYED_CLINT_SD", "SURVEYED_KA_SD",
]  # fmt: skip

# sd of the log where people were not surveyed: of the intrinsic clearance a CV of 0.3, as Pearce et
# al. (2017), J Stat Softw 79(4), take; of the absorption rate that of theophylline
SURVEYED_CLINT_SD = 0.2936
SURVEYED_KA_SD = 0.5
PKA = (-10.0, 25.0)
PLASMA_PH = 7.4
# blood:plasma where it was not measured: medians of 44 acids ionised in plasma and 130 others that
# were (httk 2.7.4, MIT), log10 RMSE 0.15; what red cells hold by lipophilicity has 0.66
RATIO_OF_ACIDS, RATIO = 0.67, 0.86
# field -> lowest, highest, unit, hint for what lies outside
RANGES: Mapping[str, tuple[float, float, str]] = MappingProxyType(
    {
        "molar_mass": (10.0, 1e6, "g/mol"),
        "log_p": (-10.0, 15.0, "log10"),
        "fu": (1e-5, 1.0, "a fraction"),
        "blood_to_plasma": (0.3, 100.0, "a ratio"),
        "clearance": (0.0, 1e4, "L/h"),
        "fraction_renal": (0.0, 1.0, "a fraction"),
        "hepatocyte_clint": (0.0, 1e6, "uL/min/1e6 cells"),
        "microsome_clint": (0.0, 1e6, "uL/min/mg"),
        "incubation_fu": (1e-5, 1.0, "a fraction"),
        "cells_per_gram": (1.0, 1000.0, "1e6 cells/g"),
        "liver_clint": (0.0, 1e7, "L/h/kg"),
        "plasma_to_liver": (1.0, 1000.0, "a ratio"),
        "vmax": (0.0, 1e9, "mg/h/kg"),
        "km": (1e-9, 1e9, "mg/L"),
        "gfr_fraction": (0.0, 100.0, "a ratio"),
        "absorption_rate": (0.0, 1e3, "1/h"),
        "fraction_absorbed": (0.0, 1.0, "a fraction"),
        "gut_availability": (0.0, 1.0, "a fraction"),
        "clint_sd": (0.0, 3.0, "sd of a log"),
        "absorption_sd": (0.0, 3.0, "sd of a log"),
        "oral_dose": (1e-9, 1e9, "mg"),
        "iv_dose": (1e-9, 1e9, "mg"),
        "iv_duration": (1e-6, 1e4, "h"),
        "volume": (0.01, 1e5, "L/kg"),
    }
)
OPTIONAL = (
    "blood_to_plasma", "clearance", "hepatocyte_clint", "microsome_clint", "liver_clint", "vmax",
    "km", "oral_dose", "iv_dose", "volume",
)  # fmt: skip
LIVER = ("clearance", "hepatocyte_clint", "microsome_clint", "liver_clint", "vmax")
