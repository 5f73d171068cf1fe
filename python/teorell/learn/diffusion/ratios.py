"""Coordinates in which what adds up does so by construction.

Masses are told as logarithms of ratios to one of them, flows likewise (Aitchison 1982, J R Stat Soc
B 44:139): any coordinates give masses that add up to the body weight and flows that add up to the
cardiac output. Then, step by step, each invertible:

1. What the age makes typical, and for organs and flows what height, body mass index and filtration
   rate make typical at that age, is taken away: a regression on hat functions of age and the
   scores of the others, by sex, fitted to the training people. So is the spread at that age.
2. What is left becomes a rank-normal score, by sex (`scores.py`).
3. Scores of all but age, height, body mass index and filtration rate are whitened, by sex.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from teorell.learn.diffusion.limits import clamped, height_limits, index_limits, limit_of
from teorell.learn.diffusion.scores import MOST, Scores
from teorell.learn.diffusion.vectors import COLUMNS, FLOW_COLUMNS, MASS_COLUMNS

__all__ = ["LOGARITHMS", "PERSON", "Ratios", "logarithms", "rows_of_logarithms"]

_MASSES = slice(COLUMNS.index(MASS_COLUMNS[0]), COLUMNS.index(MASS_COLUMNS[-1]) + 1)
_FLOWS = slice(COLUMNS.index(FLOW_COLUMNS[0]), COLUMNS.index(FLOW_COLUMNS[-1]) + 1)
_FACTORS = slice(_FLOWS.stop, len(COLUMNS))
_OF_MASS, _OF_FLOW = MASS_COLUMNS.index("mass_muscle"), FLOW_COLUMNS.index("flow_muscle")
PERSON = 4  # age, height, body mass index, filtration rate: coordinates of their own
# years: where the hat functions of age stand, closer where people change faster. Pairs are where
# what the sampler knows begins or ends: haematocrit at 1, filtration at 12, and as of adults at 18
AGES = (
    0.0, 0.02, 0.05, 0.083, 0.125, 0.17, 0.25, 0.33, 0.42, 0.5, 0.67, 0.83, 0.99, 1.0, 1.25, 1.5,
    2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 11, 11.95, 12, 13, 14, 15, 16, 17, 17.95, 18,
    19, 20, 22.5, 25, 30, 35, 40, 50, 60, 65, 70, 75, 80,
)  # fmt: skip
LOGARITHMS = len(COLUMNS) - 3  # less sex and the two that the sums tell
_RIDGE = 1e-4  # of a mean square of 1, for features that never differ


class Ratios(nn.Module):
    """(n, len(COLUMNS)) rows of people <-> (n, size) coordinates, float64."""

    size = LOGARITHMS
    weights: Tensor  # (2, features, size): the typical of each coordinate
    spread: Tensor  # (2, ages, size): its variance at ages
    white: Tensor  # (2, size - PERSON, size - PERSON): scores = white @ coordinates

    def __init__(self) -> None:
        super().__init__()
        features = len(AGES) * PERSON + 6
        self.register_buffer("weights", torch.zeros(2, features, self.size, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(2, len(AGES), self.size, dtype=torch.float64))
        others = torch.eye(self.size - PERSON, dtype=torch.float64)
        self.register_buffer("white", others.repeat(2, 1, 1))
        self.scores = Scores(self.size)

    def fit(self, rows: Tensor, odds: Tensor | None = None) -> None:
        """Take typical values, spread, knots and whitening from people.

        odds: (n,) what each counts for, a function of the age; None is 1.
        """
        female, values = rows[:, 0], logarithms(rows)
        odds = torch.ones(len(rows), dtype=torch.float64) if odds is None else odds
        scores = torch.zeros(len(rows), PERSON, dtype=torch.float64)
        for first, last in ((0, 1), (1, 2), (2, 3), (3, 4), (4, self.size)):
            if first:
                self._regress(rows[:, 1], scores, female, values, slice(first, last))
            left = self._standard(values[:, first:last], rows[:, 1], scores, female, first)
            if first < PERSON:
                values[:, first : first + 1] = left
                self.scores.fit(values, female, odds)
                scores[:, first] = self.scores(left, female, first)[:, 0]
            else:
                values[:, first:] = left
        self.scores.fit(values, female, odds)
        found = self.scores(values[:, PERSON:], female, PERSON)
        for sex in (0, 1):
            some = female == sex
            self.white[sex] = torch.linalg.cholesky(torch.cov(found[some].T, aweights=odds[some]))

    def encode(self, rows: Tensor) -> Tensor:
        """(n, size) of rows."""
        female, age, values = rows[:, 0], rows[:, 1], logarithms(rows)
        scores = torch.zeros(len(rows), PERSON, dtype=torch.float64)
        for k in range(PERSON):
            left = self._standard(values[:, k : k + 1], age, scores, female, k)
            scores = scores.index_copy(1, torch.tensor([k]), self.scores(left, female, k))
        left = self._standard(values[:, PERSON:], age, scores, female, PERSON)
        others = self.scores(left, female, PERSON)
        white = torch.empty_like(others)
        for sex in (0, 1):
            some = female == sex
            solved = torch.linalg.solve_triangular(self.white[sex], others[some].T, upper=False)
            white[some] = solved.T
        return torch.cat([scores, white], 1)

    def decode(self, z: Tensor, female: Tensor, *, most: float = MOST) -> Tensor:
        """(n, len(COLUMNS)) of coordinates; female: (n,) 1 or 0. Differentiable by z.

        most: scores are kept within it: nobody is further out than all the training people.
        """
        scores = z[:, :PERSON].clamp(-most, most)
        age = self._age(scores, female)
        told = [self._number(scores, age, female, k) for k in range(1, PERSON)]
        sex = female.long()
        others = torch.einsum("nij,nj->ni", self.white[sex], z[:, PERSON:]).clamp(-most, most)
        left = self.scores.inverse(others, female, PERSON)
        values = self._typical(left, age, scores, female, PERSON)
        logs = torch.cat([age[:, None], torch.stack(told, 1).log(), values], 1)
        return rows_of_logarithms(logs, female)

    def ages(self, female: Tensor, limits: Tensor, uniform: Tensor) -> Tensor:
        """(n,) ages of training people between limits (2,), of a sex (n,) and random numbers (n,)
        between 0 and 1.
        """
        ends = [self.scores(x.expand(len(female), 1), female)[:, 0] for x in limits]
        low, high = (torch.special.ndtr(each) for each in ends)
        score = torch.special.ndtri(low + uniform * (high - low)).clamp(-MOST, MOST)
        return clamped(self._age(score[:, None], female), limits.expand(len(female), 2))

    def held(self, z: Tensor, female: Tensor, limits: Tensor) -> Tensor:
        """The coordinates with age, height, body mass index and gfr moved into limits
        (n, told, 2); all others stay, so that a body moves with the person.
        """
        scores = z[:, :PERSON].clamp(-MOST, MOST)
        age = self._age(scores, female)
        moved = clamped(age, limit_of(limits, "age"))
        again = self.scores(moved[:, None], female)[:, 0]
        scores[:, 0] = torch.where(moved == age, scores[:, 0], again)
        if limits[:, 1:].isinf().all():
            return torch.cat([scores, z[:, PERSON:]], 1)
        height = self._held(scores, moved, female, 1, height_limits(limits))
        self._held(scores, moved, female, 2, index_limits(limits, height))
        self._held(scores, moved, female, 3, limit_of(limits, "gfr"))
        return torch.cat([scores, z[:, PERSON:]], 1)

    def _held(self, scores: Tensor, age: Tensor, female: Tensor, k: int, limits: Tensor) -> Tensor:
        """Number k moved into limits (n, 2), and its score with it."""
        value = self._number(scores, age, female, k)
        moved = clamped(value, limits)
        left = self._standard(moved.log()[:, None], age, scores, female, k)
        again = self.scores(left, female, k)[:, 0]
        scores[:, k] = torch.where(moved == value, scores[:, k], again)
        return moved

    def _age(self, scores: Tensor, female: Tensor) -> Tensor:
        return self.scores.inverse(scores[:, :1], female)[:, 0]

    def _number(self, scores: Tensor, age: Tensor, female: Tensor, k: int) -> Tensor:
        """(n,) height, body mass index or filtration rate of scores."""
        left = self.scores.inverse(scores[:, k : k + 1], female, k)
        return self._typical(left, age, scores, female, k)[:, 0].exp()

    def _standard(
        self, values: Tensor, age: Tensor, scores: Tensor, female: Tensor, k: int
    ) -> Tensor:
        """Values (n, m) from coordinate k on, less the typical, over the spread."""
        if k == 0:
            return values
        typical, sd = self._expected(age, scores, female, k, values.shape[1])
        return (values - typical) / sd

    def _typical(self, left: Tensor, age: Tensor, scores: Tensor, female: Tensor, k: int) -> Tensor:
        """The way back from `_standard`."""
        typical, sd = self._expected(age, scores, female, k, left.shape[1])
        return left * sd + typical

    def _expected(
        self, age: Tensor, scores: Tensor, female: Tensor, k: int, m: int
    ) -> tuple[Tensor, Tensor]:
        """(n, m) each: the typical and the standard deviation of coordinates k to k + m - 1."""
        hats, features = _features(age, scores, k)
        typical = age.new_zeros(len(age), m)
        variance = torch.zeros_like(typical)
        for sex in (0, 1):
            some = (female == sex).double()[:, None]
            typical = typical + some * (features @ self.weights[sex, :, k : k + m])
            variance = variance + some * (hats @ self.spread[sex, :, k : k + m])
        return typical, variance.sqrt()

    def _regress(
        self, age: Tensor, scores: Tensor, female: Tensor, values: Tensor, which: slice
    ) -> None:
        """Least squares of values on features, then of squared residuals on hats of age."""
        hats, features = _features(age, scores, which.start)
        for sex in (0, 1):
            some = female == sex
            y, x, h = values[some, which], features[some], hats[some]
            self.weights[sex, :, which] = _least_squares(x, y)
            squares = (y - x @ self.weights[sex, :, which]) ** 2
            variance = _least_squares(h, squares)
            self.spread[sex, :, which] = torch.maximum(variance, 0.02 * squares.mean(0))


def _features(age: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Hat functions of age (n, ages), and these with the scores before coordinate k, (n, all)."""
    knots = torch.log1p(age.new_tensor(AGES) / 0.5)
    x = torch.log1p(age / 0.5).clamp(knots[0], knots[-1])
    right = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, len(AGES) - 1)
    share = (x - knots[right - 1]) / (knots[right] - knots[right - 1])
    hats = age.new_zeros(len(age), len(AGES))
    hats = hats.scatter(1, right[:, None] - 1, (1 - share)[:, None])
    hats = hats.scatter(1, right[:, None], share[:, None])
    known = torch.arange(PERSON, device=age.device) < k
    h, b, g = (scores.clamp(-MOST, MOST) * known).unbind(1)[1:]
    products = torch.stack([h * h, b * b, g * g, h * b, h * g, b * g], 1)
    parts = [hats, *(hats * each[:, None] for each in (h, b, g)), products]
    return hats, torch.cat(parts, 1)


