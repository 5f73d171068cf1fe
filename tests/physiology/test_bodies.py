"""Bodies of any age and species: identities, the reference adults, growth, measured numbers that
nobody here wrote, and what is refused.
"""

from __future__ import annotations

import gzip
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import teorell as tl
from folders import DATA, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell.constraints import human_adult
from teorell.pbpk import drug as drug_of
from teorell.pbpk import whole_body
from teorell.physiology.checks import SPECIES
from teorell.physiology.files import read_rows, shipped
from teorell.physiology.growth import GROWN, reference_at
from teorell.physiology.human import numbers_of_humans
from teorell.physiology.maturation import filtration, kidney_maturity
from teorell.physiology.reference_adults import CARDIAC_OUTPUT, MASS, REFERENCE
from teorell.physiology.sources import SOURCES
from teorell.physiology.vocabulary import (
    BODY,
    FLOWS,
    MASSES,
    MORE,
    SHARES,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)

YEARS = np.linspace(0.0, 20.0, 4001)
HEAD = "species,quantity,value,unit,source\n"


def check_identities(body: tl.Body) -> None:
    """Masses make the weight, flows the cardiac output, shares both; nothing is below 0."""
    weight, output = body["body_weight"], body["cardiac_output"]
    assert sum(body[mass_of(part)] for part in MASSES) == pytest.approx(weight, rel=4e-15)
    assert sum(body[flow_to(organ)] for organ in FLOWS) == pytest.approx(output, rel=4e-15)
    assert output == pytest.approx(body["cardiac_index"] * weight**0.75, rel=1e-14)
    for part in MASSES:
        assert body[mass_share_of(part)] * weight == pytest.approx(body[mass_of(part)], rel=1e-14)
    for organ in FLOWS:
        assert body[flow_share_to(organ)] * output == pytest.approx(body[flow_to(organ)], rel=1e-14)
    assert min(body[name] for name in body) >= 0.0


@pytest.mark.parametrize("species", SPECIES)
def test_identities_of_each_species(species: str) -> None:
    body = tl.Body.of(species)
    check_identities(body)
    check_identities(tl.Body.of(species, weight=1.5 * body["body_weight"]))
    assert set(SHARES) <= set(body)
    assert set(body) <= {*BODY, *MORE, *SHARES}


@settings(max_examples=60, deadline=None)
@given(
    age=st.floats(0.0, 100.0),
    female=st.booleans(),
    tall=st.floats(0.85, 1.15),
    heavy=st.floats(0.75, 3.0),
    kidneys=st.floats(0.03, 1.8),
)
def test_identities_of_humans(
    age: float, female: bool, tall: float, heavy: float, kidneys: float
) -> None:
    sex = "female" if female else "male"
    typical = tl.Body.human(age, sex)
    height = tall * typical["height"]
    weight = heavy * typical["body_mass_index"] * height**2
    body = tl.Body.human(age, sex, height, weight, gfr=kidneys * typical["gfr"])
    check_identities(body)
    assert body["mass_gut"] == body["mass_small_intestine"] + body["mass_large_intestine"]
    assert min(body[mass_of(part)] for part in MASSES) > 0.0
    assert min(body[flow_to(organ)] for organ in FLOWS) > 0.0
    # filtration never takes more than two fifths of the plasma that comes
    plasma = body["flow_kidney"] * (1.0 - body["haematocrit"])
    assert body["glomerular_filtration"] < 0.4 * plasma


@pytest.mark.parametrize("sex", [0, 1])
def test_grown_up_the_reference_body_is_the_reference_adult(sex: int) -> None:
    body = tl.Body.human(30.0, ("male", "female")[sex])
    for part in MASSES:
        assert body[mass_of(part)] == pytest.approx(MASS[part][sex], rel=1e-12)
    for organ in FLOWS:
        assert body[flow_share_to(organ)] == pytest.approx(REFERENCE[organ].flow[sex], rel=1e-12)
    assert body["cardiac_output"] == pytest.approx(CARDIAC_OUTPUT[sex], rel=1e-12)


