// The forward solve, one patient a team: the time loop of cpp/include/teorell/integrate.hpp, run by
// the leader of a warp, whose steps the whole warp computes.
#pragma once

#include "team.cuh"
#include "teorell/integrate.hpp"

TEORELL_BEGIN

// Blocks of one warp. shared: its workspace, of code.words[0] numbers, lies in shared memory.
// launch.slots, of a block: solve_slots with that workspace in place of one of at.slots, and the
// workspace once more where it is not shared.
template <class Method, bool shared>
__global__ void solve_patients_by_teams(const __grid_constant__ Programs programs,
                                        const __grid_constant__ Batch batch,
                                        const __grid_constant__ TeamWords code,
                                        const __grid_constant__ Launch launch) {
    TEORELL_SHARED(of_block);
    const std::int64_t slots = code.words[0];
    double* memory = launch.memory + blockIdx.x * launch.slots;
    KeptEvery<1> kept{{memory}, true};
    std::int64_t phase;
    kept(phase);
    if (phase == over) return;
    await_team();  // before the leader may change the phase
    double *workspace = memory + kept_slots, *staging = workspace + slots,
           *nodes = staging + programs.at.slots,
           *here = shared ? of_block : nodes + node_slots(programs.at, batch.reductions.count);
    const Team<Method, shared> team{programs, {code.words}, here, workspace};
    if (team_lane() != 0) {
        while (team.attend()) {}
        return;
    }
    DeviceQueue queue{launch};
    NoTape nothing;
    Group<double, Method, ByTeam<Method, shared>, DeviceQueue> group(programs, batch, {team}, queue,
                                                                     here, staging, nodes, nothing);
    if (phase == solving) {
        group.each_kept(kept);
        team.tell(fetch);
    }
    std::int64_t left = launch.steps;
    phase = group.run(left) ? over : solving;
    kept.next = 0, kept.read = false;
    kept(phase);
    if (phase == solving) {
        group.each_kept(kept);
        team.tell(keep);
    }
    team.tell(leave);
}

TEORELL_END
