"""What a team of a warp takes of a step, from counts: python bench/device_teams.py

Deals the programs of A, B and models of 110 and 225 states out in rounds, as
teorell/device/team_programs.py does, and counts one step of one patient: rounds, their width, the
lanes that work, barriers; the workspace, and how many fit a multiprocessor; beside it what a thread
that has a patient to itself runs and moves. docs/cuda_speed.md says what follows. Nothing is
measured here.
"""

from __future__ import annotations

import device_bounds
from device_kernels import MODELS, model_of
from teorell.device.team_programs import LANES, rounds_of, team_words
from teorell.device.teams import RESERVED, TEAMS
from teorell.lowering import Programs, instructions, lower

STAGES = device_bounds.STAGES
WHEN = {"jacobian_lu": 1, "df_dt": 1, "rhs": STAGES, "solve": STAGES}  # times a step
# Beside those after rounds: two around the step, one before the factors, one before each rhs, in
# finish two of the votes and one before the sums.
BARRIERS = 2 + 1 + STAGES + 3
SHARED = 228 * 1024  # bytes of a multiprocessor of H100 and H200
LEVEL_2 = 50e6  # bytes


def rounds(programs: Programs, lanes: int) -> tuple[int, int]:
    """Rounds of a step, and the instructions in them."""
    dealt = {name: rounds_of(programs, name, lanes) for name in WHEN}
    return (
        sum(times * len(dealt[name]) for name, times in WHEN.items()),
        sum(times * sum(map(len, dealt[name])) for name, times in WHEN.items()),
    )


def main() -> None:
    print("Rounds of a step by the lanes of a team, and the part of the lanes that work in them\n")
    columns = (8, 16, 32)
    print(f"{'':12}{'instructions':>13}" + "".join(f"{lanes:>8}" + " " * 7 for lanes in columns))
    lowered = {name: lower(model_of(name)) for name in MODELS}
    for name, programs in lowered.items():
        of_thread = sum(
            times * len(list(instructions(getattr(programs, program))))
            for program, times in WHEN.items()
        )
        line = f"{name:12}{of_thread:13,}"
        for lanes in columns:
            count, items = rounds(programs, lanes)
            line += f"{count:8}{items / count / lanes:7.0%}"
        print(line)

    print(f"\nA team of {LANES}\n")
    print(
        f"{'':12}{'width':>7}{'barriers':>9}{'slots':>7}{'KB':>7}{'at once':>9}{'words, KB':>10}"
        f"{'thread: KB a step':>18}{'in level 2':>11}"
    )
    for name, programs in lowered.items():
        count, items = rounds(programs, LANES)
        words = team_words(programs)
        own = 8 * int(words[0])
        at_once = min(TEAMS, SHARED // (own + RESERVED))
        moved = device_bounds.interpreted_step(programs).bytes / 1000
        print(
            f"{name:12}{items / count:7.1f}{count + BARRIERS:9}{words[0]:7}{own / 1024:7.1f}"
            f"{at_once:9}{words.nbytes / 1024:10.1f}{moved:18.1f}"
            f"{LEVEL_2 / (8 * programs.layout.slots):11,.0f}"
        )


if __name__ == "__main__":
    main()
