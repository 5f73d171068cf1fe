// What is told of patients and their constraints: how far outside of each a patient is, and whether
// that violates it; how far a projection has moved a patient, and what holds the patient there.
#pragma once

#include "columns.cuh"

TEORELL_BEGIN

// The outputs of the program are residuals of sides; those of one constraint lie side by side.
// constraint, equality: [side]; read_starts: [side + 1] into reads, inputs that a side reads;
// tolerance: [constraint]. columns.outputs: [constraint][patient] the largest of its sides, of an
// equality its size, NaN where a side reads one. violated: [constraint][patient].
inline __global__ void judge_patients(const __grid_constant__ ColumnProgram program,
                                      const __grid_constant__ Columns columns, std::int64_t count,
                                      const std::int32_t* constraint, const std::uint8_t* equality,
                                      const std::int32_t* read_starts, const std::int32_t* reads,
                                      const double* tolerance, std::uint8_t* violated,
                                      const __grid_constant__ Launch launch) {
    ThreadMemory memory(launch);
    double* ws = memory.take(program.slots);
    const ColumnInterpreter evaluate{program};
    for_columns(program, columns, launch, ws, [&](std::int64_t i) {
        evaluate(ws);
        double worst = 0.0;
        for (std::int64_t k = 0; k < count; ++k) {
            double size = ws[(program.outputs + k) * warp];
            if (equality[k] != 0) size = abs(size);
            for (std::int32_t e = read_starts[k]; e < read_starts[k + 1]; ++e) {
                const double read = ws[(program.inputs + reads[e]) * warp];
                if (read != read) size = read;
            }
            const bool first = k == 0 || constraint[k - 1] != constraint[k];
            if (first || size != size || size > worst) worst = size;
            const std::int64_t place = constraint[k] * columns.patients + i;
            columns.outputs[place] = worst;
            violated[place] = worst <= tolerance[constraint[k]] ? 0 : 1;
        }
    });
}

// distance: [patient] sqrt(sum of ((x - x0) / scale)^2) over the quantities that may move; x0 and
// scale are columns, values and multipliers those of project_patients. holds: [constraint][patient]
// whether a side of it is an equality, or has a multiplier.
inline __global__ void describe_projection(
    std::int64_t patients, std::int64_t free, const double* const* before,
    const std::int64_t* strides, const double* const* scales, const std::int64_t* scale_strides,
    const double* values, double* distance, std::int64_t count, const std::int32_t* constraint,
    const std::uint8_t* equality, const double* multipliers, std::uint8_t* holds) {
    const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < patients; i += threads) {
        double total = 0.0;
        for (std::int64_t j = 0; j < free; ++j) {
            const double moved = (values[j * patients + i] - before[j][i * strides[j]]) /
                                 scales[j][i * scale_strides[j]];
            total += moved * moved;
        }
        distance[i] = sqrt(total);
        for (std::int64_t k = 0; k < count; ++k) {
            const bool first = k == 0 || constraint[k - 1] != constraint[k];
            std::uint8_t& of_all = holds[constraint[k] * patients + i];
            const bool here = equality[k] != 0 || multipliers[k * patients + i] > 0.0;
            of_all = static_cast<std::uint8_t>(here || (!first && of_all != 0));
        }
    }
}

TEORELL_END
