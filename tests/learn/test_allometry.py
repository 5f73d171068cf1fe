"""Neural allometry: no drug or species on both sides, exact cases, what ships, what is refused."""

from __future__ import annotations

import gzip
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
import torch
from teorell import InputError
from teorell.learn.allometry import prediction
from teorell.learn.allometry.anchors import fixed_exponent, rule_of_exponents, simple_allometry
from teorell.learn.allometry.calibration import BANDS, calibration, calibration_picture, covered
from teorell.learn.allometry.curves import CurveError, HumanCurves
from teorell.learn.allometry.drug_head import DrugConfiguration, DrugPart
from teorell.learn.allometry.drug_table import (
    Drugs,
    drugs_of,
    measured,
    shipped_animals,
    shipped_humans,
)
from teorell.learn.allometry.learner import Allometry, organ_figures
from teorell.learn.allometry.linear import (
    gaussian,
    gaussian_mean,
    ridge,
    ridge_mean,
    structure_prior,
)
from teorell.learn.allometry.organ_head import OrganConfiguration, OrganPart
from teorell.learn.allometry.organ_table import Organs, shipped_organs
from teorell.learn.allometry.power_law import hierarchy, power_law
from teorell.learn.allometry.scaling import scaling, scaling_picture
from teorell.learn.allometry.structure import DESCRIPTORS, SCALES, descriptors
from teorell.learn.allometry.trajectory import Trajectory
from teorell.learn.report import Figure
from teorell.learn.trainer import load, train
from teorell.pbpk import MIDAZOLAM
from teorell.pbpk.chemicals import chemical

RAT = {"rat_CL_mL_min_kg": [30.0], "rat_VDss_L_kg": [1.2]}
TINY = Allometry.configurations["tiny"]
FEW = DrugConfiguration(folds=4, members=1, hidden=4)


def some(drugs: Drugs, rows: slice) -> Drugs:
    arrays = (drugs.mass, drugs.CL, drugs.VDss, drugs.unbound, drugs.structure)
    return Drugs(drugs.names[rows], drugs.smiles[rows], *(x[rows].copy() for x in arrays))


@pytest.fixture(scope="module")
def trained() -> tuple[Allometry, Any]:
    configuration = replace(TINY, training=replace(TINY.training, steps=12))
    learner = Allometry(configuration)
    return learner, train(learner).network