@pytest.mark.parametrize("female", [False, True])
def test_organs_grow_with_age(female: bool) -> None:
    """Every organ of the reference body, its size and its output, but that the girl of 15 years has
    more than the woman (ICRP 89: 6.1 and 5.9 L/min); at the tabulated ages it is the table's.
    """
    body = reference_at(YEARS, np.full(YEARS.size, female))
    for name in GROWN:
        last = 15.0 if female and name == "cardiac_output" else 20.0
        assert np.diff(body[name][last >= YEARS]).min() >= 0.0, name
    rows = read_rows(shipped("human_growth.csv"), ("sex", "age_y", "quantity"))
    for row in rows:
        sex, age, name = row.keys
        if (sex == "female") == female:
            at = reference_at(np.array([float(age)]), np.array([female]))[name][0]
            assert at == pytest.approx(row.value, rel=1e-12), row


def test_growth_between_the_tabulated_ages() -> None:
    """WHO Child Growth Standards (2006), medians of boys: kg at 3, 6, 9, 24 months, cm at 6, 24;
    CDC (2000): kg and cm of boys of 8 years. ICRP's bodies of 0 and 1 year are somewhat heavier.
    """
    months = {3: (6.4, None), 6: (7.9, 67.6), 9: (8.9, None), 24: (12.2, 87.1), 96: (25.6, 128.0)}
    for month, (weight, height) in months.items():
        body = tl.Body.human(month / 12.0)
        assert body["body_weight"] == pytest.approx(weight, rel=0.08), month
        if height is not None:
            assert 100.0 * body["height"] == pytest.approx(height, rel=0.04), month


def test_filtration_matures_and_declines() -> None:
    """Half of the adult's at 47.7 weeks (Rhodin 2009), nine tenths at a year, and Davies & Shock's
    ratio at 85 years.
    """
    half = (47.7 - 40.0) * 7.0 / 365.25
    assert kidney_maturity(np.array([half]))[0] == pytest.approx(0.5, rel=1e-12)
    assert kidney_maturity(np.array([1.0]))[0] == pytest.approx(0.9, abs=0.01)
    newborn = tl.Body.human(0.0)["glomerular_filtration"] / 0.06
    assert 3.0 < newborn < 6.0  # mL/min
    young, old = tl.Body.human(30.0), tl.Body.human(85.0)
    assert old["gfr"] / young["gfr"] == pytest.approx(65.3 / 122.8, rel=1e-3)


def test_filtration_from_creatinine() -> None:
    """CKD-EPI 2009 as its table has it: women with creatinine up to 0.7: 144 (Scr/0.7)^-0.329
    0.993^age; men above 0.9: 141 (Scr/0.9)^-1.209 0.993^age. Bedside Schwartz below 18.
    """
    age, female = np.array([50.0, 60.0, 10.0]), np.array([True, False, False])
    found = filtration(age, female, np.array([0.6, 2.0, 0.5]), np.array([1.6, 1.7, 1.4]))
    assert found[0] == pytest.approx(144.0 * (0.6 / 0.7) ** -0.329 * 0.993**50, rel=5e-3)
    assert found[1] == pytest.approx(141.0 * (2.0 / 0.9) ** -1.209 * 0.993**60, rel=1e-12)
    assert found[2] == pytest.approx(0.413 * 140.0 / 0.5, rel=1e-12)


def test_old_age() -> None:
    young, old = tl.Body.human(30.0), tl.Body.human(90.0)
    for part in ("muscle", "brain", "liver"):
        assert 0.75 < old[mass_of(part)] / young[mass_of(part)] < 0.95
    assert old["mass_adipose"] > young["mass_adipose"]
    assert old["cardiac_output"] / young["cardiac_output"] == pytest.approx(0.698)
    assert old["flow_kidney"] / young["flow_kidney"] == pytest.approx(0.471)
    hepatic = ("liver", "stomach", "gut", "spleen", "pancreas")
    flows = [sum(body[flow_to(organ)] for organ in hepatic) for body in (old, young)]
    assert flows[0] / flows[1] == pytest.approx(0.698)  # no more than the output's own


