// The forward solve, one patient a thread: the time loop of cpp/include/teorell/integrate.hpp with
// one lane as its pack. A thread that finishes a patient takes the next from the queue, as a lane
// does.
#pragma once

#include "teorell/integrate.hpp"
#include "thread.cuh"

TEORELL_BEGIN

static_assert(n_nodes + n_checks == 7, "node_slots in device.hpp counts them");

// launch.slots: solve_slots.
template <class Executor>
__global__ void __launch_bounds__(block, Executor::blocks)
    solve_patients(const __grid_constant__ Programs programs, const __grid_constant__ Batch batch,
                   const __grid_constant__ Launch launch) {
    ThreadMemory memory(launch);
    KeptNumbers kept{memory.records<double>(kept_slots), true};
    double *workspace = memory.take(programs.at.slots), *staging = memory.take(programs.at.slots),
           *nodes = memory.take(node_slots(programs.at, batch.reductions.count));
    std::int64_t phase;
    kept(phase);
    if (phase == over) return;
    DeviceQueue queue{launch};
    NoTape nothing;
    Group<DeviceLane, typename Executor::Method, Executor, DeviceQueue> group(
        programs, batch, Executor{programs}, queue, workspace, staging, nodes, nothing);
    if (phase == fresh) {
        clear_workspace<DeviceLane>(programs, batch, workspace);
        clear_workspace<DeviceLane>(programs, batch, staging);
    } else {
        group.each_kept(kept);
    }
    std::int64_t left = launch.steps;
    phase = group.run(left) ? over : solving;
    kept.next = 0, kept.read = false;
    kept(phase);
    if (phase == solving) group.each_kept(kept);
}

TEORELL_END
