"""`tl.Population`: people or animals, number by number, with ids and covariates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import check_flag
from teorell.errors import InputError, count, suggestion
from teorell.html import html_table
from teorell.packages import needed
from teorell.physiology.drawn import WHOLE_BODY, remember
from teorell.physiology.vocabulary import MORE, SHARES, VOCABULARY, unit
from teorell.population.columns import Column, added, check_ids, chosen_people
from teorell.population.draws import check_count, check_seed

__all__ = ["Population"]

PERSON = ("age", "female", "body_weight", "height", "body_mass_index", "haematocrit", "gfr")


class Population:
    """People or animals: name -> (n,) of the numbers of `teorell.physiology.vocabulary`, ids, and
    what else is known of each.

    Make one by `Population.sample`, `Population.from_dataframe`, `read_csv` or `read_pksim`.
    `tl.simulate(model, population, ...)` takes the numbers that the model declares, a ConstraintSet
    those that it asks for; ids and covariates stay with the results.

    Attributes: species; ids (n,); numbers_of, name -> (n,), in the units of `unit`; parameters,
    name -> (n,), of a model, such as clint; covariates, name -> (n,) of numbers or text; units,
    name -> unit of these two; origin, where they are from, in words.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        species: str = "human",
        ids: ArrayLike | None = None,
        parameters: Mapping[str, Column] | None = None,
        covariates: Mapping[str, Column] | None = None,
        units: Mapping[str, str] | None = None,
        origin: str = "",
        drug: str = "",
    ) -> None:
        self.species, self.origin, self._drug = species, origin, drug
        self.columns: Mapping[str, Column] = MappingProxyType(dict(columns))
        self.parameters: Mapping[str, Column] = MappingProxyType(dict(parameters or {}))
        self.covariates: Mapping[str, Column] = MappingProxyType(dict(covariates or {}))
        self.units: Mapping[str, str] = MappingProxyType(dict(units or {}))
        everything = (self.columns, self.parameters, self.covariates)
        sizes = {name: len(column) for each in everything for name, column in each.items()}
        self._people = next(iter(sizes.values()), 0)
        for name, size in sizes.items():
            if size != self._people:
                raise InputError(
                    f"{name!r} has {size} numbers and there are {count(self._people, 'person')} "
                    "(one each is needed). Give all of the same people."
                )
        self.ids: NDArray[Any] = np.arange(self._people) if ids is None else np.asarray(ids)
        check_ids(self.ids, self._people)
        remember(self.parameters, drug)

    @staticmethod
    def sample(
        n: int,
        *,
        species: str = "human",
        age: float | tuple[float, float] | None = None,
        sex: str | None = None,
        bmi: tuple[float, float] | None = None,
        gfr: tuple[float, float] | str | None = None,
        seed: int = 0,
        survey_weights: bool = True,
    ) -> Population:
        """Sample n people, or animals of a `species` of `tl.Body.of`.

        age: years, one number or (least, most), 0 to 100, None is 0 to 80; sex: "male", "female";
        bmi: (least, most) in kg/m2; gfr: (least, most) in mL/min/1.73 m2, or "normal" (90 and
        more), "mild" (60 to 90), "moderate" (30 to 60), "severe" (15 to 30), "failure" (below 15).
        None is as in the people of NHANES 2013-2018 whose sizes, haematocrit and creatinine are
        drawn together (`teorell.population.sample`). seed: the same people for the same seed;
        person i does not depend on n. survey_weights: as often as in the United States; False is
        as often as in the survey, which asked some groups more often than others. Nobody older than
        80 was measured: those of 70 to 79 stand for them, and a warning says so
        (`teorell.population.donors`).

        Animals differ about the species' table, and take no age, sex, bmi or gfr. InputError for
        an unknown species, ranges out of reason, and people of whom nobody was measured.
        """
        from teorell.population.request import requested
        from teorell.population.sample import sampled_animals, sampled_humans

        people, number = check_count(n), check_seed(seed)
        check_flag(survey_weights, "survey_weights")
        wanted = requested(species, age=age, sex=sex, bmi=bmi, gfr=gfr)
        if wanted is None:
            return Population(
                sampled_animals(people, species, number),
                species=species,
                origin=f"sampled about the table of the {species}, seed {number}",
            )
        columns = sampled_humans(people, wanted, number, bool(survey_weights))
        return Population(columns, origin=f"sampled about NHANES 2013-2018, seed {number}")

    @staticmethod
    def from_dataframe(frame: Any, species: str = "human") -> Population:
        """The people of a table, a row each: a DataFrame, or a mapping of columns.

        Either with age (y), female (1 or 0) or sex, height (m) and body_weight (kg), and with
        haematocrit and gfr if known: each gets the typical body of these
        (`teorell.physiology.human`). Or with all masses and flows of
        `teorell.physiology.vocabulary`, which must add up to 0.1 %. A column "id" names them. All
        others are covariates, which a model that declares them reads too. A name may bear its unit,
        "height [m]". InputError, with row and column, for what does not fit.
        """
        from teorell.population.table import parts_of_table

        return Population(**parts_of_table(frame, species)._asdict(), species=species)

    @staticmethod
    def read_csv(path: str | Path, species: str = "human") -> Population:
        """The people of a CSV file, as `to_csv` writes it and `from_dataframe` reads it."""
        from teorell.population.table import parts_of_table
        from teorell.population.table_file import read_columns

        file = Path(path)
        parts = parts_of_table(read_columns(file), species, str(file))
        return Population(**parts._asdict(), species=species, origin=f"read from {file.name}")

    @staticmethod
    def read_pksim(path: str | Path) -> Population:
        """The people of a population that PK-Sim exported as CSV; see
        `teorell.population.pksim`.
        """
        from teorell.population.pksim import read_pksim

        file = Path(path)
        return Population(**read_pksim(file)._asdict(), origin=f"read from {file.name}, of PK-Sim")

    @staticmethod
    def together(some: Iterable[Population], ids: ArrayLike | None = None) -> Population:
        """The people of several populations, one after the other, as one.

        ids: (n,) of all; None keeps theirs where these tell all people apart, and else counts from
        0. InputError where they differ in species, drug, columns or units.
        """
        from teorell.population.together import parts_together

        all_of_them = list(some)
        told = parts_together(all_of_them, Population)
        kept = np.concatenate([each.ids for each in all_of_them])
        if ids is None and np.unique(kept).size == kept.size:
            ids = kept
        return Population(**told, ids=ids)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, a row a person: id, numbers, parameters, covariates; the unit of each
        column in `frame.attrs["units"]`. ImportError without pandas.
        """
        with needed("pandas", "DataFrame", "'teorell[frames]'"):
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        frame = pd.DataFrame({"id": self.ids, **self._everything()})
        frame.attrs["units"] = {name: self.unit(name) for name in self._everything()}
        return frame

    def to_csv(self, path: str | Path) -> Path:
        """Write a CSV file, a row a person, each column with its unit: "height [m]". Numbers are
        written so that they are read back to the last bit.
        """
        from teorell.population.table_file import write_table

        units = {name: self.unit(name) for name in self}
        return write_table(Path(path), self.ids, self._everything(), units)

    def to_pksim(self, path: str | Path) -> Path:
        """Write a CSV file that PK-Sim imports as a population; see `teorell.population.pksim`."""
        from teorell.population.pksim import write_pksim

        return write_pksim(Path(path), self.ids, self.columns, self.covariates)

    def __reduce__(self) -> tuple[Any, ...]:
        told = (self.parameters, self.covariates, self.units)
        return _rebuilt, (
            dict(self.columns), self.species, self.ids, *map(dict, told), self.origin, self._drug
        )  # fmt: skip

    def numbers(self, names: Iterable[str]) -> dict[str, Column]:
        """Those of the names that these people have, and all `parameters`: name -> (n,)."""
        known = {**self.columns, **self.covariates}
        return {name: known[name] for name in names if name in known} | dict(self.parameters)

    def labels(self) -> dict[str, Column]:
        """What stays with results: age, sex, sizes, haematocrit, filtration rate, covariates."""
        own = {name: self.columns[name] for name in PERSON if name in self.columns}
        return own | dict(self.covariates)

    def unit(self, name: str) -> str:
        """The unit of a column, "" where it was not told, "1" for none."""
        return unit(name) if name in VOCABULARY or name in MORE else self.units.get(name, "")

    def check_model(self, name: str) -> None:
        """InputError if parameters were drawn for another drug than that of the model."""
        if self._drug and name.startswith(WHOLE_BODY) and name != WHOLE_BODY + self._drug:
            raise InputError(
                f"these people's {', '.join(self.parameters)} were drawn for {self._drug} and the "
                f"model is {name!r} (another drug's). Draw them with drug= that of the model."
            )

    def with_parameters(
        self, units: Mapping[str, str] | None = None, **columns: ArrayLike
    ) -> Population:
        """These people with parameters of a model, a number or (n,) each; a model that does not
        declare one refuses it.
        """
        return self._with("parameters", columns, units)

    def with_covariates(
        self, units: Mapping[str, str] | None = None, **columns: ArrayLike
    ) -> Population:
        """These people with what else is known of them, numbers or text, (n,) each; it stays with
        results, and a model that declares a parameter of the name reads it.
        """
        return self._with("covariates", columns, units)

    def vary(
        self,
        parameters: Mapping[str, tuple[float, float]],
        *,
        seed: int,
        correlations: Mapping[tuple[str, str], float] | None = None,
        units: Mapping[str, str] | None = None,
        drug: str = "",
    ) -> Population:
        """These people with log-normal parameters: name -> (median, coefficient of variation).

        correlations: (name, name) -> of the logarithms, 0 where not told. drug: the name of the
        drug they are drawn for; a whole-body model of another drug refuses these people. Person i's
        depend on the seed and i alone. InputError for medians that are not above 0, negative
        variation, unknown names, and correlations that contradict each other.
        """
        from teorell.population.variability import log_normal

        drawn = log_normal(len(self), parameters, correlations or {}, check_seed(seed))
        people = self._with("parameters", drawn, units)
        people._drug = drug
        remember(people.parameters, drug)
        return people

    def __getitem__(self, key: Any) -> Any:
        """A column by its name, or some of the people: a slice, a mask, places, or one place."""
        if isinstance(key, str):
            everything = self._everything()
            if key not in everything:
                raise InputError(
                    f"unknown number {key!r} (this population does not have it). "
                    f"{suggestion(key, everything)}"
                )
            return everything[key]
        key = chosen_people(key, len(self))

        def some(columns: Mapping[str, Column]) -> dict[str, Column]:
            return {name: column[key] for name, column in columns.items()}

        if not self.ids[key].size:
            raise InputError("no person is left (a population has one at least). Choose others.")
        return self._same(
            some(self.columns), self.ids[key], some(self.parameters), some(self.covariates)
        )

    def part(self, start: int, stop: int) -> Population:
        """The people start to stop - 1."""
        some: Population = self[start:stop]
        return some

    def keys(self) -> list[str]:
        """The names of all columns."""
        return list(self._everything())

    def __iter__(self) -> Iterator[str]:
        return iter(self._everything())

    def __contains__(self, name: object) -> bool:
        return name in self._everything()

    def __len__(self) -> int:
        return self._people

    def __repr__(self) -> str:
        what = f"{len(self)} {'people' if self.species == 'human' else self.species}"
        more = [self._span(name) for name in ("age", "body_weight") if name in self.columns]
        if "female" in self.columns:
            more.insert(0, f"{100.0 * self.columns['female'].mean():.0f} % female")
        known = f"{count(len(self._everything()), 'number')} each"
        origin = f"; {self.origin}" if self.origin else ""
        return f"<Population: {what}, {', '.join([*more, known])}{origin}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, self.unit(name), *(f"{each:.4g}" for each in _quantiles(column)))
            for name, column in self._everything().items()
            if column.dtype.kind in "fiub" and name not in SHARES[2:]
        ]
        return html_table(repr(self), ("name", "unit", "2.5 %", "median", "97.5 %"), rows)

    def _span(self, name: str) -> str:
        low, high = self.columns[name].min(), self.columns[name].max()
        return f"{name.replace('_', ' ')} {low:.3g} to {high:.3g} {self.unit(name)}"

    def _everything(self) -> dict[str, Column]:
        return {**self.columns, **self.parameters, **self.covariates}

    def _same(
        self,
        columns: Mapping[str, Column],
        ids: NDArray[Any],
        parameters: Mapping[str, Column],
        covariates: Mapping[str, Column],
        units: Mapping[str, str] | None = None,
    ) -> Population:
        return Population(
            columns,
            species=self.species,
            ids=ids,
            parameters=parameters,
            covariates=covariates,
            units=self.units if units is None else units,
            origin=self.origin,
            drug=self._drug,
        )

    def _with(
        self, kind: str, given: Mapping[str, ArrayLike], units: Mapping[str, str] | None
    ) -> Population:
        new = added(given, len(self), text=kind == "covariates")
        other = self.covariates if kind == "parameters" else self.parameters
        for name in new:
            if name in self.columns or name == "id":
                raise InputError(
                    f"{name!r} is a number of the body (nothing else would follow from another). "
                    "Make people with it: Population.from_dataframe."
                )
            if name in other:
                raise InputError(f"{name!r} is there already (which is meant?). Rename it.")
        for name in units or {}:
            if name not in new:
                raise InputError(
                    f"a unit of {name!r} (no column of it is given). {suggestion(name, new)}"
                )
        parameters = {**self.parameters, **(new if kind == "parameters" else {})}
        covariates = {**self.covariates, **(new if kind == "covariates" else {})}
        told = {**self.units, **(units or {})}
        return self._same(self.columns, self.ids, parameters, covariates, told)


def _rebuilt(
    columns: Any, species: str, ids: Any, parameters: Any, covariates: Any, units: Any, origin: str,
    drug: str,
) -> Population:  # fmt: skip
    """A population from what a pickle holds."""
    return Population(
        columns, species=species, ids=ids, parameters=parameters, covariates=covariates,
        units=units, origin=origin, drug=drug,
    )  # fmt: skip


def _quantiles(column: Column) -> list[float]:
    return [float(each) for each in np.quantile(column.astype(np.float64), [0.025, 0.5, 0.975])]
