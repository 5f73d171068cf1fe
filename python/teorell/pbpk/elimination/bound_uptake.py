"""What hepatocytes take up of drug that is bound in plasma.

Poulin, Kenny, Hop & Haddad (2012), J Pharm Sci 101:838-851: the protein that binds a drug is
thinner in the liver than in plasma, and gives there what it carries, so that more is unbound to
hepatocytes than in plasma: R fu / (1 + (R - 1) fu), with the plasma:liver ratio R of the protein.
"""

from __future__ import annotations

from teorell.pbpk.partition.values import Value
from teorell.physiology.tissue_composition import Composition

__all__ = ["albumin_in_plasma_to_liver", "unbound_in_liver"]


def unbound_in_liver(fu: Value, ratio: Value) -> Value:
    """The fraction unbound that the intrinsic clearance of hepatocytes acts on.

    ratio: of the binding protein, plasma over liver; 1 is the fraction unbound in plasma, fu.
    """
    return ratio * fu / (1 + (ratio - 1) * fu)


def albumin_in_plasma_to_liver(composition: Composition) -> float:
    """The ratio of albumin: 11.6 by Rodgers & Rowland (2006), J Pharm Sci 95:1238-1257, whose
    tissues the composition has (Poulin et al. take 13.3).
    """
    return 1.0 / float(composition.organ("rodgers_rowland", "liver")["albumin_ratio"])
