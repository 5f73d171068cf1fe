"""Drugs as data: what is refused, the library, chemicals, one model for all of them."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import teorell as tl
from folders import DATA, ROOT
from teorell import pbpk
from teorell.pbpk.chemicals import NOT_FOUND
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_fields import LIVER, OPTIONAL, RANGES
from teorell.pbpk.drug_parameters import parameters_of
from teorell.pbpk.drug_table import UNITS, read_drugs
from teorell.pbpk.drugs import LIBRARY
from teorell.pbpk.elimination.in_vitro import from_hepatocytes
from teorell.physiology.tissue_composition import COMPOSITION_TABLE

DOSE = tl.Regimen.bolus(10.0, into="stomach_lumen")


def simple(**numbers: object) -> Drug:
    return Drug(**{"name": "x", "molar_mass": 300.0, "log_p": 2.0, "fu": 0.1} | numbers)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"fu": 50.0}, "fu is 50 .* Give 0.5 for 50 %"),
        ({"fu": 0.0}, "fu is 0 "),
        ({"fu": math.nan}, "fu is nan"),
        ({"fu": "0.1"}, "fu is '0.1' .a number is needed"),
        ({"fu": None}, "fu is None"),
        ({"fu": True}, "fu is True"),
        ({"acids": (4.0, 30.0)}, "a pKa of acids is 30"),
        ({"bases": "9.4"}, "a pKa of bases is '9.4'"),
        ({"bases": (9.4, None)}, "a pKa of bases is None"),
        ({"log_p": 100.0}, "log_p is 100"),
        ({"molar_mass": 0.3}, "molar_mass is 0.3 .g/mol"),
        ({"clearance": -1.0}, "clearance is -1"),
        ({"clearance": 500.0}, "not below the liver's blood flow"),
        ({"clearance": 80.0, "fraction_renal": 1.0, "blood_to_plasma": 0.5}, "kidney's blood"),
        ({"clearance": 5.0, "hepatocyte_clint": 3.0}, "clearance and hepatocyte_clint both"),
        ({"vmax": 3.0}, "km is missing"),
        ({"fraction_renal": 0.3}, "of no clearance"),
        ({"estimated": {"pka"}}, "estimated holds 'pka'"),
        ({"name": " "}, "name is ' '"),
        ({"sources": "a paper"}, "sources is 'a paper'"),
        ({"volume": 0.0}, "volume is 0"),
        ({"partition": "schmidt"}, "Did you mean 'schmitt'"),
    ],
)
def test_what_is_no_drug_is_refused(numbers: dict[str, object], message: str) -> None:
    with pytest.raises(tl.InputError, match=message):
        simple(**numbers)


def test_a_volume_that_the_blood_alone_exceeds() -> None:
    with pytest.raises(tl.InputError, match="less than its blood holds"):
        pbpk.whole_body(simple(volume=0.02))


def test_groups_are_sorted_and_one_number_will_do() -> None:
    assert simple(acids=[10.0, 4.0]).acids == (4.0, 10.0)
    assert simple(bases=9.4).bases == (9.4,)
    one = simple(sources={"fu": "a paper"}, estimated={"log_p"})
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert hash(again) == hash(one)
    with pytest.raises(TypeError):
        again.sources["fu"] = "another"  # type: ignore[index]


def test_the_library() -> None:
    assert len(pbpk.DRUGS) >= 15
    for name in pbpk.drug_names():
        drug = pbpk.drug(name.upper())
        assert drug is pbpk.DRUGS[name]
        told = {field for line in drug.sources for field in line.split(", ")}
        # each number is one that is told with its source, or is named as assumed
        quiet = {
            *OPTIONAL, *LIVER, "incubation_fu", "cells_per_gram", "iv_duration", "plasma_to_liver"
        }  # fmt: skip
        for field in (*RANGES, "acids", "bases"):
            default = Drug.__dataclass_fields__[field].default
            if getattr(drug, field) not in (default, ()):
                assert field in told, (name, field)
            elif field not in told and field not in quiet:
                assert field in drug.estimated or not getattr(drug, field), (name, field)
    with pytest.raises(tl.InputError, match="Did you mean 'midazolam'"):
        pbpk.drug("midazolan")
    with pytest.raises(tl.InputError, match="text is needed"):
        pbpk.drug(3)  # type: ignore[arg-type]
    with pytest.raises(tl.InputError, match="a Drug is needed"):
        pbpk.whole_body("midazolam")  # type: ignore[arg-type]


def test_the_page_of_the_library() -> None:
    page = (ROOT / "docs" / "drugs.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.count(" | ") == 12]
    told = {row[0].removeprefix("| "): row for row in rows}
    for name, drug in pbpk.DRUGS.items():
        row = told[name]
        assert (row[1], row[4]) == (f"{drug.log_p:g}", f"{drug.fu:g}")
        assert row[6] == f"{drug.clearance:.3g}"
        assert row[11] == f"{drug.gut_availability:g}"


def test_the_library_against_the_table_of_obach() -> None:
    path = DATA / "httk" / "obach2008_human_iv_pk.csv"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against Obach et al. (2008): {path} is not here")
    import csv

    with path.open() as file:
        table = {row["Name"].casefold(): row for row in csv.DictReader(file)}
    checked = 0
    for name, drug in pbpk.DRUGS.items():
        if "Obach, Lombardo" in drug.sources.get("clearance", ""):
            row = table[name]
            assert drug.clearance == pytest.approx(float(row["CL (mL/min/kg)"]) * 0.06 * 73.0)
            assert drug.volume == float(row["VDss (L/kg)"])
            assert drug.fu == float(row["fu"])
            checked += 1
    assert checked >= 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fu,0.52,1,", "fu,0.52,mg,"), "fu in 'mg' .it is read in '1' or '%'"),
        (("fu,0.52,1,", "fu,52,1,"), "fu is 52 .* Give 0.52 for 52 %"),
        (("fu,0.52,1,measured", "fu,0.52,1,guessed"), "is known 'guessed'"),
        (("acetaminophen,fu,", "acetaminophen,fub,"), "unknown quantity 'fub'"),
        (("acetaminophen,fu,0.52", "acetaminophen,log_p,0.52"), "log_p in '1'"),
        (("acids,9.46", "acids,9_46"), "acids is '9_46'"),
        (("molar_mass,151.2", "molar_mass,"), "molar_mass is ''"),
        (("drug,quantity", "name,quantity"), "no column 'drug'"),
        ((",9.46,", ",9.46,,"), "7 cells, and 6 columns"),
    ],
)
def test_mistakes_in_a_table(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = LIBRARY.read_text()
    assert change[0] in text
    (tmp_path / "own.csv").write_text(text.replace(*change, 1))
    with pytest.raises(tl.InputError, match=rf"own.csv, line \d+: .*{message}"):
        read_drugs(tmp_path / "own.csv")


def test_units_of_a_table(tmp_path: Path) -> None:
    rows = ["drug,quantity,value,unit,known,source"]
    rows += [
        f"Aspirin,{q},{v},{u},measured,a paper"
        for q, v, u in (
            ("molar_mass", 180.2, "g/mol"), ("log_p", 1.2, "log10"), ("fu", 30, "%"),
            ("clearance", 1.0, "mL/min/kg"), ("iv_duration", 30, "min"), ("acids", 3.5, "pKa"),
            ("absorption_rate", 1.0, "1e-6 cm/s"),
        )
    ]  # fmt: skip
    (tmp_path / "own.csv").write_text("\n".join(rows))
    (aspirin,) = read_drugs(tmp_path / "own.csv").values()
    assert (aspirin.name, aspirin.fu, aspirin.iv_duration) == ("aspirin", 0.3, 0.5)
    assert aspirin.clearance == pytest.approx(73.0 * 60.0 / 1000.0)
    # Sun et al. (2002) at 1e-6 cm/s, twice over a radius of 1.75 cm
    assert aspirin.absorption_rate == pytest.approx(2 * 10**-0.1454 * 1e-4 * 3600 / 1.75)
    assert {"blood_to_plasma", "gut_availability"} <= aspirin.estimated
    assert not {"fu", "clearance", "acids"} & aspirin.estimated
    assert set(UNITS) >= {"fu", "clearance"}


def test_what_is_measured_is_told_from_what_is_estimated() -> None:
    text = pbpk.chemical("caffeine").describe()
    lines = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert "measured" in lines["fu"]
    assert "httk 2.7.4" in lines["fu"]
    assert "estimated" in lines["log_p"]
    assert "uL/min/1e6 cells" in lines["hepatocyte_clint"]
    assert "clearance" not in lines
    told = pbpk.drug("metoprolol").describe()
    assert "Goodman & Gilman" in told
    assert "hepatocyte_clint" not in told
    own = simple(bases=(9.0,), gfr_fraction=1.0).describe()
    assert own.count("assumed") >= 5
    assert "blood_to_plasma    0.86" in own


def test_chemicals() -> None:
    names = pbpk.chemical_names()
    assert len(names) == 1200
    caffeine = pbpk.chemical("58-08-2")
    assert caffeine == pbpk.chemical("Caffeine") == pbpk.chemical("dtxsid0020232")
    assert caffeine.fu == 1.0
    assert not {"fu", "hepatocyte_clint", "molar_mass"} & caffeine.estimated
    assert {"log_p", "gfr_fraction", "absorption_rate"} <= caffeine.estimated
    rat = pbpk.chemical("2,4-d", species="rat")
    assert rat.fu == 0.02976
    # cells of the rat's liver: Sohlenius-Sternbeck (2006)
    cells = from_hepatocytes(rat.hepatocyte_clint, rat.incubation_fu, 117.0)
    assert rat.clint == pytest.approx(cells)
    assert "fu" not in rat.estimated
    for species in ("human", "rat"):
        drugs = [pbpk.chemical(name, species) for name in names]
        assert all(not math.isnan(number) for each in drugs for number in (each.fu, each.clint))
    none_found = [pbpk.chemical(name) for name in names if pbpk.chemical(name).fu == NOT_FOUND]
    assert none_found
    assert all("fu" in each.estimated for each in none_found if "0 was found" in each.sources["fu"])
    with pytest.raises(tl.InputError, match="Did you mean 'Caffeine'"):
        pbpk.chemical("cafeine")
    with pytest.raises(tl.InputError, match=r"in 'dog' .there are human and rat"):
        pbpk.chemical("caffeine", species="dog")


def test_drugs_as_columns_of_one_call() -> None:
    """Every drug of the library as a patient: the same bits as each in a model of its own."""
    drugs = list(pbpk.DRUGS.values())
    options = {"partition": "rodgers_rowland"}
    together = tl.simulate(
        pbpk.whole_body(drugs[3], **options), parameters_of(drugs, **options), DOSE, [1.0, 24.0],
        outputs=["cp"],
    )  # fmt: skip
    together.raise_for_status()
    for k in (0, 7, len(drugs) - 1):
        alone = tl.simulate(
            pbpk.whole_body(drugs[k], **options), None, DOSE, [1.0, 24.0], outputs=["cp"]
        )
        np.testing.assert_array_equal(alone.values[0], together.values[k])
    own = replace(drugs[1], partition="rodgers_rowland")
    assert pbpk.whole_body(own).content() == pbpk.whole_body(drugs[1], **options).content()
    with pytest.raises(tl.InputError, match="acetaminophen has the partition method 'berez"):
        parameters_of([drugs[0], own])
    with pytest.raises(tl.InputError, match="no drugs"):
        parameters_of([])
    with pytest.raises(tl.InputError, match="different parameters"):
        parameters_of([drugs[0], replace(drugs[0], clearance=None, fraction_renal=0.0, vmax=1.0,
                                         km=1.0)])  # fmt: skip


@pytest.mark.parametrize("method", pbpk.METHODS)
def test_gradients_reach_what_a_drug_is_made_of(method: str) -> None:
    """d (area under cp) by log P, pKa, fu, clearance, against differences."""
    drug = pbpk.drug("metoprolol")
    model = pbpk.whole_body(drug, partition=method)
    wrt = ["log_p", "pka_base_1", "fu", "clint", "gut_availability", "blood_to_plasma"]
    point = parameters_of(drug, partition=method)
    weights = np.array([[[1.0], [2.0], [0.5]]])
    times = [0.5, 2.0, 8.0]

    def total(parameters: dict[str, float]) -> float:
        solution = tl.simulate(model, parameters, DOSE, times, ["cp"], rtol=1e-10, atol=1e-13)
        return float((solution.values * weights).sum())

    value, gradient = tl.value_and_grad(
        weights, model, point, DOSE, times, ["cp"], wrt=wrt, rtol=1e-10, atol=1e-13
    )
    assert value == pytest.approx(total(point), rel=1e-9)
    for name in wrt:
        step = 1e-4 * max(abs(point[name]), 0.01)
        up, down = (total(point | {name: point[name] + s}) for s in (step, -step))
        slope = float(np.asarray(gradient.parameters[name]).sum())
        assert slope == pytest.approx((up - down) / (2 * step), rel=2e-5, abs=1e-8 * abs(value))


def test_table_of_partition_coefficients() -> None:
    table = pbpk.partition_coefficients("midazolam")
    assert table.methods == tuple(pbpk.METHODS)
    assert table["muscle"]["rodgers_rowland"] == table["rodgers_rowland"]["muscle"]
    assert "midazolam, human" in str(table)
    frame = table.to_dataframe()
    assert frame.loc["liver", "schmitt"] == table["liver"]["schmitt"]
    assert pbpk.partition_coefficients("midazolam", species="rat").composition == {
        "rodgers_rowland": "any", "poulin_theil": "rat", "berezhkovskiy": "rat", "schmitt": "any",
        "pksim_standard": "any",
    }  # fmt: skip
    # the model has the same, times the scale to the published volume
    model = pbpk.whole_body(pbpk.drug("midazolam"), partition="rodgers_rowland")
    assert parameters_of(pbpk.drug("midazolam"), partition="rodgers_rowland")["kp_scale"] > 0.0
    assert "kp_muscle" in model.describe()
    for wrong, message in (
        ({"species": "unicorn"}, "unknown species 'unicorn'"),
        ({"methods": ["rogers_rowland"]}, "Did you mean 'rodgers_rowland'"),
        ({"methods": []}, "no methods"),
        ({"haematocrit": 44.0}, "haematocrit is 44"),
    ):
        with pytest.raises(tl.InputError, match=message):
            pbpk.partition_coefficients("midazolam", **wrong)  # type: ignore[arg-type]
    with pytest.raises(tl.InputError, match=r"unknown 'livre' .* Did you mean 'liver'"):
        table["livre"]


def test_what_is_no_drug_or_composition(tmp_path: Path) -> None:
    midazolam = pbpk.drug("midazolam")
    for call in (
        lambda: parameters_of("midazolam"),  # type: ignore[arg-type]
        lambda: parameters_of(["midazolam"]),  # type: ignore[list-item]
        lambda: pbpk.virtual_adults(2, 1, "midazolam"),  # type: ignore[arg-type]
        lambda: pbpk.partition_coefficients(3),  # type: ignore[arg-type]
    ):
        with pytest.raises(tl.InputError, match="needed"):
            call()
    for call in (
        lambda: pbpk.whole_body(midazolam, composition="own.csv"),  # type: ignore[arg-type]
        lambda: parameters_of(midazolam, composition={}),  # type: ignore[arg-type]
        lambda: pbpk.partition_coefficients("midazolam", composition=3),  # type: ignore[arg-type]
    ):
        with pytest.raises(tl.InputError, match="what read_composition returns is needed"):
            call()
    with pytest.raises(tl.InputError, match="unknown model of the liver None"):
        pbpk.whole_body(midazolam, liver=None)  # type: ignore[arg-type]
    with pytest.raises(tl.InputError, match="unknown method of partition coefficients ''"):
        pbpk.whole_body(midazolam, partition="")
    text = COMPOSITION_TABLE.read_text().splitlines()
    for lacking, message in (
        ("schmitt,any,liver,water", "has no water for schmitt .human; liver"),
        ("poulin_theil,human,plasma", "has no plasma for poulin_theil"),
        ("schmitt,any,muscle", "has no gonads for schmitt"),
    ):
        own = tmp_path / "own.csv"
        own.write_text("\n".join(line for line in text if not line.startswith(lacking)))
        composition = pbpk.read_composition(own)
        method = lacking.split(",")[0]
        with pytest.raises(tl.InputError, match=message):
            pbpk.whole_body(midazolam, partition=method, composition=composition)


@pytest.mark.parametrize("method", pbpk.METHODS)
def test_any_drug_leaves_the_body_whole(method: str) -> None:
    """Sixty drugs of random chemistry in one call: what is excreted and metabolised is the dose."""
    rng = np.random.default_rng(7)
    drugs = [
        simple(
            log_p=rng.uniform(-3.0, 6.0),
            fu=10.0 ** rng.uniform(-3.0, 0.0),
            acids=tuple(rng.uniform(0.0, 14.0, rng.integers(0, 4))),
            bases=tuple(rng.uniform(0.0, 12.0, rng.integers(0, 4))),
            blood_to_plasma=rng.uniform(0.5, 3.0),
            hepatocyte_clint=10.0 ** rng.uniform(-1.0, 3.0),
            gfr_fraction=rng.uniform(0.1, 3.0),
            absorption_rate=10.0 ** rng.uniform(-1.0, 1.0),
            fraction_absorbed=rng.uniform(0.1, 1.0),
            gut_availability=rng.uniform(0.1, 1.0),
        )
        for _ in range(60)
    ]
    sinks = ["urine", "faeces", "metabolised_liver", "metabolised_gut"]
    columns = parameters_of(drugs, partition=method)
    solution = tl.simulate(
        pbpk.whole_body(drugs[0], partition=method), columns, DOSE, [1e7], [*sinks, "cp"]
    )
    solution.raise_for_status()
    gone = solution.values[:, 0, :4]
    np.testing.assert_allclose(gone.sum(axis=1), 10.0, rtol=1e-6)
    np.testing.assert_allclose(gone[:, 1], 10.0 * (1.0 - columns["fraction_absorbed"]), rtol=1e-6)
    lost = columns["fraction_absorbed"] * (1.0 - columns["gut_availability"])
    np.testing.assert_allclose(gone[:, 3], 10.0 * lost, rtol=1e-6)
