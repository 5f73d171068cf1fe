// Forward sensitivities, one patient a thread: solved, recorded, and all directions along the
// record.
#pragma once

#include "teorell/forward.hpp"
#include "walks.cuh"

TEORELL_BEGIN

// launch.slots: tangent_slots.
template <class Executor>
__global__ void push_patients_forward(const __grid_constant__ Programs programs,
                                      const __grid_constant__ Batch batch,
                                      const __grid_constant__ Tangents tangents,
                                      const __grid_constant__ Launch launch) {
    const Layout& at = programs.at;
    const std::int64_t dots = tangents.directions * (at.n + at.n_coef + at.n_params);
    ThreadMemory memory(launch);
    KeptNumbers kept{memory.records<double>(kept_slots), true};
    double *workspace = memory.take(at.slots), *staging = memory.take(at.slots),
           *nodes = memory.take(node_slots(at, batch.reductions.count)),
           *carried = memory.take(dots), *coming = memory.take(dots),
           *shifts = memory.take(tangents.directions);
    std::int64_t phase;
    kept(phase);
    if (phase == over) return;
    if (phase == fresh) {
        clear_workspace<DeviceLane>(programs, batch, workspace);
        clear_workspace<DeviceLane>(programs, batch, staging);
        phase = waiting;
    }
    const DeviceQueue all{launch};
    OnePatient queue{all};
    const Executor executor{programs};
    DeviceTape tape(at, launch.room, memory, batch.reductions.count);
    RecordingGroup<Executor> solve(programs, batch, executor, queue, workspace, staging, nodes,
                                   tape);
    Forward<DeviceLane, typename Executor::Method, Executor, DeviceTape> walk(
        programs, batch, tangents, executor, tape, workspace, staging, carried, coming, shifts);
    walk_patients(launch, batch, kept, phase, tape, queue, solve, walk);
}

TEORELL_END
