// The time loop once more with tangents: each lane follows the tape of one patient, and carries the derivative of its
// state in every direction that is asked for. Steps are those of the tape, so values are those of the solve.
#pragma once

#include "tangent.hpp"
#include "tape_walk.hpp"

TEORELL_BEGIN

// Executor: void stages(double* ws), tangent(double* ws), rhs(double* ws).
template <class V, class Method, class Executor>
class Forward : TapeWalk<V> {
    using Base = TapeWalk<V>;
    using P = Pack<V>;
    using Base::current, Base::slot;
    using Base::next_staged, Base::staged, Base::get, Base::put, Base::lane, Base::in, Base::has, Base::for_each;
    using Base::patient, Base::record, Base::stretch, Base::sample, Base::of, Base::active, Base::n_staged;
    using Base::W, Base::m, Base::at, Base::b, Base::tape, Base::ws, Base::side, Base::next_patient, Base::end_patient;

  public:
    // Two workspaces, [slots][W] each, and two of [directions][n + n_coef + n_params][W], all aligned.
    Forward(const Programs& programs, const Batch& batch, const Tangents& tangents, Executor executor, const Tape& tape,
            double* workspace, double* staging, double* dots, double* staged_dots)
        : Base(programs, batch, tape, workspace, staging),
          r(batch.reductions),
          g(tangents),
          execute(executor),
          carried(dots),
          coming(staged_dots) {
        for (int k = 0; k < r.count; ++k) has_areas = has_areas || r.kinds[k] == area;
    }

    void run(std::int64_t first, std::int64_t count) {
        next_patient = first, end_patient = first + count;
        for (;;) {
            refill();
            if (active == 0) return;
            step();
        }
    }

  private:
    const Reductions& r;
    const Tangents& g;
    Executor execute;
    double *carried, *coming;
    std::int64_t mark[W], piece[W];  // the next crossing, and the next piece of a step
    bool has_areas = false;

    // Of direction d: the tangent of state k, of coefficient k, and of parameter k.
    double* ydot(double* dots, std::int64_t d, int k) const {
        return dots + (d * (at.n + at.n_coef + at.n_params) + k) * W;
    }
    double* coefdot(double* dots, std::int64_t d, int k) const { return ydot(dots, d, at.n + k); }
    double* paramdot(double* dots, std::int64_t d, int k) const { return coefdot(dots, d, at.n_coef + k); }
    double* ratedot(std::int64_t d, int k) const { return coefdot(carried, d, at.rates - at.coef + k); }

    void load(std::int64_t d) {
        for (int k = 0; k < at.n; ++k) put(at.yndot + k, P::load(ydot(carried, d, k)));
        for (int k = 0; k < at.n_coef; ++k) put(at.coefdot + k, P::load(coefdot(carried, d, k)));
    }

    // --- patients into lanes

    void refill() {
        constexpr unsigned all = W == 32 ? ~0u : (1u << W) - 1u;
        while (active != all) {
            for (int l = 0; l < W; ++l) {
                if (has(active, l)) continue;
                const auto any = [](std::int64_t) { return true; };
                if (next_staged == n_staged) {
                    if (!Base::stage_patients(false, any)) return;
                    stage_tangents();
                }
                begin(l, next_staged++);
            }
        }
    }

    double parameter_dot(std::int64_t d, std::int64_t patient, int k) const {
        return g.parameters == nullptr
                   ? 0.0
                   : g.parameters[d * g.parameter_strides[0] + patient * g.parameter_strides[1] + k];
    }

    void stage_tangents() {
        for (std::int64_t d = 0; d < g.directions; ++d) {
            for (int l = 0; l < W; ++l)
                for (int k = 0; k < at.n_params; ++k)
                    in(side, at.paramsdot + k, l) = parameter_dot(d, staged[l < n_staged ? l : 0], k);
            interpret<V>(m.prepare_jvp, side);
            interpret<V>(m.initial_jvp, side);
            for (int l = 0; l < W; ++l) {
                for (int k = 0; k < at.n; ++k) ydot(coming, d, k)[l] = in(side, at.yndot + k, l);
                for (int k = 0; k < at.n_coef; ++k) coefdot(coming, d, k)[l] = in(side, at.coefdot + k, l);
                for (int k = 0; k < at.n_params; ++k) paramdot(coming, d, k)[l] = in(side, at.paramsdot + k, l);
            }
        }
    }