def test_weight_goes_to_fat_first() -> None:
    """Of 40 kg more, two thirds or more are adipose tissue (fat-free mass: Janmahasatian 2005), and
    the brain stays.
    """
    lean, stout = (
        tl.Body.human(30, height=1.76, weight=73),
        tl.Body.human(30, height=1.76, weight=113),
    )
    assert 0.6 < (stout["mass_adipose"] - lean["mass_adipose"]) / 40.0 < 0.8
    assert stout["mass_brain"] == lean["mass_brain"]
    assert stout["mass_liver"] > lean["mass_liver"]


def cited(source: str) -> str:
    """The letters that a source cites: those of "borrowed from the pig (AD)" are AD."""
    borrowed = re.fullmatch(r"borrowed from [a-z ]+ \(([A-Z]+)\)", source)
    return borrowed.group(1) if borrowed else source


def test_sources_of_every_number() -> None:
    tables = {
        "animals.csv": ("species", "quantity"),
        "enzymes.csv": ("enzyme", "quantity"),
        "haematocrit.csv": ("sex", "age_y", "quantity"),
        "human_ageing.csv": ("quantity", "from_y", "to_y"),
        "human_growth.csv": ("sex", "age_y", "quantity"),
        "gut.csv": ("species", "segment", "quantity"),
        "transporters.csv": ("transporter", "quantity"),
    }
    for name, keys in tables.items():
        for row in read_rows(shipped(name), keys):
            assert cited(row.source) in SOURCES, (name, row)
            assert row.unit, (name, row)
    for species in SPECIES:
        body = tl.Body.of(species)
        assert set(body.sources) == set(body)
        assert all(body.sources.values())
        assert len(body.describe().splitlines()) == len(body)


@pytest.mark.parametrize(
    "body", [tl.Body.human(0.0), tl.Body.human(85, "woman"), tl.Body.of("mouse")], ids=repr
)
def test_a_body_is_simulated(body: tl.Body) -> None:
    """The model finds the numbers that it declares; those given one by one are the same bits."""
    drug = replace(drug_of("metoprolol"), gfr_fraction=1.0)  # a base: red cells and kidneys count
    model, regimen = whole_body(drug), tl.Regimen.bolus(1.0, into="venous")
    found = tl.simulate(model, body, regimen, [1.0, 8.0], "cp")
    same = tl.simulate(model, body.parameters, regimen, [1.0, 8.0], "cp")
    np.testing.assert_array_equal(found.values, same.values)
    assert found.success.all()


def test_constraints_take_a_body() -> None:
    found = human_adult().violations(tl.Body.human(30.0))
    assert not found.any.any()
    with pytest.raises(tl.InputError, match="'female' is missing"):
        human_adult().violations(tl.Body.of("rat"))


