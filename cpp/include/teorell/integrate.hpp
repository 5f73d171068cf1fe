// The time loop of a group of lanes. Each lane carries one patient with its own time, step size, dose cursor, sample
// cursor, status and counters; a lane that finishes takes the next patient from the queue. Nothing a lane computes
// depends on its neighbours, and samples are read off the dense output, so the grid never changes a step.
#pragma once

#include "batch.hpp"
#include "events.hpp"
#include "interpreter.hpp"
#include "rosenbrock.hpp"
#include "status.hpp"
#include "step_control.hpp"
#include "tape.hpp"

TEORELL_BEGIN

// How many attempts at one point may end below zero before the patient is given up.
constexpr int persistent_negatives = 15;

// A workspace of `width` lanes before its first use.
TEORELL_HD inline void clear_workspace(const Programs& m, const Batch& b, int width, double* w) {
    const Layout& at = m.at;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(at.slots) * width; ++i) w[i] = 0.0;
    const auto fill = [=](std::int32_t slot, double value) {
        for (int l = 0; l < width; ++l) w[slot * width + l] = value;
    };
    for (int i = 0; i < at.n_const; ++i) fill(at.constants + i, m.constants[i]);
    for (int k = 0; k < at.n; ++k) fill(at.atol + k, b.atol[k]);
    fill(at.scalar + s_rtol, b.rtol);
    fill(at.scalar + s_h, 1.0);
}

// Executor: void step(double* ws), rhs(double* ws), outputs(double* ws).   Queue: std::int64_t next() (-1: none left),
// bool cancelled(), void finished().   Record: a Tape, or NoTape.
template <class V, class Method, class Executor, class Queue, class Record = NoTape>
class Group {
    using P = Pack<V>;
    static constexpr int W = P::width;
    static constexpr double infinity = 1e308 * 10.0;

  public:
    // workspace, staging: [slots][W] each, aligned.
    TEORELL_HD Group(const Programs& programs, const Batch& batch, Executor executor, Queue& queue, double* workspace,
                     double* staging, Record& record)
        : m(programs),
          at(programs.at),
          b(batch),
          execute(executor),
          queue(queue),
          record(record),
          ws(workspace),
          side(staging) {
        clear_workspace(m, b, W, ws);
        clear_workspace(m, b, W, side);
    }

    TEORELL_HD void run() {
        for (;;) {
            refill();
            if (active == 0) return;
            if (queue.cancelled()) return abandon();
            advance();
        }
    }

  private:
    const Programs& m;
    const Layout& at;
    const Batch& b;
    Executor execute;
    Queue& queue;
    Record& record;
    double* ws;
    double* side;

    alignas(64) double h[W], stop[W], next_sample[W], steps[W], rejected[W], growth[W];
    std::int64_t patient[W], event[W], event_end[W], sample[W];
    std::int64_t staged[W];
    int negatives[W];
    int running[W];  // infusions that have started and not ended
    int n_staged = 0, next_staged = 0;
    unsigned active = 0;
    unsigned moved = 0;     // lanes that have accepted a step
    unsigned troubled = 0;  // lanes whose last attempts ended below zero

    TEORELL_HD double* slot(std::int32_t s) const { return ws + static_cast<std::int64_t>(s) * W; }
    TEORELL_HD V get(std::int32_t s) const { return P::load(slot(s)); }
    TEORELL_HD void put(std::int32_t s, V v) const { P::store(slot(s), v); }
    TEORELL_HD double& lane(std::int32_t s, int l) const { return slot(s)[l]; }
    TEORELL_HD double& tn(int l) const { return lane(at.scalar + s_tn, l); }
    TEORELL_HD static bool has(unsigned set, int l) { return (set >> l) & 1u; }
    template <class Action>
    TEORELL_HD TEORELL_INLINE static void for_each(unsigned set, Action action) {
        for (; set != 0; set &= set - 1) action(W == 1 ? 0 : __builtin_ctz(set));
    }

    TEORELL_HD TEORELL_INLINE auto values_of(int l) const {
        return [this, l](std::int32_t s) { return slot(s)[l]; };
    }

