// Gradients, one patient a thread: solved, recorded, and the discrete adjoint along the record.
#pragma once

#include "teorell/reverse.hpp"
#include "walks.cuh"

TEORELL_BEGIN

// launch.slots: gradient_slots. gradient.cotangent is given (there is no loss to call).
template <class Executor>
__global__ void pull_patients_back(const __grid_constant__ Programs programs,
                                   const __grid_constant__ Batch batch,
                                   const __grid_constant__ Gradient gradient,
                                   const __grid_constant__ Launch launch) {
    ThreadMemory memory(launch);
    KeptNumbers kept{memory.records<double>(kept_slots), true};
    double *workspace = memory.take(programs.at.slots), *staging = memory.take(programs.at.slots),
           *pending = memory.take(programs.at.slots),
           *nodes = memory.take(node_slots(programs.at, batch.reductions.count));
    std::int64_t phase;
    kept(phase);
    if (phase == over) return;
    if (phase == fresh) {
        clear_workspace<DeviceLane>(programs, batch, workspace);
        clear_workspace<DeviceLane>(programs, batch, staging);
        clear_workspace<DeviceLane>(programs, batch, pending);
        phase = waiting;
    }
    const DeviceQueue all{launch};
    OnePatient queue{all};
    const Executor executor{programs};
    DeviceTape tape(programs.at, launch.room, memory, batch.reductions.count);
    RecordingGroup<Executor> solve(programs, batch, executor, queue, workspace, staging, nodes,
                                   tape);
    Reverse<DeviceLane, typename Executor::Method, Executor, DeviceTape> walk(
        programs, batch, gradient, executor, tape, workspace, staging, pending);
    walk.read(gradient.cotangent, 0, gradient.strides);
    walk_patients(launch, batch, kept, phase, tape, queue, solve, walk);
}

TEORELL_END
