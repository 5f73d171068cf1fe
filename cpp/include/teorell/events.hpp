// Doses, infusions, switches, resets and changes of parameters: what happens to one lane at an
// event, and when two times are one event.
#pragma once

#include "workspace.hpp"

namespace teorell {
enum EventKind : std::int32_t {
    bolus = 0,
    infusion_start = 1,
    infusion_end = 2,
    switch_over = 3,
    reset = 4,  // no infusion runs any more; an infusion that it stops has no row for its end
    parameter_change = 5,  // holds from here on; at time 0 what `initial` made of the columns stays
    given = 6  // a bolus that is part of a start: of the conditions that hold after it none acts
};
enum ResetTarget : std::int32_t { to_zero = 0, to_initial = 1 };
}  // namespace teorell

TEORELL_BEGIN

// Times within 8 units in the last place are one event: k * interval and a grid from linspace
// differ by one.
TEORELL_HD TEORELL_INLINE double event_tolerance(double time) {
    return 8.0 * 2.220446049250313e-16 * abs(time);
}

// Lanes, each with a patient and a place among the patient's events.
template <class V>
class EventLanes : protected WorkspaceLanes<V> {
  protected:
    using Base = WorkspaceLanes<V>;
    using Base::Base;
    using Base::W, Base::infinity, Base::m, Base::at, Base::b, Base::ws, Base::lane, Base::tn;

    alignas(Base::alignment) double stop[W];  // the time of the next event
    std::int64_t patient[W], event[W], event_end[W];
    int running[W];      // infusions that have started and not ended
    unsigned steep = 0;  // lanes at whose last event a power of time begins (FirstStep)

    // Everything that lanes keep from step to step beside their workspace: where a time loop is
    // given up and made again (on a device), it goes on with the same.
    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        act(stop), act(patient), act(event), act(event_end), act(running), act(steep);
    }

    TEORELL_HD void seat_events(int l, std::int64_t i) {
        patient[l] = i;
        event[l] = b.event_offsets[i * b.event_offset_stride];
        event_end[l] = b.event_offsets[i * b.event_offset_stride + 1];
        for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = 0.0;
        running[l] = 0;
        steep &= ~(1u << l);
        note_next_event(l);
    }

    TEORELL_HD void note_next_event(int l) {
        stop[l] = event[l] < event_end[l] ? b.event_times[event[l]] : infinity;
    }

    // All that happens at tn, up to event `end`.
    TEORELL_HD TEORELL_APART void apply_events(int l, std::int64_t end) {
        const double now = tn(l), latest = now + event_tolerance(now);
        steep &= ~(1u << l);
        bool stale = false;  // a parameter has changed since the coefficients were prepared
        for (; event[l] < end && b.event_times[event[l]] <= latest; ++event[l]) {
            const std::int32_t target = b.event_targets[event[l]];
            const double value = b.event_values[event[l]];
            switch (b.event_kinds[event[l]]) {
            case bolus:
            case given: lane(at.yn + target, l) += value; break;
            case infusion_start:
                lane(at.rates + target, l) += value, running[l] += value > 0.0;
                break;
            case infusion_end: end_infusion(l, target, value); break;
            case switch_over:
                lane(at.params + at.n_params + target, l) = value, stale = true;
                if (m.steep != nullptr && m.steep[target] != 0) steep |= 1u << l;
                break;
            case parameter_change: lane(at.params + target, l) = value, stale = true; break;
            case reset:
                if (stale && target == to_initial) prepare_again(), stale = false;
                empty(l, target);
                break;
            }
        }
        if (stale) prepare_again();
        note_next_event(l);
    }

    // What rounding leaves of the rates when the last infusion ends is not an infusion.
    TEORELL_HD void end_infusion(int l, std::int32_t target, double value) {
        double& rate = lane(at.rates + target, l);
        rate = rate > value ? rate - value : 0.0;
        if (value > 0.0 && --running[l] == 0) stop_infusions(l);
    }

    TEORELL_HD void stop_infusions(int l) {
        for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = 0.0;
        running[l] = 0;
    }

    TEORELL_HD void empty(int l, std::int32_t target) {
        stop_infusions(l);
        if (target == to_initial) interpret<V>(m.initial, ws);  // into region y, of all lanes
        for (int k = 0; k < at.n; ++k)
            lane(at.yn + k, l) = target == to_initial ? lane(at.y + k, l) : 0.0;
    }

    // prepare reads params and writes coef, in the group's own workspace: other lanes get the
    // values they have.
    TEORELL_HD void prepare_again() { interpret<V>(m.prepare, ws); }
};

TEORELL_END
