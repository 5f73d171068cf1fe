// The plain views of column programs: what one call of map or project reads and writes.
#pragma once

#include "host_device.hpp"

namespace teorell {

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
    const std::int64_t* strides;  // [input] elements from one patient to the next; 0: one for all
    double* outputs;              // [output][patient]
};

// Constraints r of some free inputs of a program, whose outputs are r and then its derivatives, row
// by row.
struct Constraints {
    std::int32_t n_free, n_rows;
    const std::int32_t* free_inputs;  // [n_free]
    const std::uint8_t* equality;     // [n_rows]
    const std::int32_t* row_starts;   // [n_rows + 1] into columns and the derivatives
    const std::int32_t* columns;      // [entry] of the free inputs
    double tolerance;                 // of |r|, or of r > 0
    std::int32_t most_steps;          // of one attempt
    std::int32_t most_attempts;       // 1: from the point itself alone
};

struct Projected {
    const double* const* scales;        // [n_free] -> column of s, positive
    const std::int64_t* scale_strides;  // [n_free]
    double* values;                     // [n_free][patient]
    double* multipliers;  // [n_rows][patient] lambda; 0 where a constraint is not active
    std::int32_t* steps;  // [patient] taken; -1: no point was found
};

}  // namespace teorell
