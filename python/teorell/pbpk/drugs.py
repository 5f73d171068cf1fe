"""Two drugs with published parameters.

No number was adjusted to a concentration curve that the tests compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from teorell.errors import InputError
from teorell.physiology.reference_adults import (
    CARDIAC_OUTPUT,
    METABOLIC_WEIGHT,
    REFERENCE,
    hepatic_flow,
)

SURVEYED_KA_SD = 0.5  # sd of log ka; see THEOPHYLLINE.sources["absorption_sd"]


@dataclass(frozen=True)
class Drug:
    """What the whole-body model has to know of a drug, each number with its source in `sources`."""

    name: str
    molar_mass: float  # g/mol
    log_p: float  # log10 of the octanol:water partition coefficient of the neutral form
    pka: float  # of the ionisation that matters near pH 7.4
    ionisation: Literal["acid", "base"]
    fu: float  # fraction unbound in plasma
    blood_to_plasma: float  # concentration ratio
    clearance: float  # L/h of plasma after an intravenous dose, adult
    fraction_renal: float  # of the clearance
    absorption_rate: float  # 1/h, from the intestinal lumen
    # of an oral dose that enters the gut wall; the remainder leaves with the faeces
    fraction_absorbed: float
    gut_availability: float  # of that, what escapes metabolism in the gut wall
    clint_sd: float  # sd of the log of the intrinsic clearance between people
    absorption_sd: float  # sd of the log of the absorption rate between people
    oral_dose: float  # mg, what the command line gives unless told
    iv_dose: float  # mg
    iv_duration: float  # h
    # published Vss, L/kg, to which partition coefficients are scaled; None: as predicted
    volume: float | None
    sources: Mapping[str, str]

    @property
    def clint(self) -> float:
        """Unbound intrinsic clearance, L/h per kg of liver, from the published clearance in the
        reference man.
        """
        hepatic = self._intrinsic(
            self.clearance * (1.0 - self.fraction_renal), hepatic_flow(), "liver"
        )
        return hepatic / self.fu / REFERENCE["liver"].mass.man

    @property
    def renal_clearance(self) -> float:
        """Clearance of the plasma that leaves the kidney, L/h/kg^0.75: the published one plus 1 %
        or so.
        """
        flow = CARDIAC_OUTPUT.man * REFERENCE["kidney"].flow.man
        return (
            self._intrinsic(self.clearance * self.fraction_renal, flow, "kidney") / METABOLIC_WEIGHT
        )

    def _intrinsic(self, clearance: float, flow: float, organ: str) -> float:
        """Intrinsic plasma clearance of a well-stirred organ, L/h, from its clearance of plasma and
        blood flow, L/h.

        Rowland, Benet & Graham (1973), J Pharmacokinet Biopharm 1:123-136: CL = Q CLint / (Q +
        CLint), all in blood.
        """
        blood = clearance / self.blood_to_plasma
        if blood >= flow:
            raise InputError(
                f"{self.name}: a clearance of {blood:g} L/h of blood is not below the {organ}'s "
                f"blood flow, {flow:g} L/h (a well-stirred organ cannot reach it). Check clearance "
                "and blood_to_plasma."
            )
        return flow * blood / (flow - blood) * self.blood_to_plasma


_KE = "Ke et al. (2013), Drug Metab Dispos 41:801-813, table 1 (theophylline, before pregnancy)"
_HTTK = "httk 2.7.4 (MIT), chem_physical_and_invitro"

THEOPHYLLINE = Drug(
    name="theophylline",
    molar_mass=180.2,
    log_p=-0.02,
    pka=8.8,
    ionisation="acid",
    fu=0.58,
    blood_to_plasma=0.815,
    clearance=3.0,
    fraction_renal=0.15,
    absorption_rate=1.98,
    fraction_absorbed=0.97,
    gut_availability=1.0,
    clint_sd=0.31,
    absorption_sd=SURVEYED_KA_SD,
    oral_dose=320.0,
    iv_dose=320.0,
    iv_duration=0.5,
    volume=None,
    sources=MappingProxyType(
        {
            "molar_mass, log_p, pka, blood_to_plasma": _KE,
            "fu": f"{_KE}; reported values 0.56-0.60",
            "clearance": f"{_KE}: 3.0 (sd 0.7) L/h intravenous, non-smokers, 26 studies. Obach et "
            f"al. (2008), Drug "
            "Metab Dispos 36:1385-1405, lists 0.86 mL/min/kg (3.8 L/h at 73 kg)",
            "fraction_renal": f"{_KE}: 13-18 % excreted unchanged (Tang-Liu et al. 1982; St-Pierre "
            f"et al. 1985)",
            "absorption_rate, fraction_absorbed": f"{_KE}: immediate release, predicted from a "
            f"Caco-2 permeability of "
            "25e-6 cm/s. Measured, tablets: 0.57-2.17 1/h in six patients and complete absorption",
            "gut_availability": f"{_KE}: 1",
            "volume": "predicted (0.49 L/kg); Obach et al. (2008) list 0.51",
            "clint_sd": "Thummel & Shen, appendix II of Goodman & Gilman's The Pharmacological "
            "Basis of Therapeutics "
            "(10th ed., 2001): clearance 0.65 (sd 0.20) mL/min/kg, a CV of 31 %",
            "absorption_sd": "the range 0.57-2.17 1/h of six patients ('Bioavailability and "
            "pharmacokinetics in man of "
            "orally administered theophylline', Nuelin tablets) is 2.53 expected sd of the log "
            "(Tippett 1925)",
        }
    ),
)

MIDAZOLAM = Drug(
    name="midazolam",
    molar_mass=325.8,
    log_p=3.1,
    pka=6.0,
    ionisation="base",
    fu=0.031,
    blood_to_plasma=0.55,
    clearance=24.7,
    fraction_renal=0.0,
    absorption_rate=3.0,
    fraction_absorbed=0.9,
    gut_availability=0.55,
    clint_sd=0.49,
    absorption_sd=SURVEYED_KA_SD,
    oral_dose=7.5,
    iv_dose=5.0,
    iv_duration=2.0 / 60.0,
    volume=1.1,
    sources=MappingProxyType(
        {
            "molar_mass": _HTTK,
            "log_p, pka": "Rodgers & Rowland (2006), J Pharm Sci 95:1238-1257: 3.1 and 6.0",
            "fu": "Gertz et al. (2010), Drug Metab Dispos 38:1147-1158: 0.031",
            "blood_to_plasma": "Uchimura et al. (2010), Biopharm Drug Dispos 31:286-297, as in "
            "httk: 0.55. Allonen "
            "et al. (1981), Clin Pharmacol Ther 30:653-661: 283 and 502 mL/min of plasma and "
            "blood, 0.56",
            "clearance": "Howgate et al. (2006), Xenobiotica 36:473-497, as in httk: 24.7 L/h, 90 "
            "% from 14.1 to 43.1, "
            "seven intravenous studies, 105 people",
            "fraction_renal": "Allonen et al. (1981): below 0.5 % unchanged in urine; taken as "
            "none",
            "absorption_rate": "Allonen et al. (1981): absorption half-life 0.23 h after tablets, "
            "3.0 1/h",
            "fraction_absorbed, gut_availability": "Varma et al. (2010), J Med Chem 53:1098-1108, "
            "as in httk: 0.9 "
            "and 0.55. Thummel et al. (1996), Clin Pharmacol Ther 59:491-502: gut wall extraction "
            "0.43",
            "volume": "1.1 L/kg: Pecking et al. (2002), Br J Clin Pharmacol 54:357-362 (sd 0.2, 18 "
            "men), and Thummel "
            "& Shen as for theophylline (sd 0.6). Composition alone predicts 1.8",
            "clint_sd": "Howgate et al. (2006): oral clearance 68.9 L/h, 90 % from 30.6 to 155, "
            "log sd 0.49; oral "
            "clearance follows the intrinsic one",
            "absorption_sd": "as for theophylline",
        }
    ),
)

DRUGS: Mapping[str, Drug] = MappingProxyType(
    {drug.name: drug for drug in (THEOPHYLLINE, MIDAZOLAM)}
)
