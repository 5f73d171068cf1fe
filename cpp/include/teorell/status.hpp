// What can go wrong with one patient, a sentence each. A numerical failure is data for that patient
// alone.
#pragma once

#include "host_device.hpp"

namespace teorell {

enum Status : std::int32_t {
    success = 0,
    not_finite_at_start = 1,
    became_not_finite = 2,
    step_underflow = 3,
    step_limit = 4,
    negative = 5,
    cancelled = 6,
    no_steady_state = 7,  // found before the core runs, by simulation/steady_state.py
    sliding = 8,
    n_status = 9
};

inline const char* status_sentence(int status) {
    switch (status) {
    case success: return "success";
    case not_finite_at_start:
        return "the right-hand side or its Jacobian is not finite at the start; check initial "
               "values and divisions by zero (a power of time below 0, as that of a Weibull shape "
               "below 1, is infinite at time 0)";
    case became_not_finite:
        return "the solution became infinite or undefined; check for unbounded growth, or "
               "logarithms and roots of negative values";
    case step_underflow:
        return "the step size fell below the resolution of time; check for a discontinuity in the "
               "state, or loosen rtol and atol";
    case step_limit: return "the step limit was reached; raise max_steps, or loosen rtol and atol";
    case negative:
        return "a non-negative state kept turning clearly negative; let the rate vanish when its "
               "source is empty, tighten rtol and atol, or declare the state signed if it may be "
               "negative";
    case no_steady_state:
        return "no steady state: there is none where more is given than can leave, where what is "
               "given cannot leave or where the states oscillate; elsewhere the search has not "
               "found it; give the doses one by one to see";
    case sliding:
        return "a condition on states has no side to be on, or changes without an end: the rates "
               "of each side, or what an event does, lead back to the other; write what holds "
               "between the two, or give the condition two thresholds";
    case cancelled: return "the run was cancelled before this patient was finished";
    default: return "unknown status";
    }
}

}  // namespace teorell
