// Doses, infusions and switches: what happens to one lane at an event, and when two times are one event.
#pragma once

#include <cstdint>

#include "batch.hpp"
#include "lanes.hpp"

namespace teorell {
enum EventKind : std::int32_t { bolus = 0, infusion_start = 1, infusion_end = 2, switch_over = 3 };
}  // namespace teorell

TEORELL_BEGIN

// Times within 8 units in the last place are one event: k * interval and a grid from linspace differ by one.
TEORELL_HD TEORELL_INLINE double event_tolerance(double time) { return 8.0 * 2.220446049250313e-16 * abs(time); }

TEORELL_END
