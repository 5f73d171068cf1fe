"""Every figure and picture of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from teorell.learn.report import Report
from teorell.learn.transformer.calibration import calibration
from teorell.learn.transformer.figures import case, table
from teorell.learn.transformer.picture import picture
from teorell.learn.transformer.regimens import UNSEEN
from teorell.learn.transformer.scaling import (
    COMPANIONS,
    scaling,
    scaling_picture,
    told,
    with_companions,
)

if TYPE_CHECKING:
    from teorell.learn.transformer.learner import Transformer

__all__ = ["report"]


def report(learner: Transformer, network: nn.Module) -> Report:
    """Two and four samples, two with companions, and two under regimens never trained on; then how
    errors fall with samples and companions.
    """
    one = learner.configuration
    unseen = tuple(kind for kind in UNSEEN if kind not in one.kinds)
    most = min(one.patients - 1, COMPANIONS[-1])
    asked = {
        told(2): (one.kinds, 2, 0),
        told(4): (one.kinds, 4, 0),
        with_companions(most): (one.kinds, 2, most),
        f"unseen regimens, {told(2)}": (unseen, 2, 0),
    }
    cases = [case(name, learner, network, *of) for name, of in asked.items()]
    figures = tuple(one for each in cases for one in table(each))
    figures += tuple(scaling(learner, network, {each.name for each in cases}))
    title = (
        f"transformer: held-out drugs and patients, log concentrations, about {one.evaluated:,} "
        "patients a case (--people: of more; docs/learning.md has thousands)"
    )
    pictures = {
        "forecasts": lambda: picture(learner, network),
        "calibration": lambda: calibration(cases),
        "scaling": lambda: scaling_picture(figures),
    }
    return Report(title, figures, pictures)
