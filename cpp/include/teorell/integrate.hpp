// The time loop of a group of lanes. Each lane carries one patient with its own time, step size,
// dose cursor, sample cursor, status and counters; a lane that finishes takes the next patient from
// the queue. Nothing a lane computes depends on its neighbours, and samples are read off the dense
// output, so the grid never changes a step.
#pragma once

#include "actions.hpp"
#include "no_tape.hpp"
#include "status.hpp"
#include "step_control.hpp"

TEORELL_BEGIN

// How many attempts at one point may end below zero before the patient is given up.
constexpr int persistent_negatives = 15;

// Executor: void step(double* ws), rhs(double* ws), outputs(double* ws).   Queue: std::int64_t
// next() (-1: none left), bool cancelled(), void finished().   Record: a Tape, or NoTape.
template <class V, class Method, class Executor, class Queue, class Record = NoTape>
class Group : ActionLanes<V, Method, Executor> {
    using Base = ActionLanes<V, Method, Executor>;
    using P = Pack<V>;
    using Base::get, Base::put, Base::lane, Base::in, Base::tn, Base::has, Base::for_each;
    using Base::landed, Base::settled, Base::torn, Base::due;
    using Base::patient, Base::event, Base::stop, Base::sample, Base::n_samples, Base::next_sample;
    using Base::W, Base::infinity, Base::m, Base::at, Base::b, Base::ws, Base::execute;

  public:
    // workspace, staging: [slots][W] each, aligned; nodes: [n_nodes + n_checks][n_out][W], where
    // there are reductions.
    TEORELL_HD Group(const Programs& programs, const Batch& batch, Executor executor, Queue& queue,
                     double* workspace, double* staging, double* nodes, Record& record)
        : Base(programs, batch, executor, workspace, nodes),
          queue(queue),
          record(record),
          side(staging) {
        Base::clear_new(side);
    }

    TEORELL_HD void run() {
        for (;;) {
            refill();
            if (active == 0) return;
            if (queue.cancelled()) return abandon();
            advance();
        }
    }