    // --- patients into lanes -------------------------------------------------------------------------------------

    // Coefficients and initial states of the next W patients, computed together.
    TEORELL_HD bool stage_patients() {
        n_staged = next_staged = 0;
        while (n_staged < W && (staged[n_staged] = queue.next()) >= 0) ++n_staged;
        if (n_staged == 0) return false;
        for (int l = 0; l < W; ++l) load_parameters(side, l, staged[l < n_staged ? l : 0]);
        interpret<V>(m.prepare, side);
        interpret<V>(m.initial, side);
        return true;
    }

    TEORELL_HD void load_parameters(double* w, int l, std::int64_t i) const {
        for (int p = 0; p < at.n_params; ++p) w[(at.params + p) * W + l] = b.columns[p][i * b.column_strides[p]];
        for (int s = 0; s < at.n_switches; ++s) w[(at.params + at.n_params + s) * W + l] = m.switch_before[s];
    }

    TEORELL_HD void refill() {
        constexpr unsigned all = W == 32 ? ~0u : (1u << W) - 1u;
        while (active != all) {
            unsigned fresh = 0;
            for (int l = 0; l < W; ++l) {
                if (has(active, l)) continue;
                if (next_staged == n_staged && !stage_patients()) break;
                seat(l, next_staged++);
                fresh |= 1u << l;
            }
            if (fresh == 0) return;
            start(fresh);
        }
    }

    TEORELL_HD void seat(int l, int from) {
        const std::int64_t i = patient[l] = staged[from];
        for (int k = 0; k < at.n_coef; ++k) lane(at.coef + k, l) = side[(at.coef + k) * W + from];
        for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = 0.0;
        for (int k = 0; k < at.n; ++k) {
            lane(at.yn + k, l) = side[(at.y + k) * W + from];
            lane(at.top + k, l) = 0.0;
        }
        for (int k = 0; k < at.n_params + at.n_switches; ++k) lane(at.params + k, l) = side[(at.params + k) * W + from];
        event[l] = b.event_offsets[i * b.event_offset_stride];
        event_end[l] = b.event_offsets[i * b.event_offset_stride + 1];
        sample[l] = 0;
        steps[l] = rejected[l] = 0.0;
        running[l] = 0;
        tn(l) = 0.0;
        active |= 1u << l;
        moved &= ~(1u << l);
    }

    TEORELL_HD void start(unsigned fresh) {
        for_each(fresh, [this](int l) { stop[l] = event[l] < event_end[l] ? b.event_times[event[l]] : infinity; });
        cross_events(fresh);
    }

    // --- events ----------------------------------------------------------------------------------------------------

    // Lanes at tn: samples before the event, the events there, samples after, and a new first step.
    TEORELL_HD void cross_events(unsigned lanes) {
        for_each(lanes, [this](int l) { record.arrive(patient[l], sample[l], values_of(l)); });
        if (b.before) sample_here(lanes);
        for_each(lanes, [this](int l) { apply_events(l); });
        if (!b.before) sample_here(lanes);
        for_each(lanes, [this](int l) { record.leave(patient[l], sample[l], event[l], values_of(l)); });
        for_each(lanes, [this](int l) {
            if (sample[l] == b.n_times) finish(l, success);
        });
        if (lanes & active) first_step(lanes & active);
    }

    TEORELL_HD void apply_events(int l) {
        const double now = tn(l), latest = now + event_tolerance(now);
        bool coefficients_change = false;
        for (; event[l] < event_end[l] && b.event_times[event[l]] <= latest; ++event[l]) {
            const std::int32_t target = b.event_targets[event[l]];
            const double value = b.event_values[event[l]];
            switch (b.event_kinds[event[l]]) {
            case bolus: lane(at.yn + target, l) += value; break;
            case infusion_start: lane(at.rates + target, l) += value, running[l] += value > 0.0; break;
            case infusion_end: end_infusion(l, target, value); break;
            case switch_over:
                lane(at.params + at.n_params + target, l) = value;
                coefficients_change = true;
                break;
            }
        }
        if (coefficients_change) prepare_again(l);
        stop[l] = event[l] < event_end[l] ? b.event_times[event[l]] : infinity;
    }

