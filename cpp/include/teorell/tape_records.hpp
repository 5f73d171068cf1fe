// What is recorded of the forward solve of a patient: for each accepted step its time, length and
// state, what held between events, and where reductions read.
#pragma once

#include <cstdint>

#include "memory.hpp"

TEORELL_BEGIN

struct StepRecord {
    double t, h;
    std::int64_t sample;  // samples taken up to the end of the step
};

// Steps between two events, or at most as many as the ring holds. Its values: the state before and
// after the events at its start, then the infusion rates, the parameters and the switches that hold
// in it.
struct Stretch {
    double t;
    // Cursors after its events; before and after samples.
    std::int64_t first_step, event, sample_before, sample_after;
    // What happens at its start: the surface that the solution passes, the declared event whose
    // action is taken; -1: none.
    std::int32_t crossed, acted;
};

// A point on which a reduction depends: its extremum, or where the output crosses its threshold.
struct Mark {
    std::int64_t step;  // -1: no extremum yet
    double theta;
    double factor;  // of an extremum the slope in time, of a crossing d reduction / d output
    std::int32_t reduction;
};

// Of a step from theta = start on: where a quartic stands for each output that is reduced.
struct Piece {
    std::int64_t step;
    double start, width;
};

struct PatientTape {
    Growing<StepRecord> steps;
    Growing<Piece> pieces;  // of steps that reductions have read
    // The extremum of each reduction (or a mark without a step), then crossings in their order.
    Growing<Mark> marks;
    Growing<Stretch> stretches;
    Growing<double> values;
    double* ring = nullptr;    // [step % ring_steps][state]
    Growing<double> states;    // of a tape that is kept: the memory of its ring, of all steps
    std::int64_t charged = 0;  // bytes of it that the budget has given
    bool dropped = false;      // of a tape to keep: it is not here

    template <class Do>
    void each_array(Do act) {
        act(steps), act(pieces), act(marks), act(stretches), act(values), act(states);
    }
    void release() {
        each_array([](auto& array) { array.release(); });
        charged = 0;
    }
};

TEORELL_END
