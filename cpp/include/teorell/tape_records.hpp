// What is recorded of the forward solve of a patient: for each accepted step its time, length and
// state, what held between events, and where reductions read.
#pragma once

#include "host_device.hpp"

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

// Array: of T, with `data` and `size`. Row: doubles, one after the other for who reads them.
template <template <class> class Array, class Row_>
struct PatientRecord {
    using Row = Row_;
    Array<StepRecord> steps;
    Array<Piece> pieces;  // of steps that reductions have read
    // The extremum of each reduction (or a mark without a step), then crossings in their order.
    Array<Mark> marks;
    Array<Stretch> stretches;
    Array<double> values;
    Row ring{};  // [step % ring_steps][state]
};

TEORELL_END