    // What rounding leaves of the rates when the last infusion ends is not an infusion.
    TEORELL_HD void end_infusion(int l, std::int32_t target, double value) {
        double& rate = lane(at.rates + target, l);
        rate = rate > value ? rate - value : 0.0;
        if (value > 0.0 && --running[l] == 0)
            for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = 0.0;
    }

    // prepare reads params and writes coef, in the group's own workspace: other lanes get the values they have.
    TEORELL_HD void prepare_again(int) { interpret<V>(m.prepare, ws); }

    // --- samples ---------------------------------------------------------------------------------------------------

    // Samples at tn itself, for lanes that stand at an event (or at the start).
    TEORELL_HD void sample_here(unsigned lanes) {
        for (;;) {
            unsigned due = 0;
            for_each(lanes, [&](int l) {
                const double now = tn(l);
                if (sample[l] < b.n_times && b.times[sample[l]] <= now + event_tolerance(now)) due |= 1u << l;
            });
            if (due == 0) break;
            for (int k = 0; k < m.n_output_states; ++k) put(at.y + m.output_states[k], get(at.yn + m.output_states[k]));
            put(at.scalar + s_t, get(at.scalar + s_tn));
            write_samples(due);
        }
        for_each(lanes, [this](int l) { note_next_sample(l); });
    }

    TEORELL_HD void note_next_sample(int l) { next_sample[l] = sample[l] < b.n_times ? b.times[sample[l]] : infinity; }

    TEORELL_HD double* row(int l) const {
        return b.values + ((patient[l] - b.values_first) * b.n_times + sample[l]) * at.n_out;
    }

    TEORELL_HD void write_samples(unsigned due) {
        if (b.values != nullptr) execute.outputs(ws);
        for_each(due, [this](int l) {
            if (b.values != nullptr)
                for (int o = 0; o < at.n_out; ++o) row(l)[o] = lane(at.out + o, l);
            ++sample[l];
        });
    }

    // Samples inside the accepted step from tn to tn + h, by the dense output. Lanes that end at an event take samples
    // there too if the user asked for the state before it, and leave them for after it otherwise.
    TEORELL_HD void sample_within(unsigned accepted, V t_new, V h_step, unsigned at_event) {
        alignas(64) double limit[W];
        P::store(limit, t_new);
        for_each(at_event, [&](int l) {
            limit[l] =
                b.before ? limit[l] + event_tolerance(limit[l]) : limit[l] - event_tolerance(limit[l]) * 1.0000001;
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
            while (sample[l] < b.n_times && b.times[sample[l]] <= limit[l]) ++sample[l];
            note_next_sample(l);
        });
    }

