// The forward solve, one patient a team: the time loop of cpp/include/teorell/integrate.hpp, run by
// the leader of a warp, whose steps the whole warp computes.
#pragma once

#include "team.cuh"
#include "teorell/integrate.hpp"

TEORELL_BEGIN

// shared: the workspace of a team, of code.words[0] numbers, lies in the shared memory of its
// block. launch.slots, of a block: solve_slots with that workspace in place of one of at.slots, and
// the workspace once more where it is not shared.
template <class Method, bool shared>
__global__ void solve_patients_by_teams(const __grid_constant__ Programs programs,
                                        const __grid_constant__ Batch batch,
                                        const __grid_constant__ TeamWords code,
                                        const __grid_constant__ Launch launch) {
    TEORELL_SHARED(of_block);
    const std::int64_t slots = code.words[0];
    MemoryEvery<1> memory = memory_of_team(launch);
    KeptEvery<1> numbers{memory.records<double>(kept_slots), true};
    std::int64_t phase;
    numbers(phase);
    if (phase == over) return;
    await_team();  // before the leader may change the phase
    double *workspace = memory.take(slots), *staging = memory.take(programs.at.slots),
           *nodes = memory.take(node_slots(programs.at, batch.reductions.count)),
           *here = shared ? of_block : memory.take(slots);
    using All = Team<Method, shared, false>;
    const All team{programs, {code.words}, here, workspace};
    if (team_lane() != 0) {
        while (team.attend()) {}
        return;
    }
    DeviceQueue queue{launch};
    NoTape nothing;
    Group<TeamLane, Method, ByTeam<All>, DeviceQueue> group(programs, batch, {team}, queue, here,
                                                            staging, nodes, nothing);
    if (phase == fresh) {
        clear_team(programs, batch, here, slots);
        clear_workspace<TeamLane>(programs, batch, staging);
    } else {
        group.each_kept(numbers);
        team.tell(fetch);
    }
    std::int64_t left = launch.steps;
    phase = group.run(left) ? over : solving;
    numbers.next = 0, numbers.read = false;
    numbers(phase);
    if (phase == solving) group.each_kept(numbers);
    team.tell(keep);
    team.tell(leave);
}

TEORELL_END
