// What one instruction-set build of the core offers to the engine: plain function pointers and
// views.
#pragma once

#include <cstdint>

#include "teorell/batch.hpp"
#include "teorell/program.hpp"
#include "teorell/projection.hpp"

namespace teorell {

// The queue of patients and the state of the run, shared by all threads; accessed through __atomic
// builtins.
struct Run {
    std::int64_t patients = 0;
    std::int64_t next = 0;      // first patient not yet taken
    std::int64_t finished = 0;  // patients with a result
    int cancel = 0;
};

// Machine code of a model: functions of the workspace of a group of `width` lanes. Null: interpret.
struct MachineCode {
    void (*step)(double* workspace) = nullptr;
    void (*rhs)(double* workspace) = nullptr;
    void (*outputs)(double* workspace) = nullptr;
    void (*stages)(double* workspace) =
        nullptr;  // of the adjoint: a step without its end, and the step reversed
    void (*reverse)(double* workspace) = nullptr;
    void (*outputs_vjp)(double* workspace) = nullptr;
    void (*tangent)(double* workspace) =
        nullptr;  // of forward sensitivities: the tangent of a step in one direction
    int width = 0;
};

// One program for many patients: a number of each column in, numbers of the patient out.
struct ColumnProgram {
    const std::int32_t* code;
    void (*machine)(double* workspace);              // null: interpret
    int width;                                       // of the machine code
    std::int32_t slots, constants, inputs, outputs;  // first slots
    std::int32_t n_constants, n_inputs, n_outputs;
    const double* constant_values;
};

struct Columns {
    std::int64_t patients;
    const double* const* inputs;  // [input] -> first element of its column
    const std::int64_t*
        strides;      // [input] elements from one patient to the next; 0: one value for all
    double* outputs;  // [output][patient]
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
    std::int64_t (*column_memory)(const ColumnProgram& program,
                                  const Constraints* constraints);  // null: of map
    // Runs one program, or one whole step of a method, over `width` lanes; for tests.
    bool (*interpret)(const std::int32_t* code, double* workspace, int width);
    bool (*step)(const Programs& programs, const char* method, double* workspace, int width);
};

}  // namespace teorell
