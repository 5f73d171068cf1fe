"""Teorell's compiled core (cpp/bindings/module.cpp); the wing `engine` is its only caller."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

layout_fields: tuple[str, ...]
struct_layouts: dict[str, tuple[int, dict[str, tuple[int, int]]]]
"""Of each plain view its size, and of its fields (offset, size), in bytes."""

class Model:
    """The programs of a model, copied."""

    def __init__(
        self,
        layout: NDArray[np.int32],
        constants: NDArray[np.float64],
        programs: dict[str, NDArray[np.int32]],
        ft_rows: NDArray[np.int32],
        output_states: NDArray[np.int32],
        controlled: NDArray[np.uint8],
        is_signed: NDArray[np.uint8],
        switch_before: NDArray[np.float64],
        steep: NDArray[np.uint8],
        entries: NDArray[np.int32],
        output_coefs: NDArray[np.int32],
        sampled_states: NDArray[np.int32],
        surface_states: NDArray[np.int32],
        surface_kinds: NDArray[np.uint8],
        action_events: NDArray[np.int32],
        action_states: NDArray[np.int32],
        event_surfaces: NDArray[np.int32],
    ) -> None: ...

class Kept:
    """The accepted steps of a solve, kept until gradients are asked for."""

    def __init__(self, isa: str) -> None: ...
    def prepare(self, patients: int, bytes: int) -> None: ...
    @property
    def there(self) -> int: ...

def solve(
    model: Model,
    *,
    isa: str,
    method: str,
    code: tuple[int, ...] | None,
    threads: int,
    columns: list[NDArray[np.float64]],
    patients: int,
    event_times: NDArray[np.float64],
    event_kinds: NDArray[np.int32],
    event_targets: NDArray[np.int32],
    event_values: NDArray[np.float64],
    event_offsets: NDArray[np.int64],
    times: NDArray[np.float64],
    sample_offsets: NDArray[np.int64] | None,
    sample_events: NDArray[np.int64] | None,
    rtol: float,
    atol: NDArray[np.float64],
    max_steps: float,
    max_step: float,
    before: bool,
    values: NDArray[np.float64],
    status: NDArray[np.int32],
    failure_time: NDArray[np.float64],
    steps: NDArray[np.int64],
    rejected: NDArray[np.int64],
    condition: NDArray[np.int32],
    reductions: dict[str, Any] | None,
    progress: Callable[[int, int], None] | None,
    gradient: dict[str, Any] | None,
    tangents: dict[str, Any] | None,
    kept: Kept | None = ...,
) -> None: ...
def find_steady_states(
    model: Model,
    tangent_model: Model,
    *,
    isa: str,
    method: str,
    code: tuple[int, ...] | None,
    tangent_code: tuple[int, ...] | None,
    threads: int,
    columns: list[NDArray[np.float64]],
    patients: int,
    event_times: NDArray[np.float64],
    event_kinds: NDArray[np.int32],
    event_targets: NDArray[np.int32],
    event_values: NDArray[np.float64],
    event_offsets: NDArray[np.int64],
    times: NDArray[np.float64],
    rtol: float,
    atol: NDArray[np.float64],
    max_steps: float,
    max_step: float,
    search: dict[str, Any],
) -> None: ...
def programs_image(model: Model) -> tuple[bytes, list[tuple[int, NDArray[Any]]]]:
    """The bytes of a model's view, and for each pointer in them its offset and its array."""

def device_slots(
    model: Model, *, reductions: int, room: dict[str, int] | None, directions: int
) -> int:
    """Float64 numbers of one device thread: of a solve (`room` None), a gradient, or tangents."""

def device_column_slots(program: dict[str, Any], constraints: dict[str, Any] | None) -> int:
    """Float64 numbers of one device thread, of map (`constraints` None) or of a projection."""

def solve_matrices(matrices: NDArray[np.float64], right: NDArray[np.float64]) -> None: ...
def find_eigenvalues(
    matrices: NDArray[np.float64], real: NDArray[np.float64], imaginary: NDArray[np.float64]
) -> None: ...
def orthogonalise_rows(matrix: NDArray[np.float64]) -> None: ...
def map(
    program: dict[str, Any],
    *,
    isa: str,
    threads: int,
    columns: list[NDArray[np.float64]],
    outputs: NDArray[np.float64],
) -> None: ...
def project(
    program: dict[str, Any],
    *,
    isa: str,
    threads: int,
    columns: list[NDArray[np.float64]],
    constraints: dict[str, Any],
    scales: list[NDArray[np.float64]],
    values: NDArray[np.float64],
    multipliers: NDArray[np.float64],
    steps: NDArray[np.int32],
) -> None: ...
def run_program(
    isa: str, code: NDArray[np.int32], workspace: NDArray[np.float64], width: int
) -> None: ...
def run_step(
    model: Model,
    isa: str,
    method: str,
    code: tuple[int, ...] | None,
    workspace: NDArray[np.float64],
    width: int,
) -> None: ...
def methods() -> list[str]: ...
def tableau(method: str) -> dict[str, Any]: ...
def instruction_sets() -> list[dict[str, Any]]: ...
def available_threads() -> int: ...
def status_sentences() -> list[str]: ...
