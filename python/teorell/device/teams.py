"""Teams: the threads of a warp that work on one patient together, where that pays.

A thread that has a patient to itself runs every instruction of a step, one after the other, on a
workspace in the device's memory. A team runs rounds of them, some eight times fewer for models of
110 and 225 states, on a workspace in the memory of a multiprocessor; but a device has room for few
teams. So they pay where models are large and patients few (docs/cuda_speed.md has the counts).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.kernel_cache import kernels_of
from teorell.device.launch import run
from teorell.device.memory import Memory
from teorell.device.send import Sent
from teorell.device.team_programs import team_words
from teorell.engine.batch import Batch, Options
from teorell.engine.executors import METHODS
from teorell.engine.views import solve_slots
from teorell.memo import Memo
from teorell.progress import Progress

__all__ = ["TEXT", "Team", "kernel_of_teams", "run_teams", "teams_for", "teams_pay"]

TEXT = '#include "team_solve.cuh"\n'
MORE_STATES_THAN = 40  # most_states_held of cuda/emitted.cuh: what a thread holds in registers
TEAMS = 12  # of a multiprocessor at a time: warps of 168 registers a thread
SHARED = 48 * 1024  # bytes of shared memory that every block may have


_words: Memo[NDArray[np.uint32]] = Memo(32)


@dataclass(frozen=True)
class Team:
    """How teams run a batch."""

    kernel: str  # as C++ names it
    words: NDArray[np.uint32]  # of team_programs.py
    slots: int  # float64 numbers of a team in the device's memory
    shared: int  # bytes of a team in that of a multiprocessor


def teams_pay(batch: Batch, device: Device) -> bool:
    """Is the model large, and has the device a team for every patient at the same time?

    Then nobody waits, and each patient takes fewer rounds than a thread would take instructions.
    """
    teams = TEAMS * device.driver.multiprocessors(device.number)
    return batch.programs.layout.n > MORE_STATES_THAN and batch.patients <= teams


def teams_for(batch: Batch, options: Options, device: Device) -> Team | None:
    """The teams that should run a batch; None where threads should, each a patient."""
    if options.executor is not None or not teams_pay(batch, device):
        return None
    try:
        words = _words.get(batch.programs.digest, lambda: team_words(batch.programs))
    except ValueError:  # more slots than a team can number
        return None
    workspace = int(words[0])
    shared = 8 * workspace <= SHARED
    return Team(
        kernel_of_teams(options.method, shared),
        words,
        solve_slots(batch.programs, len(batch.summary or ()))
        - batch.programs.layout.slots
        + (1 if shared else 2) * workspace,
        8 * workspace if shared else 0,
    )


def kernel_of_teams(method: str, shared: bool) -> str:
    """The kernel of cuda/team_solve.cuh, as C++ names it."""
    on_device = f"teorell::OnDevice<teorell::MethodAt<{METHODS.index(method)}>>"
    return f"teorell::solve_patients_by_teams<{on_device}, {str(shared).lower()}>"


def run_teams(
    team: Team,
    device: Device,
    sent: Sent,
    patients: int,
    memory: Memory,
    stream: int,
    progress: Progress | None = None,
) -> None:
    """Solves a batch that was sent. Raises what launch.run does; ImportError without NVRTC."""
    compiled = kernels_of(TEXT, [team.kernel], device.architecture)
    (words,) = memory.send([team.words], stream, "programs of the teams")
    run(
        device,
        device.driver.function(compiled.code, compiled.names[team.kernel]),
        [sent.programs, sent.batch, np.array([words], np.uint64).view(np.uint8)],
        patients,
        team.slots,
        memory,
        stream,
        progress,
        team=team.shared,
    )