def _least_squares(x: Tensor, y: Tensor) -> Tensor:
    """(features, m) by normal equations with a little of a ridge."""
    eye = torch.eye(x.shape[1], dtype=torch.float64)
    found: Tensor = torch.linalg.solve(x.T @ x + _RIDGE * len(x) / x.shape[1] * eye, x.T @ y)
    return found


def logarithms(rows: Tensor) -> Tensor:
    """(n, LOGARITHMS): age, and logarithms of all others, parts over one of them."""
    _, age, height, weight, gfr, blood, output = rows[:, :7].unbind(1)
    of_mass, of_flow = rows[:, _MASSES].log(), rows[:, _FLOWS].log()
    alone = [height, weight / height**2, gfr, blood, output / (height * weight).sqrt()]
    return torch.cat(
        [
            age[:, None],
            torch.stack(alone, 1).log(),
            _without(of_mass - of_mass[:, _OF_MASS : _OF_MASS + 1], _OF_MASS),
            _without(of_flow - of_flow[:, _OF_FLOW : _OF_FLOW + 1], _OF_FLOW),
            rows[:, _FACTORS].log(),
        ],
        1,
    )


def rows_of_logarithms(values: Tensor, female: Tensor) -> Tensor:
    """The way back, of (n, LOGARITHMS) and sex (n,): what adds up does so to rounding."""
    age = values[:, 0]
    height, index, gfr = values[:, 1:PERSON].exp().unbind(1)
    values = values[:, PERSON:]
    weight = index * height**2
    output = values[:, 1].exp() * (height * weight).sqrt()
    first, second = 2 + len(MASS_COLUMNS) - 1, 2 + len(MASS_COLUMNS) + len(FLOW_COLUMNS) - 2
    masses = torch.softmax(_with(values[:, 2:first], _OF_MASS), 1) * weight[:, None]
    flows = torch.softmax(_with(values[:, first:second], _OF_FLOW), 1) * output[:, None]
    alone = torch.stack([female, age, height, weight, gfr, values[:, 0].exp(), output], 1)
    return torch.cat([alone, masses, flows, values[:, second:].exp()], 1)


def _without(values: Tensor, k: int) -> Tensor:
    return torch.cat([values[:, :k], values[:, k + 1 :]], 1)


def _with(values: Tensor, k: int) -> Tensor:
    zero = values.new_zeros(len(values), 1)
    return torch.cat([values[:, :k], zero, values[:, k:]], 1)
