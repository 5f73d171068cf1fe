"""Compounds of the OSP model library: numbers by hand, mistakes, and the shared entries."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teorell as tl
from folders import DATA
from teorell import pbpk
from teorell.io.osp import read_compound, read_entries
from teorell.pbpk.elimination.filtration import GLOMERULAR_FILTRATION
from teorell.physiology.reference_adults import BODY_WEIGHT, REFERENCE, hepatic_flow

LIVER = 2.38  # L
ENTRY: dict[str, Any] = {
    "repo": "Made-Up-Model",
    "compound": "Madeup",
    "logP": [
        {"name": "a", "default": False, "Lipophilicity": [9.0, "Log Units"]},
        {"name": "b", "default": True, "Lipophilicity": [1.5, "Log Units"]},
    ],
    "fu": [{"name": "x", "default": True, "Fraction unbound (plasma, reference value)": [20, "%"]}],
    "Pint": [
        {
            "name": "y",
            "default": True,
            "Specific intestinal permeability (transcellular)": [1e-5, "dm/min"],
        }
    ],
    "pKa": [["Base", 9.0], ["Acid", 4.0]],
    "params": {"Molecular weight": [300.0, "g/mol"]},
    "processes": [],
}


def process(kind: str, molecule: str | None = None, source: str = "lab", **params: object) -> dict:
    return {
        "type": kind, "source": source, "molecule": molecule, "metabolite": None, "species": None,
        "params": {name.replace("_", " "): value for name, value in params.items()},
    }  # fmt: skip


def liver_of(*processes: dict, **options: Any) -> float:
    """Unbound intrinsic clearance of the whole liver, L/h."""
    drug = read_compound(ENTRY | {"processes": list(processes)}, **options)
    assert drug.liver_clint is not None
    return drug.liver_clint * REFERENCE["liver"].mass.man


def test_chemistry() -> None:
    drug = read_compound(ENTRY)
    assert (drug.name, drug.log_p, drug.fu) == ("madeup", 1.5, 0.2)
    assert (drug.acids, drug.bases) == ((4.0,), (9.0,))
    # 1e-4 cm/min over 30 m2, into 240 mL
    assert drug.absorption_rate == pytest.approx(1e-4 * 60 * 30e4 / 240)
    assert read_compound(ENTRY, alternatives={"logP": "a"}).log_p == 9.0
    assert drug.partition is None
    kind = "Cellular partition coefficient method - "
    methods = ["Cellular permeability - PK-Sim Standard", kind + "Schmitt"]
    assert read_compound(ENTRY | {"methods": methods}).partition == "schmitt"
    with pytest.raises(tl.InputError, match="Did you mean 'Schmitt'"):
        read_compound(ENTRY | {"methods": [kind + "Schmidt"]})
    # red cells: 0.6643 water, 0.00501 lipids, 0.3307 protein
    p = 10**1.5
    cells = 0.6643 + 0.00501 * p + 0.3307 * 5 * (0.81 + 0.11 * p) / 24.92
    assert drug.blood_to_plasma == pytest.approx(0.56 + 0.44 * 0.2 * cells)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # Vmax / Km of microsomes over 40 mg a mL, whatever the content
        (
            process(
                "MetabolizationLiverMicrosomes_MM", "CYP2C9", Km=[5.0, "µmol/l"],
                In_vitro_Vmax_for_liver_microsomes=[100.0, "pmol/min/mg mic. protein"],
            ),
            100.0 * 0.04 / 5.0 * 60 * LIVER,
        ),
        # kcat / Km times 108 pmol/mg of CYP3A4
        (
            process(
                "rCYP450_MM", "CYP3A4", Km=[2000.0, "nmol/l"], kcat=[3.0, "1/min"],
            ),
            3.0 / 2.0 * 4.32 * 60 * LIVER,
        ),
        # per mole of an enzyme of 1 umol/L
        (
            process(
                "MetabolizationSpecific_FirstOrder", "UGT1A9",
                **{"CLspec/[Enzyme]": [0.25, "l/µmol/min"]},
            ),
            0.25 * 60 * LIVER,
        ),
        (
            process(
                "MetabolizationIntrinsic_FirstOrder", "CYP3A4", Intrinsic_clearance=[0.5, "l/min"]
            ),
            0.5 * 60 / 0.667 * 4.32,
        ),
        (
            process(
                "MetabolizationSpecific_MM", "Other", Vmax=[6.0, "µmol/l/min"],
                Km=[3.0, "µmol/l"], Enzyme_concentration=[2.0, "µmol/l"],
            ),
            1.0 * 60 * LIVER,
        ),
        (process("LiverClearance", Specific_clearance=[0.1, "1/min"]), 0.1 * 60 * LIVER),
    ],
)  # fmt: skip
def test_metabolism(row: dict, expected: float) -> None:
    assert liver_of(row) == pytest.approx(expected, rel=1e-9)


def test_plasma_clearances() -> None:
    """The model clears what the process says: hepatic by inversion, renal through filtration."""
    rows = [
        process(
            "LiverClearance", Plasma_clearance=[2.0, "ml/min/kg"],
            **{"Fraction unbound (experiment)": [0.2, None]},
        ),
        process("KidneyClearance", Plasma_clearance=[0.5, "ml/min/kg"]),
    ]  # fmt: skip
    drug = read_compound(ENTRY | {"processes": rows})
    filtered = drug.gfr_fraction * 0.2 * GLOMERULAR_FILTRATION
    assert filtered == pytest.approx(0.5 * 0.06 * BODY_WEIGHT.man)
    ratio = drug.ratio
    blood = drug.clint * 0.2 * REFERENCE["liver"].mass.man / ratio
    hepatic = hepatic_flow() * blood / (hepatic_flow() + blood) * ratio
    assert hepatic == pytest.approx(2.0 * 0.06 * BODY_WEIGHT.man)


def test_several_sources_of_one_enzyme() -> None:
    """Those with a kcat, or else the first; or those that are named."""
    slow, fast, other = (
        process("rCYP450_MM", "CYP2C8", source, Km=[1.0, "µmol/l"], **numbers)
        for source, numbers in (
            ("slow", {"In vitro Vmax/recombinant enzyme": [1.0, "pmol/min/pmol rec. enzyme"]}),
            ("fast", {"kcat": [4.0, "1/min"]}),
            ("other", {"In vitro Vmax/recombinant enzyme": [9.0, "pmol/min/pmol rec. enzyme"]}),
        )
    )
    one = 64 * 0.04 * 60 * LIVER
    assert liver_of(slow, fast, other) == pytest.approx(4 * one)
    assert liver_of(slow, other) == pytest.approx(one)
    assert liver_of(slow, fast, other, processes=["CYP2C8-other"]) == pytest.approx(9 * one)
    with pytest.raises(tl.InputError, match="Did you mean 'CYP2C8-fast'"):
        liver_of(slow, fast, processes=["CYP2C8-fist"])


def test_what_is_not_used_is_said() -> None:
    rows = [process("CompetitiveInhibition", "CYP3A4", Ki=[1.0, "µmol/l"])]
    with pytest.warns(tl.InputWarning, match="CompetitiveInhibition CYP3A4-lab not used"):
        read_compound(ENTRY | {"processes": rows})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compound": ""}, "entry has the compound ''"),
        ({"logP": []}, "Madeup has no logP"),
        ({"logP": "high"}, "Madeup, logP is 'high'"),
        ({"logP": [{"name": "a", "default": True}]}, "Madeup, logP has no 'Lipophilicity'"),
        (
            {"logP": [{"default": True, "Lipophilicity": [float("nan"), None]}]},
            "Madeup, logP is nan",
        ),
        ({"logP": [{"default": True, "Lipophilicity": 3.0}]}, "a number and its unit"),
        (
            {"fu": [{"Fraction unbound (plasma, reference value)": [20, "mg"]}]},
            "Madeup, fu is in 'mg'",
        ),
        (
            {"fu": [{"Fraction unbound (plasma, reference value)": [20, None]}]},
            "madeup: fu is 20 .* Give 0.2 for 20 %",
        ),
        ({"pKa": [["Salt", 3.0]]}, "Madeup, pKa is ..Salt., 3.0"),
        ({"pKa": [["Acid", "3"]]}, "Madeup, pKa is '3'"),
        ({"pKa": [["Acid", 99.0]]}, "madeup: a pKa of acids is 99"),
        ({"pKa": [["Base", 10**400]]}, "Madeup, pKa is 1000.* .a finite number"),
        ({"params": {"Molecular weight": [-300.0, "g/mol"]}}, "Molecular weight is -300 g/mol"),
        ({"params": {"Molecular weight": [0, "g/mol"]}}, "Molecular weight is 0 g/mol"),
        ({"params": {}}, "no 'Molecular weight'"),
        ({"params": None}, "Madeup, params is None"),
        ({"processes": {"a": 1}}, "Madeup, processes is"),
        ({"processes": [3]}, "Madeup, processes is 3"),
        ({"processes": [{"type": "GlomerularFiltration", "params": {}}]}, "no 'GFR fraction'"),
        (
            {"processes": [process("rCYP450_MM", "CYP3A4", Km=[0.0, "µmol/l"], kcat=[1, "1/min"])]},
            "a Km of 0",
        ),
        (
            {"processes": [process("GlomerularFiltration", GFR_fraction=[-1.0, None])]},
            "GFR fraction is -1",
        ),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(tl.InputError, match=message):
        read_compound(copy.deepcopy(ENTRY) | change)


def test_what_is_no_entry() -> None:
    with pytest.raises(tl.InputError, match="Give one element of the list"):
        read_compound([ENTRY])  # type: ignore[arg-type]
    with pytest.raises(tl.InputError, match="Did you mean 'logP'"):
        read_compound(ENTRY, alternatives={"logp": "a"})
    with pytest.raises(tl.InputError, match="unknown alternative 'c' of logP"):
        read_compound(ENTRY, alternatives={"logP": "c"})
    with pytest.raises(tl.InputError, match=r"alternatives are .'logP'. .a dict is needed"):
        read_compound(ENTRY, alternatives=["logP"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"compound": "A", "logP": [', "line 1, column 29: no JSON"),
        ("", "no JSON"),
        ("[" * 100_000, "nested too deeply|no JSON"),
        ('{"compound": "A"}', "a list is needed"),
        ("[3]", "entry 0 is 3"),
        ('[{"compound": 3}]', "entry 0 has no compound"),
        ("null", "is null"),
        ('[{"compound": "A", "a": {"b": 1, "c": 2, "b": 3}}]', "'b' is told twice"),
        ('[{"compound": "A", "a": ' + "9" * 5000 + "}]", "thousands of digits"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply|no JSON"),
        ("\x89PNG", "PNG|not text"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "entries.json"
    place.write_bytes(text.encode("latin-1"))
    with pytest.raises(tl.InputError, match=message):
        read_entries(place)
    with pytest.raises(tl.InputError, match="cannot be read"):
        read_entries(tmp_path / "not_there.json")


def test_entries_of_a_file(tmp_path: Path) -> None:
    place = tmp_path / "entries.json"
    place.write_text(json.dumps([ENTRY, ENTRY | {"repo": "second"}]))
    entries = read_entries(place)
    assert entries["Madeup"]["repo"] == "Made-Up-Model"
    assert read_compound(entries["Madeup"]).fu == 0.2


def test_the_shared_entries() -> None:
    """Each becomes a drug that can be simulated, in one call."""
    path = DATA / "osp" / "osp_model_library_compounds.json"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against the OSP model library: {path} is not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tl.InputWarning)
        drugs = [read_compound(entry) for entry in json.loads(path.read_text())]
    assert len(drugs) >= 20
    solution = tl.simulate(
        pbpk.whole_body(drugs[0], partition="rodgers_rowland"),
        pbpk.parameters_of(drugs, partition="rodgers_rowland"),
        tl.Regimen.bolus(1.0, into="venous"),
        [1.0, 8.0],  # at 24 h omeprazole is below the solver's tolerance
        outputs=["cp"],
    )
    solution.raise_for_status()
    assert np.all(solution.values > 0.0)
    # alfentanil of 0.05 mg/kg (Ferrier 1985, ten people): 0.085 mg/L at 1 h
    alfentanil = next(k for k, drug in enumerate(drugs) if drug.name == "alfentanil")
    assert 0.5 < 3.65 * solution.values[alfentanil, 0, 0] / 0.084813 < 2.0
