"""What partitioning reads of a drug: lipophilicity, ionisation, binding.

An acid or a base that a drug does not have may be left out, or be given as NO_ACID or NO_BASE: a
pKa so far away that its terms vanish to the last bit. So one model serves drugs of any ionisation,
and arrays may hold drugs of different kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from teorell.pbpk.partition.values import Value, ordered, where

__all__ = ["NO_ACID", "NO_BASE", "Chemistry"]

NO_ACID, NO_BASE = 50.0, -50.0  # pKa


@dataclass(frozen=True)
class Chemistry:
    """Of one drug: numbers, arrays or expressions."""

    log_p: Value  # log10 octanol:water partition coefficient of the neutral form
    fu: Value  # fraction unbound in plasma
    acids: tuple[Value, ...] = ()  # pKa of the groups that lose a proton, in any order
    bases: tuple[Value, ...] = ()  # pKa of those that gain one
    # concentration in red cells : that of unbound drug in plasma water; needed by the method of
    # Rodgers & Rowland for bases that acidic phospholipids bind
    cells_to_water: Value | None = None

    @property
    def p(self) -> Value:
        """Octanol:water."""
        return 10.0**self.log_p

    @property
    def oil(self) -> Value:
        """Vegetable oil:water of the neutral form: log P(oil) = 1.115 log P - 1.35, Leo, Hansch &
        Elkins (1971), Chem Rev 71:525-616.
        """
        return 10.0 ** (1.115 * self.log_p - 1.35)

    def ionised(self, ph: Value) -> Value:
        """All ionised forms over the neutral one: Rodgers & Rowland (2006), J Pharm Sci
        95:1238-1257: their X, Y and Z.

        Acids lose protons in the order of rising pKa, bases gain them in that of falling pKa.
        """
        total: Value = 0.0
        for steps in (
            [ph - pka for pka in ordered(self.acids)],
            [pka - ph for pka in reversed(ordered(self.bases))],
        ):
            form: Value = 1.0
            for step in steps:
                form = form * 10.0**step
                total = total + form
        return total

    def fully_ionised(self, ph: Value) -> Value:
        """The form with every group ionised over the neutral one; 0 for a neutral drug.

        Poulin & Theil (2002), J Pharm Sci 91:129-156, count it alone in log D.
        """
        exponent: Value = 0.0
        for pka in self.acids:
            exponent = exponent + where(pka < NO_ACID, ph - pka, 0.0)
        for pka in self.bases:
            exponent = exponent + where(pka > NO_BASE, pka - ph, 0.0)
        return where(self.neutral, 0.0, 10.0**exponent)

    def charges(self, ph: Value) -> list[list[Value]]:
        """Shares of all molecules, [ionised acids][ionised bases], each group by itself."""
        shares: list[list[Value]] = [[1.0]]
        for pka in self.acids:
            none = 1 / (1 + 10.0 ** (ph - pka))
            shares = _another(shares, none)
        lost = [row[0] for row in shares]
        shares = [[1.0]]
        for pka in self.bases:
            none = 1 / (1 + 10.0 ** (pka - ph))
            shares = _another(shares, none)
        gained = [row[0] for row in shares]
        return [[a * b for b in gained] for a in lost]

    @property
    def neutral(self) -> Value:
        """Whether there is neither an acid nor a base."""
        found: Value = 1.0
        for pka in self.acids:
            found = where(pka < NO_ACID, 0.0, found)
        for pka in self.bases:
            found = where(pka > NO_BASE, 0.0, found)
        return found > 0.5

    @property
    def strongest_base(self) -> Value:
        """The highest pKa of a base; NO_BASE without any."""
        return ordered(self.bases)[-1] if self.bases else NO_BASE


def _another(shares: list[list[Value]], none: Value) -> list[list[Value]]:
    """Shares by number of ionised groups, with one group more, of which `none` is not ionised."""
    counted = [row[0] for row in shares]
    more = [0.0] * (len(counted) + 1)
    for k, share in enumerate(counted):
        more[k] = more[k] + share * none
        more[k + 1] = more[k + 1] + share * (1 - none)
    return [[each] for each in more]
