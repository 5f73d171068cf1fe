// The plain views that cross the boundary: what one call of the solver reads and writes.
#pragma once

#include <cstdint>

namespace teorell {

// All times in the model's time unit; row-major arrays.
struct Batch {
    std::int64_t patients;
    const double* const* columns;        // [parameter] -> first element of that parameter's column
    const std::int64_t* column_strides;  // [parameter] elements from one patient to the next; 0: one value for all
    const double* event_times;  // events of patient i: rows event_offsets[i * s] to event_offsets[i * s + 1], sorted
    const std::int32_t* event_kinds;
    const std::int32_t* event_targets;
    const double* event_values;
    const std::int64_t* event_offsets;
    std::int64_t event_offset_stride;  // s: 1, or 0 where all patients share one table
    const double* times;               // [n_times] non-decreasing
    std::int64_t n_times;
    double rtol;
    const double* atol;      // [state]
    double max_steps;        // attempts, rejected ones included
    bool before;             // a sample at a dose time sees the state before the dose
    double* values;          // [patient][time][output]
    std::int32_t* status;    // [patient]
    double* failure_time;    // [patient] NaN where status is success
    std::int64_t* steps;     // [patient] accepted
    std::int64_t* rejected;  // [patient]
};

}  // namespace teorell
