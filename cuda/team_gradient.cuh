// Gradients, one patient a team: what gradient.cuh does by one thread, by the leader of a warp,
// whose steps, and their reverse, the whole warp computes.
#pragma once

#include "team.cuh"
#include "teorell/reverse.hpp"
#include "walks.cuh"

TEORELL_BEGIN

// As solve_patients_by_teams; launch.slots: gradient_slots with the workspace in place of one of
// at.slots.
template <class Method, bool shared>
__global__ void pull_patients_back_by_teams(const __grid_constant__ Programs programs,
                                            const __grid_constant__ Batch batch,
                                            const __grid_constant__ Gradient gradient,
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
           *pending = memory.take(programs.at.slots),
           *nodes = memory.take(node_slots(programs.at, batch.reductions.count)),
           *here = shared ? of_block : memory.take(slots);
    using All = Team<Method, shared, true>;
    const All team{programs, {code.words}, here, workspace};
    if (team_lane() != 0) {
        while (team.attend()) {}
        return;
    }
    if (phase == fresh) {
        clear_team(programs, batch, here, slots);
        clear_workspace<TeamLane>(programs, batch, staging);
        clear_workspace<TeamLane>(programs, batch, pending);
        phase = waiting;
    } else {
        team.tell(fetch);
    }
    const DeviceQueue all{launch};
    OnePatient queue{all};
    const ByTeam<All> executor{team};
    TapeEvery<1> tape(programs.at, launch.room, memory, batch.reductions.count);
    RecordingGroup<ByTeam<All>> solve(programs, batch, executor, queue, here, staging, nodes, tape);
    Reverse<TeamLane, Method, ByTeam<All>, TapeEvery<1>> walk(programs, batch, gradient, executor,
                                                              tape, here, staging, pending);
    walk.read(gradient.cotangent, 0, gradient.strides);
    walk_patients(launch, batch, numbers, phase, tape, queue, solve, walk);
    team.tell(keep);
    team.tell(leave);
}

TEORELL_END