    TEORELL_HD void interpolate(V theta) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t state = m.output_states[i];
            put(at.y + state, dense_value<V, Method>(at, ws, state, theta, weights));
        }
    }

    // --- one step --------------------------------------------------------------------------------------------------

    TEORELL_HD void advance() {
        const V start = get(at.scalar + s_tn), wanted = P::load(h), end = P::load(stop), remaining = end - start;
        // Also where start + wanted rounds to the end, or to a few units in the last place before it: no step has
        // length 0.
        const auto clipped = (wanted >= remaining * P::broadcast(1.0 - 1e-10)) |
                             (start + wanted >= end * P::broadcast(1.0 - 8.0 * 2.220446049250313e-16));
        const V h_step = select(clipped, remaining, wanted), t_new = select(clipped, end, start + h_step);
        put(at.scalar + s_h, h_step);
        execute.step(ws);

        const V err2 = get(at.scalar + s_err2), valid = get(at.scalar + s_valid), zero = P::broadcast(0.0);
        const auto pivots = get(at.scalar + s_pivot) >= P::broadcast(1e-10) * get(at.scalar + s_ghinv);
        const auto small = err2 <= P::broadcast(1.0);
        const unsigned accepted = active & bits(small & (valid > zero) & pivots);

        // A finite positive argument for the logarithm whatever the step did.
        const V log_error =
            coarse_log2(select(err2 < P::broadcast(1e200), max(err2, P::broadcast(1e-16)), P::broadcast(1e200)));
        const auto accept_mask = P::from_bits(accepted);
        // No growth right after a rejection; a rejected step shrinks.
        const V limit = select(accept_mask, P::load(growth), P::broadcast(Controller::safety));
        const V h_next = h_step * step_factor<V, Method>(log_error, limit);
        P::store(h, select(P::from_bits(active), h_next, P::broadcast(1.0)));
        P::store(growth, select(accept_mask, P::broadcast(Controller::largest), P::broadcast(1.0)));
        P::store(steps, P::load(steps) + select(accept_mask, P::broadcast(1.0), zero));

        const unsigned refused = active & ~accepted;
        if (refused) reject(refused, bits(small), bits(pivots), h_step);
        if (accepted == 0) return;

        const unsigned at_event = accepted & bits(clipped);
        std::int64_t sample_before[W];
        for_each(accepted, [&](int l) { sample_before[l] = sample[l]; });
        sample_within(accepted, t_new, h_step, at_event);
        for_each(accepted, [&](int l) {
            record.step(patient[l], lane(at.scalar + s_h, l), sample[l], sample_before[l], event[l], values_of(l));
        });
        for (int k = 0; k < at.n; ++k) put(at.yn + k, select(accept_mask, get(at.ynew + k), get(at.yn + k)));
        put(at.scalar + s_tn, select(accept_mask, t_new, start));
        moved |= accepted;
        const auto over = P::load(steps) + P::load(rejected) >= P::broadcast(b.max_steps);
        const auto done = P::load(next_sample) > P::broadcast(1.7e308);
        const unsigned ended = accepted & bits(over | done);
        for_each(accepted & troubled, [this](int l) { negatives[l] = 0; });
        troubled &= ~accepted;
        for_each(ended, [this](int l) { finish(l, sample[l] == b.n_times ? success : step_limit); });
        const unsigned crossing = at_event & active;
        if (crossing) cross_events(crossing);
    }

    TEORELL_HD void reject(unsigned refused, unsigned small, unsigned pivots, V h_step) {
        alignas(64) double step[W], err2[W], valid[W];
        P::store(step, h_step);
        P::store(err2, get(at.scalar + s_err2));
        P::store(valid, get(at.scalar + s_valid));
        for_each(refused, [&](int l) {
            rejected[l] += 1.0;
            const bool finite = err2[l] < 1e200 && valid[l] != 0.0;
            const bool below_zero = finite && has(small, l) && valid[l] < 0.0;
            if (!finite)
                h[l] = 0.25 * step[l];
            else if (!has(pivots, l))
                h[l] = 0.5 * step[l];
            else if (below_zero)
                h[l] = 0.25 * step[l];
            if (below_zero) troubled |= 1u << l;
            const double now = tn(l);
            if (below_zero && ++negatives[l] >= persistent_negatives)
                finish(l, negative);
            else if (h[l] < 16.0 * 2.220446049250313e-16 * now + 1e-40)
                finish(l, finite          ? (below_zero ? negative : step_underflow)
                          : has(moved, l) ? became_not_finite
                                          : not_finite_at_start);
            else if (steps[l] + rejected[l] >= b.max_steps)
                finish(l, step_limit);
        });
    }

    // --- first step after the start or an event
    // -----------------------------------------------------------------------

    // Hairer, Norsett & Wanner, Solving ODEs I, II.4: h from the sizes of y, f and a difference of f. Their cap of 100
    // h0 is for explicit methods; the steps spent growing from it were up to 15 % of all at loose tolerances.
    TEORELL_HD void first_step(unsigned lanes) {
        const V zero = P::broadcast(0.0), rtol = P::broadcast(b.rtol), scale = P::broadcast(m.inverse_n_controlled);
        put(at.scalar + s_t, get(at.scalar + s_tn));
        for (int k = 0; k < at.n; ++k) put(at.y + k, get(at.yn + k)), put(at.f + k, zero);
        execute.rhs(ws);
        V d0 = zero, d1 = zero;
        for (int k = 0; k < at.n; ++k) {
            const V y = get(at.yn + k), f = get(at.f + k),
                    weight = P::broadcast(1.0) / fma(rtol, abs(y), get(at.atol + k));
            put(at.ynew + k, f);
            if (!m.controlled[k]) {
                d1 = fma(f - f, f - f, d1);  // NaN where f is not finite, else nothing
                continue;
            }
            d0 = fma(y * weight, y * weight, d0);
            d1 = fma(f * weight, f * weight, d1);
        }
        const unsigned finite = bits(d0 + d1 < P::broadcast(infinity));
        d0 = sqrt(d0 * scale), d1 = sqrt(d1 * scale);
        const auto tiny = (d0 < P::broadcast(1e-5)) | (d1 < P::broadcast(1e-5));
        V h0 = select(tiny, P::broadcast(1e-6), P::broadcast(0.01) * (d0 / d1));
        const V remaining = P::load(stop) - get(at.scalar + s_tn);
        h0 = min(h0, remaining);
        for (int k = 0; k < at.n; ++k) put(at.y + k, fma(h0, get(at.ynew + k), get(at.yn + k))), put(at.f + k, zero);
        put(at.scalar + s_t, get(at.scalar + s_tn) + h0);
        execute.rhs(ws);
        V d2 = zero;
        for (int k = 0; k < at.n; ++k) {
            if (!m.controlled[k]) continue;
            const V df = (get(at.f + k) - get(at.ynew + k)) / fma(rtol, abs(get(at.yn + k)), get(at.atol + k));
            d2 = fma(df, df, d2);
        }
        d2 = sqrt(d2 * scale) / h0;
        const V steepest = max(d1, d2);
        const V guess = P::broadcast(0.01) / select(steepest < P::broadcast(1e100), steepest, P::broadcast(1e100));
        const V root =
            coarse_exp2(P::broadcast(1.0 / (Method::error_order + 1)) * coarse_log2(max(guess, P::broadcast(1e-100))));
        const V h1 = select(steepest <= P::broadcast(1e-15), max(P::broadcast(1e-6), P::broadcast(1e-3) * h0), root);
        const V first = min(P::broadcast(Controller::largest_first) * h0, h1);
        const auto mask = P::from_bits(lanes);
        P::store(h, select(mask, select(first > zero, first, P::broadcast(1e-6)), P::load(h)));
        P::store(growth, select(mask, P::broadcast(Controller::largest_after_first), P::load(growth)));
        for_each(lanes, [&](int l) {
            negatives[l] = 0;
            if (!has(finite, l)) finish(l, has(moved, l) ? became_not_finite : not_finite_at_start);
        });
    }

    // --- the end of a patient ----------------------------------------------------------------------------------------

    TEORELL_HD void finish(int l, Status status) {
        const std::int64_t i = patient[l];
        const double nan = infinity - infinity;
        b.status[i] = status;
        b.failure_time[i] = status == success ? nan : tn(l);
        b.steps[i] = static_cast<std::int64_t>(steps[l]);
        b.rejected[i] = static_cast<std::int64_t>(rejected[l]);
        for (; b.values != nullptr && sample[l] < b.n_times; ++sample[l])
            for (int o = 0; o < at.n_out; ++o) row(l)[o] = nan;
        // The empty lane idles on a harmless state until a patient takes it.
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = 0.0;
        stop[l] = next_sample[l] = infinity;
        h[l] = 1.0;
        active &= ~(1u << l);
        if (status != cancelled) queue.finished();
    }

    TEORELL_HD void abandon() {
        for_each(active, [this](int l) { finish(l, cancelled); });
        for (; next_staged < n_staged; ++next_staged) b.status[staged[next_staged]] = cancelled;
    }
};

TEORELL_END
