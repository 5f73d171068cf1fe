// The search for steady states of many flows at once, on threads.
#pragma once

#include "engine.hpp"
#include "teorell/attractor.hpp"

namespace teorell {

// A model and its machine code.
struct Solver {
    const Programs& programs;
    MachineCode code;
};

// The flows of one dosing interval, each a patient: from a state, which comes in as boluses at time
// 0, to the only sample, which has all states.
struct IntervalFlows {
    Solver plain, with_tangents;
    // All flows: columns, events of each its own, a sample each, tolerances. Its outcome is unused.
    Batch batch;
    const std::int64_t* inside;  // [flow][state] the row of the event with which it comes in
    const std::int32_t* kept;    // [m] the states that are searched; the others start at zero
    int m;
};

struct Search {
    const double* start;           // [flow][m] the initial states
    const double* least;           // [m] below this size an error counts as absolute
    const std::uint8_t* positive;  // [m] 1: the state cannot be negative
    const std::uint8_t* rhythmic;  // [flow] 1: states may oscillate by themselves
    bool totals;                   // may something keep its value? All of M is needed then
    double* x;                     // [flow][m] the fixed points, NaN where there is none
    std::int32_t* status;          // [flow]
    double* projection;            // [flow][m][m] on what keeps its value; zero before the call
    std::uint8_t* keeps;           // [flow] 1: something does
    std::int64_t* attempts;  // [flow] steps of the solver, rejected ones too; 0 before the call
};

// Fills what a search finds. `watch` and the exceptions are those of `solve`; where it says so,
// statuses are `cancelled`.
void find_attractors(const Kernel& kernel, const IntervalFlows& flows, const Search& search,
                     const std::string& method, int threads,
                     const std::function<bool(std::int64_t)>& watch, Caller& caller);

}  // namespace teorell
