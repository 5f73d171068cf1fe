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
from teorell.device.memory import Memory
from teorell.device.team_programs import team_words
from teorell.engine.batch import Batch, Options
from teorell.engine.executors import METHODS
from teorell.memo import Memo

__all__ = [
    "TEXT_OF_TEAMS", "Team", "kernel_of_teams", "slots_of", "teams_for", "teams_pay", "words_of",
]  # fmt: skip

TEXT_OF_TEAMS = '#include "teams.cuh"\n'
FUNCTIONS = ("solve_patients", "pull_patients_back")  # of cuda/kernel.cuh that teams have too
MORE_STATES_THAN = 40  # most_states_held of cuda/emitted.cuh: what a thread holds in registers
TEAMS = 12  # of a multiprocessor at a time: warps of 168 registers a thread
SHARED = 48 * 1024  # bytes of shared memory that every block may have
RESERVED = 1024  # that the system takes of each block beside (NVIDIA, Hopper Tuning Guide)

_words: Memo[NDArray[np.uint32]] = Memo(32)


@dataclass(frozen=True)
class Team:
    """How teams run a model."""

    kernel: str  # as C++ names it
    words: NDArray[np.uint32]  # of team_programs.py
    shared: int  # bytes of shared memory of a team
    more_slots: int  # float64 numbers of a team in the device's memory beyond those of a thread


def teams_pay(patients: int, shared: int, device: Device) -> bool:
    """Has the device a team for every patient at the same time? shared: as Team has it.

    Then nobody waits, and each patient takes fewer rounds than a thread would take instructions.
    """
    driver = device.driver
    at_once = TEAMS
    if shared:
        at_once = min(TEAMS, driver.shared_memory(device.number) // (shared + RESERVED))
    return patients <= at_once * driver.multiprocessors(device.number)


def teams_for(function: str, batch: Batch, options: Options, device: Device) -> Team | None:
    """The teams that should run a batch; None where threads should, each a patient.

    function: as executor.kernel_for takes it.
    """
    programs = batch.programs
    large = programs.layout.n > MORE_STATES_THAN
    if not large or function not in FUNCTIONS or options.executor is not None:
        return None
    try:
        words = _words.get(programs.digest, lambda: team_words(programs))
    except ValueError:  # more slots than a team can number
        return None
    workspace = int(words[0])
    shared = 8 * workspace if 8 * workspace <= SHARED else 0
    if not teams_pay(batch.patients, shared, device):
        return None
    return Team(
        kernel_of_teams(function, options.method, shared > 0),
        words,
        shared,
        (1 if shared else 2) * workspace - programs.layout.slots,
    )


def kernel_of_teams(function: str, method: str, shared: bool) -> str:
    """The kernel of cuda/teams.cuh, as C++ names it. shared: is that where workspaces lie?"""
    on_device = f"teorell::OnDevice<teorell::MethodAt<{METHODS.index(method)}>>"
    return f"teorell::{function}_by_teams<{on_device}, {str(shared).lower()}>"


def words_of(team: Team | None, memory: Memory, stream: int) -> list[NDArray[np.uint8]]:
    """The view of a team's programs, sent to the device, which its kernel takes before Launch."""
    if team is None:
        return []
    places = memory.send([team.words], stream, "programs of the teams")
    return [np.array(places, np.uint64).view(np.uint8)]


def slots_of(team: Team | None, slots: int) -> int:
    """float64 numbers of a team, or of a thread, in the device's memory."""
    return slots if team is None else slots + team.more_slots