    void begin(int l, int from) {
        Base::seat(l, from);
        Base::set_rates(l, -1);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            for (int k = 0; k < at.n; ++k) ydot(carried, d, k)[l] = ydot(coming, d, k)[from];
            for (int k = 0; k < at.n_coef; ++k) coefdot(carried, d, k)[l] = coefdot(coming, d, k)[from];
            for (int k = 0; k < at.n_params; ++k) paramdot(carried, d, k)[l] = paramdot(coming, d, k)[from];
            for (int k = 0; k < at.n_rates; ++k) ratedot(d, k)[l] = 0.0;
        }
        stretch[l] = record[l] = sample[l] = 0;
        mark[l] = r.count;
        piece[l] = 0;
        cross(l);
        settle(l);
    }

    // On over the ends of stretches until there is a step to take, or the tape ends.
    void settle(int l) {
        for (;;) {
            const bool last = stretch[l] + 1 == of[l]->stretches.size;
            const std::int64_t end = last ? of[l]->steps.size : of[l]->stretches.data[stretch[l] + 1].first_step;
            if (record[l] < end) return;
            if (last) return Base::leave(l);
            ++stretch[l];
            cross(l);
        }
    }

    // --- one step

    void step() {
        for_each(active, [this](int l) { Base::load_step(l); });
        execute.stages(ws);
        for (int k = 0; k < at.n; ++k) put(at.ynew + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        std::int64_t from[W], mark_from[W], piece_from[W];
        for_each(active, [&](int l) { from[l] = sample[l], mark_from[l] = mark[l], piece_from[l] = piece[l]; });
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            execute.tangent(ws);
            for (int k = 0; k < at.n; ++k) P::store(ydot(carried, d, k), get(at.ydot + k));
            for_each(active, [&](int l) { sample[l] = from[l], mark[l] = mark_from[l], piece[l] = piece_from[l]; });
            samples_within(d);
            if (r.count > 0) reductions_within(d);
        }
        for (int k = 0; k < at.n; ++k) put(at.yn + k, get(at.ynew + k));
        for_each(active, [this](int l) {
            sample[l] = of[l]->steps.data[record[l]].sample;
            ++record[l];
            settle(l);
        });
    }

    double* derivative(int l, std::int64_t d, int o) const {
        return g.values + ((Base::first_row(patient[l], 0) + sample[l]) * at.n_out + o) * g.directions + d;
    }

    void samples_within(std::int64_t d) {
        const auto waits = [this](int l) { return sample[l] < of[l]->steps.data[record[l]].sample; };
        unsigned due = 0;
        for_each(active, [&](int l) { due |= (waits(l) ? 1u : 0u) << l; });
        const V one = P::broadcast(1.0), start = get(at.scalar + s_tn), h = get(at.scalar + s_h);
        while (due != 0) {
            alignas(64) double time[W];
            P::store(time, start + h);
            for_each(due, [&](int l) { time[l] = Base::times[l][sample[l]]; });
            const V now = P::load(time), theta = min(one, (now - start) / h);
            push_forward_at(d, theta, now);
            unsigned more = 0;
            for_each(due, [&](int l) {
                for (int o = 0; o < at.n_out; ++o) *derivative(l, d, o) = lane(at.outdot + o, l);
                ++sample[l];
                more |= (waits(l) ? 1u : 0u) << l;
            });
            due = more;
        }
    }

    // The tangents of the outputs at theta, into region outdot.
    void push_forward_at(std::int64_t d, V theta, V now) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t k = m.output_states[i];
            V dot = fma(theta, P::load(ydot(carried, d, k)), (P::broadcast(1.0) - theta) * get(at.yndot + k));
            for (int j = 0; j < Method::stages; ++j) dot = fma(weights[j], get(at.udot + j * at.n + k), dot);
            put(at.y + k, dense_value<V, Method>(at, ws, k, theta, weights));
            put(at.ydot + k, dot);
        }
        put(at.scalar + s_t, now);
        interpret<V>(m.outputs_jvp, ws);
    }

    // --- reductions, as in reverse.hpp

    double& reduced(int l, int k, std::int64_t d) const {
        return g.reduced[(patient[l] * r.count + k) * g.directions + d];
    }

    void push_forward_inside(std::int64_t d, V theta) {
        push_forward_at(d, theta, get(at.scalar + s_tn) + theta * get(at.scalar + s_h));
    }

    void reductions_within(std::int64_t d) {
        while (has_areas && areas_of_pieces(d)) {
        }
        for (int k = 0; k < r.count; ++k) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for_each(active, [&](int l) {
                const Mark& found = of[l]->marks.data[k];
                if (found.step != record[l]) return;
                theta[l] = found.theta;
                due |= 1u << l;
            });
            if (due == 0) continue;
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) { reduced(l, k, d) += lane(at.outdot + r.outputs[k], l); });
        }
        for (;;) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for_each(active, [&](int l) {
                if (mark[l] == of[l]->marks.size || of[l]->marks.data[mark[l]].step != record[l]) return;
                theta[l] = of[l]->marks.data[mark[l]].theta;
                due |= 1u << l;
            });
            if (due == 0) return;
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) {
                const Mark& crossing = of[l]->marks.data[mark[l]++];
                const double dot = lane(at.outdot + r.outputs[crossing.reduction], l);
                reduced(l, crossing.reduction, d) += crossing.factor * dot;
            });
        }
    }

    // The next piece of the step in each lane; false: none is left.
    bool areas_of_pieces(std::int64_t d) {
        Piece pieces[W];
        unsigned due = 0;
        for_each(active, [&](int l) {
            if (piece[l] == of[l]->pieces.size || of[l]->pieces.data[piece[l]].step != record[l]) return;
            pieces[l] = of[l]->pieces.data[piece[l]++];
            due |= 1u << l;
        });
        for (int i = 0; due != 0 && i < n_nodes; ++i) {
            alignas(64) double theta[W] = {};
            for_each(due,
                     [&](int l) { theta[l] = pieces[l].start + i / (n_nodes - 1.0) * pieces[l].width; });
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) {
                for (int k = 0; k < r.count; ++k)
                    if (r.kinds[k] == area)
                        reduced(l, k, d) +=
                            Base::area_weight(l, k, pieces[l], i) * lane(at.outdot + r.outputs[k], l);
            });
        }
        return due != 0;
    }

    // What an event moves directly: the bound of a piece of an integral, and an extremum there.
    void reductions_beside(int l, std::int64_t e, double sign) {
        Base::outputs_of_lane(l, execute);
        for (int k = 0; k < r.count; ++k) {
            const double* window = r.window(k, patient[l]);
            if (!is_integral(r.kinds[k]) || !in_window(window, current(l).t)) continue;
            const double piece = sign * integrand(r.kinds[k], lane(at.out + r.outputs[k], l), window[2]);
            for (std::int64_t d = 0; d < g.directions; ++d) reduced(l, k, d) += piece * time_dot(l, d, e);
        }
    }
    void extrema_at_events(int l, std::int64_t d, double first, double last) {
        for (int k = 0; k < r.count; ++k) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step < 0 || !in_window(r.window(k, patient[l]), current(l).t)) continue;
            const bool before = found.step + 1 == current(l).first_step && found.theta == 1.0;
            const bool after = found.step == current(l).first_step && found.theta == 0.0;
            reduced(l, k, d) += found.factor * (before ? first : after ? last : 0.0);
        }
    }

    double time_dot(int l, std::int64_t d, std::int64_t e) const {
        return g.event_time[d * g.event_strides[0] + patient[l] * g.event_strides[1] + e];
    }

    // All events of the stretch that a lane is about to cross, from yn before them.
    void reductions_at_events(int l, std::int64_t from, std::int64_t to) {
        for (std::int64_t e = from; e < to; ++e) {
            reductions_beside(l, e, 1.0);
            Base::apply(l, e);
            reductions_beside(l, e, -1.0);
        }
        for (std::int64_t d = 0; d < g.directions; ++d)
            extrema_at_events(l, d, time_dot(l, d, from), time_dot(l, d, to - 1));
    }

    // --- events

    // One lane at the start of its stretch: the events there, and the samples.
    void cross(int l) {
        const Stretch& s = current(l);
        const std::int64_t from = Base::first_event(l);
        lane(at.scalar + s_tn, l) = s.t;
        if (b.before) samples_here(l, tape.before(*of[l], stretch[l]));
        const auto arrive = [&] {
            for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        };
        arrive();
        if (r.count > 0 && g.event_time != nullptr && s.event > from) {
            reductions_at_events(l, from, s.event);
            Base::set_rates(l, stretch[l] - 1);
            if (changes(from, s.event)) Base::set_parameters(l, stretch[l] - 1);
            arrive();
        }
        if (g.event_time != nullptr && s.event > from) Base::right_hand_side(l, execute);
        for (std::int64_t e = from; e < s.event; ++e) event(l, e);
        Base::set_rates(l, stretch[l]);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        if (!b.before) samples_here(l, tape.after(*of[l], stretch[l]));
    }

    // The tangents through one event; region f holds the right-hand side before it where times have tangents.
    void event(int l, std::int64_t e) {
        for (int k = 0; g.event_time != nullptr && k < at.n; ++k) lane(at.ynew + k, l) = lane(at.f + k, l);
        Base::apply(l, e);
        if (g.event_time != nullptr) Base::right_hand_side(l, execute);
        const std::int32_t target = b.event_targets[e], kind = b.event_kinds[e];
        for (std::int64_t d = 0; d < g.directions; ++d) {
            const std::int64_t at_row = d * g.event_strides[0] + patient[l] * g.event_strides[1] + e;
            const double value = g.event_value == nullptr ? 0.0 : g.event_value[at_row];
            if (kind == bolus) ydot(carried, d, target)[l] += value;
            if (kind == infusion_start) ratedot(d, target)[l] += value;
            if (kind == infusion_end) ratedot(d, target)[l] -= value;
            if (kind == reset) forget(l, d, target);
            if (kind == parameter_change) paramdot(carried, d, target)[l] = value;
            if (Base::changes_parameters(kind)) prepare_tangents(l, d);
            if (g.event_time == nullptr) continue;
            for (int k = 0; k < at.n; ++k)
                ydot(carried, d, k)[l] +=
                    ((kind == reset ? 0.0 : lane(at.ynew + k, l)) - lane(at.f + k, l)) * g.event_time[at_row];
        }
    }

    bool changes(std::int64_t from, std::int64_t to) const {
        for (std::int64_t e = from; e < to; ++e)
            if (Base::changes_parameters(b.event_kinds[e])) return true;
        return false;
    }

    // At a reset.
    void forget(int l, std::int64_t d, std::int32_t target) {
        for (int k = 0; k < at.n_rates; ++k) ratedot(d, k)[l] = 0.0;
        if (target == to_initial) {
            load(d);
            load_parameters(l, d);
            interpret<V>(m.initial_jvp, ws);
        }
        for (int k = 0; k < at.n; ++k) ydot(carried, d, k)[l] = target == to_initial ? lane(at.yndot + k, l) : 0.0;
    }

    void load_parameters(int l, std::int64_t d) {
        for (int k = 0; k < at.n_params; ++k) lane(at.paramsdot + k, l) = paramdot(carried, d, k)[l];
    }

    // Of coefficients after a change; the tangents of rates stay.
    void prepare_tangents(int l, std::int64_t d) {
        load_parameters(l, d);
        interpret<V>(m.prepare_jvp, ws);
        for (int k = 0; k < at.n_coef - at.n_rates; ++k) coefdot(carried, d, k)[l] = lane(at.coefdot + k, l);
    }

    void samples_here(int l, const double* y) {
        const std::int64_t from = sample[l];
        if (from == current(l).sample_after) return;
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = y[k];
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            for (int k = 0; k < at.n; ++k) put(at.ydot + k, get(at.yndot + k));
            interpret<V>(m.outputs_jvp, ws);
            for (sample[l] = from; sample[l] < current(l).sample_after; ++sample[l])
                for (int o = 0; o < at.n_out; ++o) *derivative(l, d, o) = lane(at.outdot + o, l);
        }
    }
};

TEORELL_END