@pytest.fixture
def quick(trained: tuple[Allometry, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions by the tiny configuration."""
    learner, network = trained
    unseen = {each: learner.drugs.unseen(network.drugs, each) for each in ("CL", "VDss")}
    monkeypatch.setattr(prediction, "_loaded", lambda _: (learner, network, unseen))


# ---------------------------------------------------------------- leakage


def test_no_drug_of_the_animal_table_is_in_the_human_one() -> None:
    animals, (smiles, mass, _, _) = shipped_animals(), shipped_humans()
    assert not {*animals.smiles} & {*smiles}
    assert np.abs(animals.mass[:, None] - mass).min() > 0.01  # g/mol


def test_a_drug_has_no_effect_on_its_own_prediction() -> None:
    """Other human values of the drugs of a fold: what their networks are trained on, the linear
    models under them and their inputs have the same bits, all that reads them aside.
    """
    drugs = some(shipped_animals(), slice(0, 60))
    part = DrugPart(FEW, drugs, 0)
    fold = 2
    changed = {}
    for target in ("CL", "VDss"):
        logs = drugs.of(target).copy()
        logs[part.fold == fold, 0] += 3.0
        changed[target] = logs
    other = DrugPart(FEW, replace(drugs, **changed), 0)
    for target in ("CL", "VDss"):
        one, two = part.tensors()[target], other.tensors()[target]
        assert not one["weights"][fold][part.fold == fold].any()
        seen = one["weights"][fold] > 0
        assert torch.equal(one["wanted"][fold][seen], two["wanted"][fold][seen])
        assert torch.equal(one["x"], two["x"])
        asked = drugs.without_humans()
        assert np.array_equal(part.linear(target, asked)[fold], other.linear(target, asked)[fold])
        assert not np.array_equal(part.linear(target, asked)[0], other.linear(target, asked)[0])


def test_folds_part_the_drugs() -> None:
    part = DrugPart(FEW, shipped_animals(), 3)
    assert np.bincount(part.fold).sum() == len(part.drugs.names)
    assert np.ptp(np.bincount(part.fold)) <= 1
    weights = part.tensors()["CL"]["weights"].reshape(4, 1, -1)
    for fold in range(4):
        assert not weights[fold, :, part.fold == fold].any()
        assert weights[fold].sum() > 0


def test_a_species_has_no_effect_on_its_own_prediction() -> None:
    organs = shipped_organs()
    logs = organs.logs.copy()
    logs[3] += 1.0
    one, two = (
        OrganPart(OrganConfiguration(members=1), each)
        for each in (organs, replace(organs, logs=logs))
    )
    assert not one.tensors()["weights"][3, 3].any()
    for name, x in one.laws[3]._asdict().items():
        assert np.array_equal(x, getattr(two.laws[3], name)), name
    assert not np.array_equal(one.laws[0].level, two.laws[0].level)


@pytest.mark.usefixtures("quick")
def test_human_values_of_a_table_are_not_read() -> None:
    plain = prediction.predict(RAT)
    told = prediction.predict(RAT | {"human_CL_mL_min_kg": [99.0], "human_VDss_L_kg": [0.1]})
    pd.testing.assert_frame_equal(plain, told)


@pytest.mark.usefixtures("quick")
def test_a_drug_of_the_table_is_predicted_by_networks_that_never_saw_it(
    trained: tuple[Allometry, Any],
) -> None:
    learner, network = trained
    place = 5
    drugs = learner.drugs.drugs
    row = {"smiles_r": [drugs.smiles[place]], "molecular_weight_smiles_r": [drugs.mass[place]]}
    for target, column in (("CL", "CL_mL_min_kg"), ("VDss", "VDss_L_kg")):
        for i, species in enumerate(("rat", "dog", "monkey"), start=1):
            row[f"{species}_{column}"] = [10 ** drugs.of(target)[place, i]]
    for i, species in enumerate(("human", "rat", "dog", "monkey")):
        row[f"{species}_fup"] = [10 ** drugs.unbound[place, i]]
    found = prediction.predict(row)
    assert found.trained_on.all()
    unseen = 10 ** learner.drugs.unseen(network.drugs, "CL")[place]
    assert found.human_CL_mL_min_kg[0] == pytest.approx(unseen, rel=1e-5)


# ---------------------------------------------------------------- exact cases


def test_laws_of_textbooks_recover_a_power_law() -> None:
    mass = np.log10([0.25, 10.0, 5.0])
    per_kg = (np.log10(7.0) + (0.6 - 1) * mass)[None]
    human = np.log10(7.0) + (0.6 - 1) * np.log10(70.0)
    assert simple_allometry("CL", per_kg)[0] == pytest.approx(human)
    assert rule_of_exponents(per_kg)[0] == pytest.approx(human)  # below 0.71: simple
    per_kg = (0.75 - 1) * mass[None] + 0.3
    assert fixed_exponent("CL", per_kg)[0] == pytest.approx(0.3 - 0.25 * np.log10(70.0))
    assert fixed_exponent("VDss", np.full((1, 3), 0.2))[0] == pytest.approx(0.2)
    one = np.array([[0.1, np.nan, np.nan]])
    assert simple_allometry("CL", one)[0] == fixed_exponent("CL", one)[0]
    assert np.isnan(simple_allometry("CL", np.full((1, 3), np.nan))[0])


def test_the_gaussian_of_complete_rows_is_their_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = 1.0 + x @ [0.5, -0.2, 0.1] + 0.05 * rng.normal(size=400)
    mean, spread = gaussian(np.column_stack([y, x]))
    found = gaussian_mean(mean, spread, x)
    assert np.abs(found - (1.0 + x @ [0.5, -0.2, 0.1])).max() < 0.1
    nothing = gaussian_mean(mean, spread, np.full((1, 3), np.nan))
    assert nothing[0] == pytest.approx(y.mean())
    one = gaussian_mean(mean, spread, np.array([[2.0, np.nan, np.nan]]))
    assert one[0] == pytest.approx(1.0 + 0.5 * 2.0, abs=0.15)
    by_ridge = ridge_mean(ridge(x, y), x)
    assert np.abs(by_ridge - found).max() < 0.1


def test_the_prior_leaves_the_same_drug_out() -> None:
    rng = np.random.default_rng(1)
    known, mass = rng.normal(size=(30, 4)), rng.uniform(200, 500, 30)
    values = rng.normal(size=(30, 1))
    asked = known[4:5] + 0.3
    found = structure_prior(asked, mass[4:5], known, mass, values)
    # the columns are standardised by all rows: repeat row 4 elsewhere with no value
    gone = values.copy()
    gone[4] = np.nan
    without = structure_prior(asked, np.array([1.0]), known, mass, gone)
    middle = [np.nanmean(each) for each in (values, gone)]
    assert found[0, 0] - middle[0] == pytest.approx(without[0, 0] - middle[1], abs=0.05)
    assert found[0, 0] != structure_prior(asked, np.array([1.0]), known, mass, values)[0, 0]


def test_hierarchy() -> None:
    x = np.linspace(-2, 2, 40)
    y = np.column_stack([0.3 + 1.02 * x, 1.0 + 0.76 * x, 2.0 + 0.99 * x])
    y += 0.01 * np.random.default_rng(0).normal(size=y.shape)
    law = hierarchy(x, y, np.array([0, 1, 0]))
    assert law.exponent == pytest.approx([1.02, 0.76, 0.99], abs=0.01)
    assert law.mean(np.array([0.5]))[0] == pytest.approx([0.81, 1.38, 2.495], abs=0.02)
    assert (law.sd(np.array([6.0])) > law.sd(np.array([0.0]))).all()  # farther is less sure
    two = hierarchy(x[:2], y[:2], np.array([0, 1, 0]))  # two species: close to theory
    assert two.exponent == pytest.approx([1.0, 0.75, 1.0], abs=0.1)


def test_descriptors() -> None:
    def counts(smiles: str) -> dict[str, float]:
        return {
            name: value * scale
            for name, value, scale in zip(DESCRIPTORS, descriptors(smiles), SCALES, strict=True)
        }

    aspirin = counts("CC(=O)Oc1ccccc1C(=O)[O-]")
    assert aspirin["log10 heavy atoms"] == pytest.approx(np.log10(13))
    assert aspirin["oxygens"] == pytest.approx(4)
    assert aspirin["aromatic atoms"] == pytest.approx(6)
    assert aspirin["rings"] == pytest.approx(1)
    assert aspirin["negative charges"] == pytest.approx(1)
    assert aspirin["positive charges"] == 0
    nitro = counts("C[NH2+]c1ccc(Cl)cc1[N+](=O)[O-]")
    assert nitro["positive charges"] == pytest.approx(1)  # the nitro group's cancel
    assert nitro["negative charges"] == 0
    assert nitro["halogens"] == pytest.approx(1)
    assert nitro["polar hydrogens"] == pytest.approx(2)
    for text, reason in (
        ("123", "has no atoms"),
        ("aspirin", "of 'aspirin'"),
        ("C9H8O4", "of 'H8O4'"),
        ("CC(C", "a branch is open"),
        ("c1ccccc", "a ring is open"),
        ("CC%10CC", "a ring is open"),
    ):
        with pytest.raises(InputError, match=reason):
            descriptors(text)


def test_trajectories_solve_their_equation() -> None:
    """d state / d mass is the slope: against differences of the solution itself."""
    torch.manual_seed(0)
    adjacency = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    network = Trajectory(adjacency, 3, 2, 5, 2)
    with torch.no_grad():
        network.out.normal_()
        network.start.normal_()
        mass = torch.tensor([0.25, 0.5, 0.75])  # on the steps of the method
        low, middle, high = network(mass)
        slope = network.slope(mass[1], middle)
    assert torch.allclose((high - low) / 0.5, slope, atol=0.02)
    assert middle.shape == (3, 2, 2, 2)
    assert torch.equal(network(torch.tensor([-2.0, 0.5]))[1], middle)  # also from the start itself


def test_a_network_at_first_is_the_law() -> None:
    part = OrganPart(OrganConfiguration(members=1), shipped_organs())
    mean, sd = part.at(part.network(), np.array([0.0, 1.0]), 2)
    law = part.laws[-1].mean(np.array([0.0, 1.0])).reshape(mean.shape)
    assert np.array_equal(mean, law)
    assert (sd > 0).all()


def test_one_batch_is_learned_by_heart() -> None:
    """Forty drugs, no shrinkage, no noise: the networks learn their residuals."""
    drugs = some(shipped_animals(), slice(0, 40))
    part = DrugPart(
        DrugConfiguration(folds=2, members=1, hidden=40, shrink=0.0, noise=0.0), drugs, 0
    )
    given = part.tensors()
    torch.manual_seed(0)
    network = part.network()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    first = part.loss(network, given).item()
    for _ in range(400):
        optimizer.zero_grad()
        loss = part.loss(network, given)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first


def test_intervals_cover_as_they_say(trained: tuple[Allometry, Any]) -> None:
    learner, network = trained
    unseen = learner.drugs.unseen(network.drugs, "CL")
    logs = learner.drugs.drugs.CL
    rows = np.isfinite(logs[:, 0]) & (measured(logs) >= 1)
    for level in (0.5, 0.9):
        share = covered(learner.drugs, unseen, "CL", level)[rows].mean()
        assert share == pytest.approx(level, abs=0.02)


def test_a_calibration_holds_what_the_report_says(trained: tuple[Allometry, Any]) -> None:
    learner, network = trained
    shares = calibration(learner.drugs, learner.organs, network)
    for share in shares.values():
        assert (np.diff(share) >= 0).all()
    told = {one.what: one.value for one in organ_figures(learner.organs, network.organs)}
    assert shares["organs"][BANDS.index(0.9)] == told["organs: inside 90% intervals"]
    unseen = learner.drugs.unseen(network.drugs, "CL")
    rows = np.isfinite(learner.drugs.drugs.CL[:, 0]) & (measured(learner.drugs.drugs.CL) >= 1)
    inside = covered(learner.drugs, unseen, "CL", 0.5)[rows].mean()
    assert shares["CL"][BANDS.index(0.5)] == inside
    drawn = calibration_picture(learner.drugs, learner.organs, network).axes[0].lines[1:]
    for line, share in zip(drawn, shares.values(), strict=True):
        assert line.get_ydata() == pytest.approx(100 * share)


def test_more_drugs_help_and_the_picture_says_how_much() -> None:
    drugs = shipped_animals()
    figures = scaling(drugs, 0, folds=2)
    told = {one.what: one.value for one in figures}
    networks = [Figure(f"{x}, 2 species or more: GMFE, network", 2.0, 1) for x in ("CL", "VDss")]
    panels = scaling_picture([*figures, *networks], len(drugs.names)).axes
    for axes, target in zip(panels, ("CL", "VDss"), strict=True):
        values = [told[f"{target}, linear models of {n} drugs: GMFE"] for n in (35, 70, 140, 281)]
        assert axes.containers[0].lines[0].get_ydata() == pytest.approx(values)
        assert values[-1] < values[0]


# ---------------------------------------------------------------- what a user calls


def test_the_shipped_weights() -> None:
    learner, _ = load("allometry")
    assert learner.configuration == Allometry.configurations["shipped"]
    from teorell.learn.trainer import SHIPPED

    assert (SHIPPED / "allometry.safetensors").stat().st_size < 10e6


@pytest.mark.usefixtures("quick")
def test_predictions() -> None:
    table = {
        "NAME": ["a", "b", "c"],
        "rat_CL_mL_min_kg": [30.0, None, 5.0],
        "monkey_CL_mL_min_kg": [12.0, 8.0, None],
        "dog_VDss_L_kg": [1.0, None, 2.0],
    }
    found = prediction.predict(table)
    assert [*found.CL_animals] == [2, 1, 1]
    assert np.isnan(found.human_VDss_L_kg[1])  # no animal has it
    for column in ("human_CL_mL_min_kg", "human_VDss_L_kg"):
        seen = found[column].notna()
        assert (found[f"{column}_low"] < found[column])[seen].all()
        assert (found[column] < found[f"{column}_high"])[seen].all()
    assert not found.trained_on.any()
    wide = prediction.predict(table, level=0.99)
    assert (wide.human_CL_mL_min_kg_high > found.human_CL_mL_min_kg_high).all()
    alone = prediction.predict({name: values[:1] for name, values in table.items()})
    assert alone.human_CL_mL_min_kg[0] == pytest.approx(found.human_CL_mL_min_kg[0], rel=1e-6)


@pytest.mark.usefixtures("quick")
def test_organs() -> None:
    found = prediction.organs([0.02, 70.0, 4000.0])
    liver = found[(found.organ == "liver") & (found.quantity == "volume")]
    assert liver.value.iloc[1] == pytest.approx(1.8, rel=0.4)  # L: ICRP 89
    assert (np.diff(liver.value) > 0).all()
    assert ((found.low < found.value) & (found.value < found.high)).all()
    assert found.exponent.between(0.5, 1.3).all()
    # the local exponent is that of the values
    near = prediction.organs([69.9, 70.1])
    near = near[(near.organ == "liver") & (near.quantity == "volume")].value.to_numpy()
    assert np.log(near[1] / near[0]) / np.log(70.1 / 69.9) == pytest.approx(
        liver.exponent.iloc[1], abs=0.01
    )


@pytest.mark.usefixtures("quick")
def test_a_human_curve() -> None:
    table = {"rat_CL_mL_min_kg": [30.0], "rat_VDss_L_kg": [1.2], "dog_CL_mL_min_kg": [10.0]}
    times = np.concatenate([[0.0], np.geomspace(1e-3, 96.0, 400)])
    dose = tl.Regimen.bolus(5.0, into="venous")
    solution = prediction.human_curve(MIDAZOLAM, table, dose, times)
    clearance = prediction.predict(table).human_CL_mL_min_kg[0] * 73 * 0.06
    assert solution.nca().auc_inf[0] == pytest.approx(5.0 / clearance, rel=0.03)


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_scaled() -> None:
    with pytest.raises(InputError, match="no animal has a clearance"):
        prediction.scaled(MIDAZOLAM, {"rat_VDss_L_kg": [1.0]})
    with pytest.raises(InputError, match="has 2 rows"):
        prediction.scaled(MIDAZOLAM, {"rat_CL_mL_min_kg": [1.0, 2.0]})
    with pytest.warns(tl.InputWarning, match="more than the liver's blood can bring"):
        prediction.scaled(MIDAZOLAM, {"rat_CL_mL_min_kg": [800.0]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drugs_of({"rat_cl_ml_min_kg": [1.0]}), "Did you mean 'rat_CL_mL_min_kg'"),
        (lambda: drugs_of({"human_fup": [0.1]}), "nothing to scale from"),
        (lambda: drugs_of({"rat_CL_mL_min_kg": []}), "no rows"),
        (lambda: drugs_of({"rat_CL_mL_min_kg": ["fast"]}), "row 0 is 'fast'"),
        (lambda: drugs_of({"rat_CL_mL_min_kg": [True]}), "a boolean, not a number"),
        (lambda: drugs_of(RAT | {"dog_CL_mL_min_kg": [1.0] * 9}), "columns of one length"),
        (lambda: drugs_of({"rat_CL_mL_min_kg": [-1.0]}), "no such amount"),
        (lambda: drugs_of(RAT | {"rat_fup": [20.0]}), "above 1"),
        (lambda: drugs_of("nowhere.csv"), "is no file"),
        *(
            (partial(call, level=level), f"level is {level!r}")
            for call in (partial(prediction.predict, RAT), partial(prediction.organs, 1.0))
            for level in ("0.9", np.nan, 0, 1, 1.0, True, None)
        ),
        (lambda: prediction.organs(1e5), "kg, from 0.01 to 5,012"),
        (lambda: prediction.organs(1.0, "rodents"), "Did you mean 'rodent'"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "cannot be read"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "cannot be read"),
        ("text.csv.gz", b"rat_CL_mL_min_kg\n30\n", "cannot be read"),
        ("short.csv.gz", gzip.compress(b"rat_CL_mL_min_kg\n30\n")[:-9], "cannot be read"),
        ("names.csv", b"rat_CL_mL_min_kg\n", "no rows"),
    ],
)
def test_files_that_hold_no_table(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        drugs_of(tmp_path / name)


@pytest.mark.usefixtures("quick")
def test_animals_unlike_those_of_the_training() -> None:
    """Beyond all rats of the training there is a warning, a thousandfold beyond them no answer."""
    most = 10 ** np.nanmax(shipped_animals().CL[:, 1])
    prediction.predict({"rat_CL_mL_min_kg": [most]})
    with pytest.warns(tl.InputWarning, match=r"rat_CL_mL_min_kg of row 1 .* extrapolation"):
        prediction.predict({"rat_CL_mL_min_kg": [1.0, 1.1 * most, None]})
    with pytest.raises(InputError, match=r"row 1 is 1e\+12 .* Look at its unit"):
        prediction.predict({"dog_CL_mL_min_kg": [1.0, 1e12]})
    with pytest.raises(InputError, match=r"monkey_VDss_L_kg of row 0 is 1e-09"):
        prediction.predict({"monkey_VDss_L_kg": [1e-9]})


def test_a_table_with_row_numbers_says_how_to_write_it(tmp_path: Path) -> None:
    pd.DataFrame(RAT).to_csv(tmp_path / "numbered.csv")
    for table in (tmp_path / "numbered.csv", RAT | {"": [0]}):
        with pytest.raises(InputError, match="Write the table with index=False"):
            drugs_of(table)


def test_species_are_in_order_of_mass() -> None:
    organs: Organs = shipped_organs()
    assert (np.diff(organs.mass) > 0).all()
    assert organs.logs.shape == (6, len(organs.organs), 2)
    assert np.isfinite(organs.logs).sum() == 150
    x = np.array([0.0, 1.0, 2.0])
    assert power_law(x, 2 + 3 * x, np.array([5.0]))[0] == pytest.approx(17.0)


def test_human_curves_have_the_gradient_of_differences() -> None:
    curves = HumanCurves([MIDAZOLAM, chemical("fluconazole")])
    which = torch.arange(2)
    x = torch.tensor([[0.6, -0.5], [0.0, -0.2]], dtype=torch.float64, requires_grad=True)
    curves(which, *x).sum().backward()
    step = 1e-3
    for i in np.ndindex(2, 2):
        nudge = torch.zeros_like(x)
        nudge[i] = step
        with torch.no_grad():
            rise = (curves(which, *(x + nudge)).sum() - curves(which, *(x - nudge)).sum()).item()
        assert x.grad is not None
        assert x.grad[i].item() == pytest.approx(rise / (2 * step), rel=0.01, abs=1e-3)


def test_curves_are_learned_by_heart_through_the_solver() -> None:
    """Twofold errors of clearance and volume, of a few drugs: curves alone take them away."""
    error = CurveError(some(shipped_animals(), slice(0, 40)))
    drugs = shipped_animals()
    truth = np.array([drugs.CL[error.rows, 0], drugs.VDss[error.rows, 0]])
    x = torch.from_numpy(truth + np.array([[-0.3], [0.3]])).requires_grad_()
    which = torch.arange(len(error.rows))
    optimizer = torch.optim.Adam([x], 0.03)
    first = error.of(which, *x).detach()
    for _ in range(40):
        optimizer.zero_grad()
        error.of(which, *x).sum().backward()
        optimizer.step()
    last = error.of(which, *x).detach()
    assert (last < 0.2 * first).all()
