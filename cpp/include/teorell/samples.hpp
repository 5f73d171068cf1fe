// Samples of the lanes of a group: at events and inside steps, by the dense output. They never
// change a step.
#pragma once

#include "events.hpp"
#include "rosenbrock.hpp"

TEORELL_BEGIN

// Lanes, each with a place among the samples of its patient. Executor: as for Group.
template <class V, class Method, class Executor>
class SampleLanes : protected EventLanes<V> {
  protected:
    using Base = EventLanes<V>;
    using P = Pack<V>;
    using Base::get, Base::put, Base::lane, Base::tn, Base::for_each;
    using Base::patient, Base::event, Base::event_end, Base::stop;
    using Base::W, Base::infinity, Base::m, Base::at, Base::b, Base::ws;

    TEORELL_HD SampleLanes(const Programs& programs, const Batch& batch, Executor executor,
                           double* workspace)
        : Base(programs, batch, workspace), execute(executor) {}

    Executor execute;
    alignas(Base::alignment) double next_sample[W];
    std::int64_t sample[W], n_samples[W];  // taken, and in all
    const double* times[W];

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(next_sample), act(sample), act(n_samples), act(times);
    }

    TEORELL_HD void seat_samples(int l) {
        sample[l] = 0;
        n_samples[l] = Base::sample_count(patient[l]);
        times[l] = Base::sample_times(patient[l]);
    }

    // Is the next sample at tn, but not before its place among the events there?
    TEORELL_HD bool due_here(int l) const {
        const double now = tn(l), latest = now + event_tolerance(now);
        if (sample[l] == n_samples[l] || times[l][sample[l]] > latest) return false;
        return b.sample_events == nullptr || event[l] >= event_of_sample(l) || stop[l] > latest;
    }
    // The event before which the next sample is taken.
    TEORELL_HD std::int64_t event_of_sample(int l) const {
        return b.event_offsets[patient[l] * b.event_offset_stride] +
               b.sample_events[b.sample_offsets[patient[l]] + sample[l]];
    }
    // Where records have an order, the events here that come before the next sample here; else all
    // of them.
    TEORELL_HD std::int64_t last_event_now(int l) const {
        const double now = tn(l);
        const bool next_is_here = b.sample_events != nullptr && sample[l] < n_samples[l] &&
                                  times[l][sample[l]] <= now + event_tolerance(now);
        return next_is_here && event_of_sample(l) < event_end[l] ? event_of_sample(l)
                                                                 : event_end[l];
    }

    // Samples at tn itself, for lanes that stand at an event (or at the start).
    TEORELL_HD TEORELL_APART void sample_here(unsigned lanes) {
        for (;;) {
            unsigned due = 0;
            for_each(lanes, [&](int l) { due |= (due_here(l) ? 1u : 0u) << l; });
            if (due == 0) break;
            for (int k = 0; k < m.n_output_states; ++k)
                put(at.y + m.output_states[k], get(at.yn + m.output_states[k]));
            put(at.scalar + s_t, get(at.scalar + s_tn));
            write_samples(due);
        }
        for_each(lanes, [this](int l) { note_next_sample(l); });
    }

    TEORELL_HD void note_next_sample(int l) {
        next_sample[l] = sample[l] < n_samples[l] ? times[l][sample[l]] : infinity;
    }

    TEORELL_HD double* row(int l) const {
        return b.values + (Base::first_row(patient[l], b.values_first) + sample[l]) * at.n_out;
    }

    TEORELL_HD void write_samples(unsigned due) {
        if (b.values != nullptr) execute.outputs(ws);
        for_each(due, [this](int l) {
            if (b.values != nullptr)
                for (int o = 0; o < at.n_out; ++o) row(l)[o] = lane(at.out + o, l);
            ++sample[l];
        });
    }

    // Samples inside the accepted step from tn to tn + h, by the dense output. Lanes that end at an
    // event take samples there too if the user asked for the state before it, and leave them for
    // after it otherwise.
    TEORELL_HD TEORELL_APART void sample_within(unsigned accepted, V t_new, V h_step,
                                                unsigned at_event) {
        alignas(Base::alignment) double limit[W];
        P::store(limit, t_new);
        for_each(at_event, [&](int l) {
            limit[l] = b.before ? limit[l] + event_tolerance(limit[l])
                                : limit[l] - event_tolerance(limit[l]) * 1.0000001;
        });
        if (b.values == nullptr) return skip_samples(accepted, limit);
        const V one = P::broadcast(1.0), start = get(at.scalar + s_tn);
        unsigned due = accepted & bits(P::load(next_sample) <= P::load(limit));
        if (due == 0) return;
        do {
            const V time = P::load(next_sample), theta = min(one, (time - start) / h_step);
            interpolate(theta);
            put(at.scalar + s_t, time);
            write_samples(due);
            unsigned more = 0;
            for_each(due, [&](int l) {
                note_next_sample(l);
                more |= (next_sample[l] <= limit[l] ? 1u : 0u) << l;
            });
            due = more;
        } while (due != 0);
    }

    // Nobody wants the values: the cursors alone move.
    TEORELL_HD void skip_samples(unsigned accepted, const double* limit) {
        for_each(accepted, [&](int l) {
            while (sample[l] < n_samples[l] && times[l][sample[l]] <= limit[l]) ++sample[l];
            note_next_sample(l);
        });
    }

    TEORELL_HD TEORELL_APART void interpolate(V theta) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t state = m.output_states[i];
            put(at.y + state, dense_value<V, Method>(*this, state, theta, weights));
        }
    }
};

TEORELL_END