    // The same for at most so many steps, which are counted down; false: patients are left.
    TEORELL_HD bool run(std::int64_t& left) {
        for (;;) {
            refill();
            if (active == 0) return true;
            if (queue.cancelled()) return abandon(), true;
            if (left == 0) return false;
            --left;
            advance();
        }
    }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(h), act(steps), act(rejected), act(growth), act(staged), act(negatives), act(n_staged),
            act(next_staged), act(active), act(moved), act(troubled);
    }

  private:
    Queue& queue;
    Record& record;
    double* side;

    alignas(Base::alignment) double h[W], steps[W], rejected[W], growth[W];
    std::int64_t staged[W];
    int negatives[W];
    int n_staged = 0, next_staged = 0;
    unsigned active = 0;
    unsigned moved = 0;     // lanes that have accepted a step
    unsigned troubled = 0;  // lanes whose last attempts ended below zero

    TEORELL_HD TEORELL_INLINE auto values_of(int l) const {
        return [this, l](std::int32_t s) { return lane(s, l); };
    }

    // --- patients into lanes

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
        for (int p = 0; p < at.n_params; ++p)
            in(w, at.params + p, l) = b.columns[p][i * b.column_strides[p]];
        for (int s = 0; s < at.n_switches; ++s)
            in(w, at.params + at.n_params + s, l) = m.switch_before[s];
    }

    TEORELL_HD TEORELL_APART void refill() {
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
            if (at.n_events > 0) Base::find_sides(fresh);
            Base::note_conditions(fresh, true);
            cross_events(fresh);
        }
    }

    TEORELL_HD void seat(int l, int from) {
        for (int k = 0; k < at.n_coef; ++k) lane(at.coef + k, l) = in(side, at.coef + k, from);
        for (int k = 0; k < at.n; ++k) {
            lane(at.yn + k, l) = in(side, at.y + k, from);
            lane(at.top + k, l) = 0.0;
        }
        for (int k = 0; k < at.n_params + at.n_switches; ++k)
            lane(at.params + k, l) = in(side, at.params + k, from);
        Base::seat_events(l, staged[from]);
        Base::seat_samples(l);
        Base::seat_reductions(l);
        Base::seat_sides(l);
        Base::seat_actions(l);
        steps[l] = rejected[l] = 0.0;
        tn(l) = 0.0;
        active |= 1u << l;
        moved &= ~(1u << l);
    }

    // --- events

    // Lanes at tn: samples before the event, the events there, samples after, and a new first step.
    // Where records have an order, samples lie between events: each is a crossing of its own,
    // without a step between. So is the passing of a surface, which comes before the events there.
    TEORELL_HD TEORELL_APART void cross_events(unsigned lanes) {
        for (unsigned left = lanes; left != 0;) {
            for_each(left, [this](int l) {
                record.arrive(patient[l], sample[l], has(due, l) ? -1 : Base::crossed(l),
                              Base::action(l), values_of(l));
            });
            if (b.before) Base::sample_here(left);
            const unsigned acting = left & due, passing = left & landed & ~acting,
                           others = left & ~acting & ~passing;
            for_each(acting, [this](int l) { Base::act(l); });
            for_each(passing, [this](int l) { Base::cross_surface(l); });
            for_each(others, [this](int l) { Base::apply_events(l, Base::events_at_once(l)); });
            Base::find_sides(others);
            Base::steep &= ~(acting | passing);
            landed = (landed & ~passing) | Base::next_surface(passing);
            Base::note_conditions(left);
            if (!b.before)
                Base::sample_here((others | without_event(acting | passing)) & ~due & ~torn &
                                  ~(passing & landed));
            for_each(left, [this](int l) {
                record.leave(patient[l], sample[l], event[l], values_of(l));
            });
            for_each(left & torn, [this](int l) { finish(l, sliding); });
            for_each(left, [&](int l) {
                if (has(active & (due | (passing & landed)), l)) return;
                if (has(active, l) && sample[l] == n_samples[l] && Base::windows_over(l))
                    finish(l, success);
                const double now = tn(l);
                if (!has(active, l) || stop[l] > now + event_tolerance(now)) left &= ~(1u << l);
            });
        }
        const unsigned going = lanes & active, held = Base::keep_pace(going);
        if (going & ~held) first_step(going & ~held);
        for_each(held, [this](int l) { h[l] = h[l] < Base::pace[l] ? h[l] : Base::pace[l]; });
    }

    TEORELL_HD unsigned without_event(unsigned lanes) const {
        unsigned result = 0;
        for_each(lanes, [&](int l) {
            result |= (stop[l] > tn(l) + event_tolerance(tn(l)) ? 1u : 0u) << l;
        });
        return result;
    }

    // --- one step

    TEORELL_HD void advance() {
        const V start = get(at.scalar + s_tn), end = P::load(stop), remaining = end - start,
                wanted = min(P::load(h), P::broadcast(b.max_step));
        // Also where start + wanted rounds to the end, or to a few units in the last place before
        // it: no step has length 0.
        const auto clipped =
            (wanted >= remaining * P::broadcast(1.0 - 1e-10)) |
            (start + wanted >= end * P::broadcast(1.0 - 8.0 * 2.220446049250313e-16));
        const V h_step = select(clipped, remaining, wanted),
                t_new = select(clipped, end, start + h_step);
        put(at.scalar + s_h, h_step);
        execute.step(ws);

        const V err2 = get(at.scalar + s_err2), valid = get(at.scalar + s_valid),
                zero = P::broadcast(0.0);
        const auto pivots =
            get(at.scalar + s_pivot) >= P::broadcast(1e-10) * get(at.scalar + s_ghinv);
        const auto small = err2 <= P::broadcast(1.0);
        const unsigned good = active & bits(small & (valid > zero) & pivots),
                       again = Base::look(good, t_new, h_step), accepted = good & ~again;

        // A finite positive argument for the logarithm whatever the step did.
        const V log_error = coarse_log2(select(
            err2 < P::broadcast(1e200), max(err2, P::broadcast(1e-16)), P::broadcast(1e200)));
        const auto accept_mask = P::from_bits(accepted);
        // No growth right after a rejection; a rejected step shrinks.
        const V limit = select(accept_mask, P::load(growth), P::broadcast(Controller::safety));
        const V h_next = h_step * step_factor<V, Method>(log_error, limit);
        P::store(h, select(P::from_bits(active), h_next, P::broadcast(1.0)));
        P::store(growth, select(accept_mask, P::broadcast(Controller::largest), P::broadcast(1.0)));
        for_each(accepted & Base::steep, [this](int l) {
            const double most = steep_growth(b.rtol);
            growth[l] = growth[l] < most ? growth[l] : most;
        });
        P::store(steps, P::load(steps) + select(accept_mask, P::broadcast(1.0), zero));

        const unsigned refused = active & ~good;
        if (refused) reject(refused, bits(small), bits(pivots), h_step);
        if (again) take_again(again);
        const unsigned standing = landed & ~accepted;
        if (accepted == 0) return cross_events(standing & active);

        const unsigned at_event = accepted & (bits(clipped) | landed);
        std::int64_t sample_before[W];
        for_each(accepted, [&](int l) { sample_before[l] = sample[l]; });
        Base::sample_within(accepted, t_new, h_step, at_event);
        if (b.reductions.count > 0) Base::reduce(accepted, t_new, h_step, record);
        typename Record::Row states[W] = {};
        for_each(accepted, [&](int l) {
            states[l] = record.step(patient[l], lane(at.scalar + s_h, l), sample[l],
                                    sample_before[l], event[l], values_of(l));
        });
        record.template states<W>(Base::slot(at.yn), states);
        for (int k = 0; k < at.n; ++k)
            put(at.yn + k, select(accept_mask, get(at.ynew + k), get(at.yn + k)));
        put(at.scalar + s_tn, select(accept_mask, t_new, start));
        moved |= accepted;
        if (at.n_surfaces > 0) settle_sides(accepted, settled & ~at_event);
        const auto over = P::load(steps) + P::load(rejected) >= P::broadcast(b.max_steps);
        const auto done =
            (P::load(next_sample) > P::broadcast(1.7e308)) & (t_new >= Base::windows_end());
        const unsigned ended = accepted & bits(over | done);
        for_each(accepted & troubled, [this](int l) { negatives[l] = 0; });
        troubled &= ~accepted;
        const unsigned complete = bits(done);
        for_each(ended, [&](int l) { finish(l, has(complete, l) ? success : step_limit); });
        const unsigned crossing = (at_event | standing) & active;
        if (crossing) cross_events(crossing);
    }

    // Lanes whose step goes over a surface: it should end there.
    TEORELL_HD void take_again(unsigned lanes) {
        for_each(lanes, [this](int l) {
            h[l] = Base::target[l];
            rejected[l] += 1.0;
            if (steps[l] + rejected[l] >= b.max_steps) finish(l, step_limit);
        });
    }

    // After a step that has ended: sides that have changed without an effect.
    TEORELL_HD void settle_sides(unsigned taken, unsigned changed) {
        Base::leave_bands(taken);
        for_each(changed,
                 [this](int l) { record.arrive(patient[l], sample[l], -1, -1, values_of(l)); });
        Base::change_sides(changed);
        for_each(changed,
                 [this](int l) { record.leave(patient[l], sample[l], event[l], values_of(l)); });
    }

    TEORELL_HD TEORELL_APART void reject(unsigned refused, unsigned small, unsigned pivots,
                                         V h_step) {
        alignas(Base::alignment) double step[W], err2[W], valid[W];
        P::store(step, h_step);
        P::store(err2, get(at.scalar + s_err2));
        P::store(valid, get(at.scalar + s_valid));
        unsigned undefined = 0;
        Base::give_up_landing(refused);
        for_each(refused, [&](int l) {
            rejected[l] += 1.0;
            const bool finite = err2[l] < 1e200 && valid[l] != 0.0;
            const bool below_zero = finite && has(small, l) && valid[l] < 0.0;
            if (!finite)
                h[l] = 0.25 * step[l], undefined |= 1u << l;
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
        Base::cross_here(undefined & active);
    }

    // --- first step after the start or an event

    TEORELL_HD TEORELL_APART void first_step(unsigned lanes) {
        const FirstStep<V> first = find_first_step<V, Method>(*this, b, execute, stop);
        const auto mask = P::from_bits(lanes);
        P::store(h, select(mask, first.h, P::load(h)));
        P::store(growth,
                 select(mask, P::broadcast(Controller::largest_after_first), P::load(growth)));
        for_each(lanes & Base::steep, [this](int l) {
            h[l] *= 10.0 * b.rtol < 1.0 ? 10.0 * b.rtol : 1.0;
            growth[l] = steep_growth(b.rtol);
        });
        for_each(lanes, [&](int l) {
            negatives[l] = 0;
            if (!has(first.finite, l))
                finish(l, has(moved, l) ? became_not_finite : not_finite_at_start);
        });
    }

    // --- the end of a patient

    TEORELL_HD TEORELL_APART void finish(int l, Status status) {
        const std::int64_t i = patient[l];
        const double nan = infinity - infinity;
        b.status[i] = status;
        if (status == sliding && b.condition != nullptr) b.condition[i] = Base::torn_at(l);
        b.failure_time[i] = status == success ? nan : tn(l);
        b.steps[i] = static_cast<std::int64_t>(steps[l]);
        b.rejected[i] = static_cast<std::int64_t>(rejected[l]);
        Base::end_reductions(l, status == success);
        record.end(i, status == success);
        for (; b.values != nullptr && sample[l] < n_samples[l]; ++sample[l])
            for (int o = 0; o < at.n_out; ++o) Base::row(l)[o] = nan;
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
