"""How far a simulation is: a callable of the user's, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["Progress", "reporting"]

Progress: TypeAlias = Callable[[int, int], None]


@contextmanager
def reporting(progress: bool | Progress | None, patients: int) -> Iterator[Progress | None]:
    """The callable that solve calls; for True a bar by tqdm or rich, whichever is installed, else a
    line of text.
    """
    if progress is None or progress is False:
        yield None
        return
    if progress is not True:
        yield progress
        return
    bar: Any
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        pass
    else:
        with tqdm(total=patients, unit=" patients") as bar:

            def update(done: int, total: int) -> None:
                bar.update(done - bar.n)

            yield update
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        pass
    else:
        with Bar(
            TextColumn("patients"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bar:
            task = bar.add_task("patients", total=patients)
            yield lambda done, total: bar.update(task, completed=done)
        return
    import sys

    yield lambda done, total: print(
        f"\r{done} of {total} patients", end="", file=sys.stderr, flush=True
    )
    print(file=sys.stderr)
