// Column programs, one patient a thread: their outputs (penalties, violations), or the nearest
// point that satisfies the constraints that these are. A launch stops between patients.
#pragma once

#include "teorell/projection.hpp"
#include "thread.cuh"

TEORELL_BEGIN

// A column program interpreted; the machine code of a host is none of a device.
struct ColumnInterpreter {
    const ColumnProgram& program;
    TEORELL_HD void operator()(double* ws) const { interpret<DeviceLane>(program.code, ws); }
};

// `with(patient)` for some patients, whose inputs lie in the workspace.
template <class With>
TEORELL_HD void for_columns(const ColumnProgram& p, const Columns& c, const Launch& launch,
                            double* ws, With with) {
    for (std::int64_t k = 0; k < p.slots; ++k) ws[k * warp] = 0.0;
    for (std::int64_t k = 0; k < p.n_constants; ++k)
        ws[(p.constants + k) * warp] = p.constant_values[k];
    const DeviceQueue queue{launch};
    for (std::int64_t left = launch.steps; left > 0 && !queue.cancelled(); --left) {
        const std::int64_t i = queue.next();
        if (i < 0) return;
        for (std::int64_t k = 0; k < p.n_inputs; ++k)
            ws[(p.inputs + k) * warp] = c.inputs[k][i * c.strides[k]];
        with(i);
        queue.finished();
    }
}

// launch.slots: map_slots.
template <class Executor = ColumnInterpreter>
__global__ void map_patients(const __grid_constant__ ColumnProgram program,
                             const __grid_constant__ Columns columns,
                             const __grid_constant__ Launch launch) {
    ThreadMemory memory(launch);
    double* ws = memory.take(program.slots);
    const Executor evaluate{program};
    for_columns(program, columns, launch, ws, [&](std::int64_t i) {
        evaluate(ws);
        for (std::int64_t k = 0; k < program.n_outputs; ++k)
            columns.outputs[k * columns.patients + i] = ws[(program.outputs + k) * warp];
    });
}

// launch.slots: map_slots, and Projector<DeviceLane>::memory.
template <class Executor = ColumnInterpreter>
__global__ void project_patients(const __grid_constant__ ColumnProgram program,
                                 const __grid_constant__ Columns columns,
                                 const __grid_constant__ Constraints constraints,
                                 const __grid_constant__ Projected projected,
                                 const __grid_constant__ Launch launch) {
    ThreadMemory memory(launch);
    double* ws = memory.take(program.slots);
    Projector<DeviceLane> projector(constraints, projected, columns.patients,
                                    memory.in_a_row(Projector<DeviceLane>::memory(constraints)));
    const Executor evaluate{program};
    for_columns(program, columns, launch, ws, [&](std::int64_t i) {
        projector.run(i, 1, ws, program.inputs, program.outputs, evaluate);
    });
}

TEORELL_END
