// What one instruction-set build of the core offers to the engine: plain function pointers and
// views.
#pragma once

#include <cstdint>

#include "teorell/batch.hpp"
#include "teorell/columns.hpp"
#include "teorell/program.hpp"
#include "teorell/run.hpp"

namespace teorell {

// Machine code of a model: functions of region scalar in the workspace of a group of `width` lanes.
// Null: interpret.
struct MachineCode {
    void (*step)(double* scalar) = nullptr;
    void (*rhs)(double* scalar) = nullptr;
    void (*outputs)(double* scalar) = nullptr;
    // Of the adjoint: a step without its end, the step reversed, outputs reversed.
    void (*stages)(double* scalar) = nullptr;
    void (*reverse)(double* scalar) = nullptr;
    void (*outputs_vjp)(double* scalar) = nullptr;
    // Of forward sensitivities: the tangent of a step in one direction.
    void (*tangent)(double* scalar) = nullptr;
    int width = 0;
};

struct Kernel {
    const char* name;
    int register_width;
    int interpreter_width;
    bool fma;
    // Works until the queue is empty. workspace: 2 (3 with a gradient) * slots * width doubles, and
    // (n_nodes + n_checks) * n_out * width where there are reductions, aligned to 64 bytes. With a
    // gradient, solves a few patients, then reverses them. False: unknown method or width.
    bool (*work)(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
                 const char* method, const MachineCode& code, Run& run, double* workspace);
    // Works until the queue is empty. workspace: column_memory doubles, aligned to 64 bytes. False:
    // unknown width.
    bool (*map)(const ColumnProgram& program, const Columns& columns, Run& run, double* workspace);
    // The same with a program whose outputs are constraints: the nearest points that satisfy them.
    bool (*project)(const ColumnProgram& program, const Columns& columns,
                    const Constraints& constraints, const Projected& projected, Run& run,
                    double* workspace);
    // Doubles of one thread; constraints are null for map.
    std::int64_t (*column_memory)(const ColumnProgram& program, const Constraints* constraints);
    // Runs one program, or one whole step of a method, over `width` lanes; for tests.
    bool (*interpret)(const std::int32_t* code, double* workspace, int width);
    bool (*step)(const Programs& programs, const char* method, double* workspace, int width);
    // Memory for the steps of a call, as `kept` of Derivatives, or null; made ready for patients
    // and bytes, which is false where there is no memory. `rewind` before each call that reads it:
    // how many patients' steps are there.
    void* (*new_kept)();
    void (*free_kept)(void* kept);
    bool (*prepare_kept)(void* kept, std::int64_t patients, std::int64_t bytes);
    std::int64_t (*rewind_kept)(void* kept);
};

}  // namespace teorell