def test_with_numbers() -> None:
    same = pickle.loads(pickle.dumps(tl.Body.of("rat")))
    assert {**same.values} == {**tl.Body.of("rat").values}
    body = tl.Body.human(30.0).with_numbers(haematocrit=0.3)
    assert (body["haematocrit"], body.sources["haematocrit"]) == (0.3, "given")
    with pytest.raises(tl.InputError, match="Did you mean 'mass_liver'"):
        body.with_numbers(mass_livr=1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tl.Body.human(-1), "age is -1 .0 to 100 years"),
        (lambda: tl.Body.human(200), "age is 200 .0 to 100 years"),
        (lambda: tl.Body.human(np.nan), "age is nan"),
        (lambda: tl.Body.human(30, "femal"), "Did you mean 'female'"),
        (lambda: tl.Body.human(30, 1), "sex is 1"),
        (lambda: tl.Body.human(30, height=176), "height is 176 .0.88 to 2.64 m at 30 years"),
        (lambda: tl.Body.human(30, height=1.9, weight=42), "body mass index of 11.6"),
        (lambda: tl.Body.human(30, height=1.7, weight=400), "weight is 400"),
        (lambda: tl.Body.human(5, weight=0), "weight is 0"),
        (lambda: tl.Body.human(30, gfr=-1), "gfr is -1"),
        (lambda: tl.Body.human(30, haematocrit=45), "haematocrit is 45"),
        (lambda: tl.Body.of("mose"), "Did you mean 'mouse'"),
        (lambda: tl.Body.of("pig"), "no table of the pig is shipped"),
        (lambda: tl.Body.of("rat", 25), "weight is 25 .0.025 to 2.5 kg"),
        (lambda: tl.Body.human(30)["mass_livr"], "Did you mean 'mass_liver'"),
    ],
)  # fmt: skip
def test_what_is_no_body(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(tl.InputError, match=words):
        call()


def test_numbers_are_needed() -> None:
    for age in ("thirty", True, None, [30.0]):
        with pytest.raises(TypeError, match="age is"):
            tl.Body.human(age)  # type: ignore[arg-type]


def own_table(path: Path, change: tuple[str, str] = ("", ""), more: str = "") -> Path:
    """The rat's table, with the name of a minipig (which has a table of its own), and a change."""
    lines = shipped("animals.csv").read_text().splitlines()[1:]
    rat = [line.rsplit(",", 1)[0] for line in lines if line.startswith("rat,")]  # not `checked`
    text = "\n".join(line.replace("rat,", "minipig,") for line in rat)
    assert change[0] in text
    path.write_text(HEAD + text.replace(*change) + "\n" + more, encoding="utf-8")
    return path


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    body = tl.Body.of("minipig", table=own_table(tmp_path / "own.csv"))
    rat = tl.Body.of("rat")
    assert {name: body[name] for name in body} == {name: rat[name] for name in rat}


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        (("", ""), "minipig,mass_share_tail,0.1,1,me\n", "unknown quantity 'mass_share_tail'"),
        (("", ""), "minipig,haematocrit,0.4,1,me\n", "stands in line 5 too"),
        (("minipig,haematocrit,0.46,1,G\n", ""), "", "no 'haematocrit'"),
        (("0.46,1,G", "0.46,%,G"), "", "line 5: minipig, haematocrit in % .1 is read"),
        (("0.46,1,G", "0.46,1,"), "", "line 5: no source"),
        (("0.46,1,G", "0.46,1,QQ"), "", "line 5: source 'QQ'"),
        (("0.46,1,G", "nan,1,G"), "", "line 5: value 'nan'"),
        (("0.46,1,G", "4_6,1,G"), "", "line 5: value '4_6'"),
        (("0.46,1,G", "-0.46,1,G"), "", "line 5: haematocrit is -0.46"),
        (("0.46,1,G", "0.46,1"), "", "line 5: 4 cells .5 are needed"),
        (("mass_share_muscle,0.4", "mass_share_muscle,0.9"), "", "weigh"),
        (("flow_hepatic_artery,5.6", "flow_hepatic_artery,56"), "", "no more than its artery"),
    ],
)
def test_a_table_with_a_mistake(
    tmp_path: Path, change: tuple[str, str], more: str, words: str
) -> None:
    path = own_table(tmp_path / "own.csv", change, more)
    with pytest.raises(tl.InputError, match=words):
        tl.Body.of("minipig", table=path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column 'species'"),
        (HEAD.encode(), "has no numbers"),
        (b"species,quantity,value,unit,source,source\n", "stands twice"),
        (b"species,quantity,value,unit,sources\n", "no column 'source'"),
        (b"\xff\xfe", "not text in UTF-8"),
        (HEAD.encode() + b"\0", "binary"),
        (gzip.compress(b"species", mtime=0), "not text in UTF-8"),
        (HEAD.encode() + b"a" * (1 << 20), "larger than 1 MB"),
        (HEAD.encode() + b"rat,body_weight,0.25,kg,G\n", "has no 'minipig'"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(tl.InputError, match=words):
        tl.Body.of("minipig", table=path)
    with pytest.raises(tl.InputError, match="cannot be read"):
        tl.Body.of("minipig", table=tmp_path / "none.csv")


def test_against_pk_sim() -> None:
    """PK-Sim's individuals of ICRP 89, which hold their blood in the organs: brain, kidneys, liver,
    heart and the gut within its blood content and the difference of the tables; cardiac output,
    filtration and proteins. For checking alone.
    """
    import csv

    path = DATA / "osp_validator" / "pksim_physiology_long.csv.gz"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against PK-Sim: {path} is not here")
    cases = {"_0y_Male": (0.0, "male"), "_1y_Female": (1.0, "female"), "_12y_Male": (12.0, "male")}
    found: dict[str, dict[tuple[str, str], float]] = {case: {} for case in cases}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            case = next((each for each in cases if row["case"].endswith(each)), None)
            if case and not row["sub"]:
                found[case][row["organ"], row["parameter"]] = float(row["value_internal_units"])
    for case, (age, sex) in cases.items():
        theirs, body = found[case], tl.Body.human(age, sex)
        assert body["body_weight"] == pytest.approx(theirs["", "Weight"], rel=0.02)
        assert body["height"] == pytest.approx(theirs["", "Height"] / 10, rel=0.02)
        output = theirs["Lung", "Blood flow rate"] * 60
        assert body["cardiac_output"] == pytest.approx(output, rel=0.25), case
        filtered = theirs["Kidney", "GFR"] * 60
        assert body["glomerular_filtration"] == pytest.approx(filtered, rel=0.2), case
        brain = theirs["Brain", "Blood flow rate"] * 60
        assert body["flow_brain"] == pytest.approx(brain, rel=0.3), case
        assert body["haematocrit"] == pytest.approx(theirs["", "Hematocrit"], rel=0.15)
        for organ in ("Brain", "Heart", "Kidney", "Liver", "Spleen", "Skin"):
            ours = body[f"mass_{organ.lower()}"]  # kg without blood; PK-Sim's hold it, at 1 kg/L
            assert 0.6 < ours / theirs[organ, "Volume"] < 1.05, (case, organ)


def test_many_bodies_are_each_one_alone() -> None:
    """Columns and single bodies are the same bits."""
    age, female = np.array([0.0, 3.3, 40.0, 77.0]), np.array([False, True, True, False])
    height, weight = np.array([0.5, 0.95, 1.7, 1.7]), np.array([3.3, 14.0, 80.0, 75.0])
    many = numbers_of_humans(age, female, height, weight)
    for k in range(4):
        one = tl.Body.human(age[k], ("male", "female")[int(female[k])], height[k], weight[k])
        for name in one:
            assert one[name] == pytest.approx(float(many[name][k]), rel=1e-14), name


def test_the_tables_of_the_page() -> None:
    """docs/bodies.md shows the numbers that are there, and every source."""
    page = (ROOT / "docs" / "bodies.md").read_text(encoding="utf-8")
    ages = [(0, "male"), (1, "male"), (5, "male"), (10, "male"), (15, "male"), (15, "female")]
    ages += [(30, "male"), (30, "female"), (80, "male"), (80, "female")]
    humans = [tl.Body.human(*each) for each in ages]
    animals = [tl.Body.of(each) for each in ("mouse", "rat", "rabbit", "dog", "monkey", "minipig")]
    rows = re.findall(r"^\| `(\w+)`, .*? \|(.*)\|$", page, re.MULTILINE)
    assert len(rows) > 60
    for name, cells in rows:
        told = [cell.strip() for cell in cells.split("|")]
        bodies = humans if len(told) == len(humans) else animals
        assert told == [f"{body[name]:.3g}" if name in body else "-" for body in bodies], name
    assert re.findall(r"^- \*\*(\w+)\*\* ", page, re.MULTILINE) == list(SOURCES)
