"""Virtual people from a constrained diffusion model: `generate`.

>>> from teorell.learn.diffusion import generate
>>> people = generate(1000, sex="female", age=(65, 80), bmi=(30, 45), gfr=(45, 60))

`docs/diffusion.md` says what it learns from, how good it is, and what it must not be used for.
"""

from __future__ import annotations

from teorell.learn.diffusion.generate import generate

__all__ = ["generate"]
