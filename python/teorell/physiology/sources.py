"""Where the numbers of bodies come from: the letters that constants and constraints cite."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SOURCES"]

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "A": "ICRP Publication 89 (2002), Basic anatomical and physiological data, Ann ICRP "
        "32(3-4): adult man of 73 kg and woman of 60 kg, organ masses without their blood (table "
        "2.8); regional blood volumes, cardiac output and its distribution (chapter 7)",
        "B": "Brown et al. (1997), Physiological parameter values for PBPK models, Toxicol Ind "
        "Health 13:407-484, and the US EPA Physiological Parameters Database: tissue densities "
        "(as in httk, tissue_data: MIT), the allometric exponent",
        "C": "Poulin & Theil (2002), Prediction of pharmacokinetics prior to in vivo studies 1, J "
        "Pharm Sci 91:129-156: volume fractions of water, neutral lipids and phospholipids in "
        "human tissues and plasma",
        "D": "McNally et al. (2014), PopGen: a virtual human population generator, Toxicology "
        "315:70-85: variation of organ masses and flows between people, and the masses about "
        "which they vary (as in httk, organ_mass_flow_reference_by_sex: MIT)",
        "G": "Davies & Morris (1993), Physiological parameters in laboratory animals and humans, "
        "Pharm Res 10:1093-1095: filtration rate and haematocrit of a man of 70 kg (as in httk, "
        "physiology_data: MIT)",
        "M": "Mosteller (1987), Simplified calculation of body-surface area, N Engl J Med 317:1098",
        "N": "NHANES 2013-2018 (CDC), adults, with survey weights (as in httk): 2.5 and 97.5 "
        "percentiles of body weight, height, body mass index, haematocrit, and of the CKD-EPI "
        "2009 filtration rate from serum creatinine; log sd of the body weight",
        "S": "Carlsson et al. (2012), J Cardiovasc Magn Reson 14:51: cardiac index 3.2, sd 0.5 "
        "L/min/m2",
        "W": "Willmann et al. (2007), Development of a physiology-based whole-body population "
        "model, J Pharmacokinet Pharmacodyn 34:401-431: masses of organs over body height, with "
        "these exponents",
    }
)
