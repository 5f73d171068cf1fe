// The windows of reductions: what of a step lies in one, and what is integrated there.
#pragma once

#include "events.hpp"

TEORELL_BEGIN

// The part of a step from lo to hi, in theta, that lies in the window of a reduction; empty: lo =
// hi.
struct Part {
    double lo, hi;
    TEORELL_HD bool empty() const { return !(lo < hi); }

    // What of it lies in a piece of the step, in the piece's own x.
    TEORELL_HD Part of_piece(double start, double width) const {
        const double from = (lo - start) / width, to = (hi - start) / width;
        return {from > 0.0 ? from : 0.0, to < 1.0 ? to : 1.0};
    }
};

// Windows and steps that touch within the tolerance of events do not overlap: what happens at the
// end of a window is not in it.
TEORELL_HD inline Part part_of(double start, double end, double t, double t_end, double h) {
    if (start >= t_end - event_tolerance(t_end) || end <= t + event_tolerance(t)) return {0.0, 0.0};
    const bool from_start = start <= t + event_tolerance(t),
               to_end = end >= t_end - event_tolerance(t_end);
    return {from_start ? 0.0 : (start - t) / h, to_end ? 1.0 : (end - t) / h};
}

// An event at the start of a window lies in it, one at the end does not.
TEORELL_HD inline bool in_window(const double* window, double t) {
    return window[0] <= t + event_tolerance(t) && window[1] > t + event_tolerance(t);
}

// What is integrated: the output itself, or 1 where it is above the threshold.
TEORELL_HD inline bool is_integral(std::int32_t kind) { return kind == area || kind == time_above; }
TEORELL_HD inline double integrand(std::int32_t kind, double output, double threshold) {
    return kind == area ? output : output > threshold ? 1.0 : 0.0;
}

TEORELL_END
