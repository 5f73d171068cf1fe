// The plain views that cross the boundary: what one call of the solver reads and writes.
#pragma once

#include "host_device.hpp"

namespace teorell {

// Numbers that sum up one output of a patient, from `start` to `end`.
enum ReductionKind : std::int32_t { maximum = 0, minimum = 1, time_above = 2, area = 3 };

struct Reductions {
    std::int32_t count;
    const std::int32_t* kinds;    // [count]
    const std::int32_t* outputs;  // [count]
    const std::uint8_t* linear;   // [count] 1: linear in the states, with constant coefficients
    const double* windows;  // [count][patient][3], or [count][3] for all: start, end, threshold
    std::int64_t patients;  // of the windows: 1 for all
    double* values;         // [patient][count]
    double* times;          // [patient][count] when an extremum is reached first, else NaN

    TEORELL_HD const double* window(int k, std::int64_t i) const {
        return windows + 3 * (k * patients + (patients == 1 ? 0 : i));
    }
};

// All times in the model's time unit; row-major arrays.
struct Batch {
    std::int64_t patients;
    const double* const* columns;  // [parameter] -> first element of that parameter's column
    // [parameter] elements from one patient to the next; 0: one value for all.
    const std::int64_t* column_strides;
    // Events of patient i: rows event_offsets[i * s] to event_offsets[i * s + 1], sorted.
    const double* event_times;
    const std::int32_t* event_kinds;
    const std::int32_t* event_targets;
    const double* event_values;
    const std::int64_t* event_offsets;
    std::int64_t event_offset_stride;  // s: 1, or 0 where all patients share one table
    // [n_times] non-decreasing, for all patients; or of each its own, see below.
    const double* times;
    std::int64_t n_times;
    double rtol;
    const double* atol;  // [state]
    double max_steps;    // attempts, rejected ones included
    double max_step;     // no step is longer; may be infinite
    bool before;         // a sample at a dose time sees the state before the dose
    double* values;      // [patient][time][output], or [row][output]; null: nothing is sampled
    std::int64_t values_first;  // the patient of the first row of values
    std::int32_t* status;       // [patient]
    double* failure_time;       // [patient] NaN where status is success
    std::int64_t* steps;        // [patient] accepted
    std::int64_t* rejected;     // [patient]
    std::int32_t* condition;    // [patient] of who slides, the surface; or null
    // Where each patient has times of its own: rows sample_offsets[i] to sample_offsets[i + 1] of
    // times and of values.
    const std::int64_t* sample_offsets;  // [patients + 1]; null: one grid
    // [row] how many of the patient's events come before it, at its time; or null.
    const std::int64_t* sample_events;
    Reductions reductions;
};

// What the adjoint reads and writes beyond the batch. All cotangents are those of one scalar, and
// zero before the call.
struct Gradient {
    const double* cotangent;  // d scalar / d values; null: `loss` gives it for a group of patients
    // Of the cotangent: elements from one patient (of a grid), time or row, output to the next.
    std::int64_t strides[3];
    // Fills slopes [count][time][output] from values of the same shape, NaN after a failure; false
    // cancels the run.
    bool (*loss)(void* context, std::int64_t first, std::int64_t count, const double* values,
                 double* slopes);
    void* context;
    double* parameters;           // [patient][parameter]
    double* initial;              // [patient][state] at time 0, before any event
    double* event_value;          // [row], or [patient][row] where all patients share one table
    double* event_time;           // the same; null: not wanted
    std::int64_t shared_rows;     // rows of the shared table, 0 if each patient has its own
    std::int64_t recorded_steps;  // states kept for one patient; older ones are computed again
    // [patient][reduction] d scalar / d reductions; null: of none. `loss` may write it.
    const double* reduced;
};

// Directions of forward sensitivities, and the derivatives of the values in them.
struct Tangents {
    std::int64_t directions;
    const double* parameters;  // [direction][patient][parameter], or null
    // Elements from one direction, patient to the next; patient 0: one for all.
    std::int64_t parameter_strides[2];
    // [direction][patient][row] or, with tables of their own, [direction][row]; or null.
    const double* event_value;
    const double* event_time;  // the same, or null
    std::int64_t event_strides[2];
    double* values;   // [patient][time][output][direction], or [row][output][direction]
    double* reduced;  // [patient][reduction][direction], zero before the call
};

// What is wanted beyond the values; null where it is not.
struct Derivatives {
    const Gradient* gradient = nullptr;
    const Tangents* tangents = nullptr;
    // Where accepted steps are recorded (KeptTapes); with a gradient, those of the same batch.
    void* kept = nullptr;
};

}  // namespace teorell
