// The reverse of the time loop: each lane goes back through the tape of one patient, step by step, and takes the next
// patient when it has arrived at time 0. The stages of a step are computed again by the code that computed them first.
#pragma once

#include "adjoint.hpp"
#include "tape_walk.hpp"

TEORELL_BEGIN

// Executor: void stages(double* ws), reverse(double* ws), rhs(double* ws), outputs_vjp(double* ws).
template <class V, class Method, class Executor>
class Reverse : TapeWalk<V> {
    using Base = TapeWalk<V>;
    using P = Pack<V>;
    using Base::next_staged, Base::get, Base::put, Base::lane, Base::in, Base::has, Base::for_each, Base::current;
    using Base::patient, Base::record, Base::stretch, Base::sample, Base::of, Base::active, Base::n_staged;
    using Base::W, Base::m, Base::at, Base::b, Base::tape, Base::ws, Base::side, Base::next_patient, Base::end_patient;

  public:
    // Three workspaces, [slots][W] each, aligned.
    Reverse(const Programs& programs, const Batch& batch, const Gradient& gradient, Executor executor, const Tape& tape,
            double* workspace, double* staging, double* waiting)
        : Base(programs, batch, tape, workspace, staging), r(batch.reductions), g(gradient), execute(executor), pending(waiting) {
        clear_workspace(m, b, W, pending);
        for (int k = 0; k < r.count; ++k) has_areas = has_areas || r.kinds[k] == area;
    }

    // Patients first, ..., first + count - 1, without those that failed. `slopes` is that of patient `slopes_first`.
    void run(std::int64_t first, std::int64_t count, const double* slopes, std::int64_t slopes_first,
             const std::int64_t* slope_strides) {
        next_patient = first, end_patient = first + count;
        cotangent = slopes, cotangent_first = slopes_first, strides = slope_strides;
        for (;;) {
            refill();
            if (active == 0) break;
            step();
        }
        flush();
    }

  private:
    const Reductions& r;
    const Gradient& g;
    Executor execute;
    double* pending;
    const double* cotangent = nullptr;
    std::int64_t cotangent_first = 0;
    const std::int64_t* strides = nullptr;
    std::int64_t fresh[W];  // the first step whose state the ring holds
    std::int64_t mark[W], piece[W];  // the next crossing and the next piece of a step, going back
    bool has_areas = false;
    std::int64_t waiting[W];
    int n_waiting = 0;

    // --- patients into lanes

    void refill() {
        constexpr unsigned all = W == 32 ? ~0u : (1u << W) - 1u;
        while (active != all) {
            for (int l = 0; l < W; ++l) {
                if (has(active, l)) continue;
                const auto solved = [this](std::int64_t i) { return b.status[i] == success; };
                if (next_staged == n_staged && !Base::stage_patients(true, solved)) return;
                begin(l, next_staged++);
            }
        }
    }

    void begin(int l, int from) {
        Base::seat(l, from);
        stretch[l] = of[l]->stretches.size - 1;
        record[l] = of[l]->steps.size - 1;
        fresh[l] = record[l] + 1 - tape.ring_steps();
        sample[l] = Base::sample_count(patient[l]);
        mark[l] = of[l]->marks.size - 1;
        piece[l] = of[l]->pieces.size - 1;
        Base::set_rates(l, stretch[l]);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coefbar + k, l) = 0.0;
        for (int k = 0; k < at.n; ++k) lane(at.lam + k, l) = 0.0;
        settle(l);
    }

    // Back over the starts of stretches until there is a step to reverse, or the patient has arrived.
    void settle(int l) {
        while (has(active, l) && record[l] < current(l).first_step) cross(l);
    }

    // --- one step

    void step() {
        replay();
        load();
        execute.stages(ws);
        const V zero = P::broadcast(0.0);
        for (int k = 0; k < at.n; ++k) put(at.ynbar + k, zero);
        for (int k = 0; k < Method::dense * m.n_output_states; ++k) put(at.ubar + k, zero);
        for (int i = 0; i < m.n_sampled_states; ++i) {
            const std::int32_t k = m.sampled_states[i];
            put(at.ynew + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        }
        samples_within();
        if (g.reduced != nullptr) reductions_within();
        execute.reverse(ws);
        for_each(active, [this](int l) {
            --record[l];
            settle(l);
        });
    }

    // Times, lengths and states of the steps; idle lanes read those of any other.
    void load() {
        alignas(64) double t[W], h[W];
        const double* y[W];
        const int some = __builtin_ctz(active);
        for (int l = 0; l < W; ++l) {
            const int from = has(active, l) ? l : some;
            const StepRecord& r = of[from]->steps.data[record[from]];
            t[l] = r.t, h[l] = r.h, y[l] = tape.state(*of[from], record[from]);
            // The step before is next: its state is fetched while this one is worked on.
            const double* next = tape.state(*of[from], record[from] > 0 ? record[from] - 1 : 0);
            for (int k = 0; k < at.n; k += 8) __builtin_prefetch(next + k);
        }
        put(at.scalar + s_tn, P::load(t));
        put(at.scalar + s_h, P::load(h));
        for (int k = 0; k < at.n; ++k) put(at.yn + k, P::collect(y, k));
    }

    // States that have left the ring are computed again, from the start of their stretch.
    void replay() {
        unsigned need = 0;
        for_each(active, [&](int l) { need |= (record[l] < fresh[l] ? 1u : 0u) << l; });
        if (need == 0) return;
        std::int64_t q[W];
        for_each(need, [&](int l) {
            q[l] = fresh[l] = current(l).first_step;
            for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        });
        while (need != 0) {
            for_each(need, [&](int l) {
                double* y = tape.state(*of[l], q[l]);
                for (int k = 0; k < at.n; ++k) y[k] = lane(at.yn + k, l);
                lane(at.scalar + s_tn, l) = of[l]->steps.data[q[l]].t;
                lane(at.scalar + s_h, l) = of[l]->steps.data[q[l]].h;
                if (q[l]++ == record[l]) need &= ~(1u << l);
            });
            if (need == 0) break;
            execute.stages(ws);
            for (int k = 0; k < at.n; ++k) put(at.yn + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        }
    }

    double slope(int l, std::int64_t sample, int o) const {
        const std::int64_t first = b.sample_offsets == nullptr
                                       ? (patient[l] - cotangent_first) * strides[0]
                                       : Base::first_row(patient[l], cotangent_first) * strides[1];
        return cotangent[first + sample * strides[1] + o * strides[2]];
    }

    void interpolate(V theta) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_sampled_states; ++i)
            put(at.y + m.sampled_states[i], dense_value<V, Method>(at, ws, m.sampled_states[i], theta, weights));
    }

    // Cotangents of the samples inside the step, through the dense output into lam and ynbar, and as moments
    // sum of theta^r (1 - theta) theta mu into ubar: H_rj times them is what reaches u_j.
    void samples_within() {
        std::int64_t least[W];
        unsigned due = 0;
        const auto pick = [&](int l) { due |= (sample[l] > least[l] ? 1u : 0u) << l; };
        for_each(active, [&](int l) {
            const bool first = record[l] == current(l).first_step;
            least[l] = first ? current(l).sample_after : of[l]->steps.data[record[l] - 1].sample;
            pick(l);
        });
        if (due == 0) return;
        const V one = P::broadcast(1.0), start = get(at.scalar + s_tn), h = get(at.scalar + s_h);
        while (due != 0) {
            alignas(64) double time[W];
            P::store(time, start + h);
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(due, [&](int l) {
                --sample[l];
                time[l] = Base::times[l][sample[l]];
                for (int o = 0; o < at.n_out; ++o) lane(at.outbar + o, l) = slope(l, sample[l], o);
            });
            const V now = P::load(time);
            pull_back_at(due, min(one, (now - start) / h), now);
            due = 0;
            for_each(active, pick);
        }
    }

    // The cotangents in region outbar, of outputs at theta.
    void pull_back_at(unsigned lanes, V theta, V now) {
        const V zero = P::broadcast(0.0), one = P::broadcast(1.0), bow = theta * (one - theta);
        if (m.n_sampled_states > 0) interpolate(theta);
        put(at.scalar + s_t, now);
        execute.outputs_vjp(ws);
        const auto mask = P::from_bits(lanes);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t k = m.output_states[i];
            const V mu = select(mask, get(at.ysbar + k), zero);
            put(at.lam + k, fma(theta, mu, get(at.lam + k)));
            put(at.ynbar + k, fma(one - theta, mu, get(at.ynbar + k)));
            V moment = bow * mu;
            for (int r = 0; r < Method::dense; ++r) {
                const std::int32_t slot = at.ubar + r * m.n_output_states + i;
                put(slot, get(slot) + moment);
                moment = moment * theta;
            }
        }
        for (int c = 0; c < at.n_outcoef; ++c) {
            const std::int32_t slot = at.coefbar + m.output_coefs[c];
            put(slot, get(slot) + select(mask, get(at.outcoef + c), zero));
        }
    }

    // --- reductions: areas as sums over the nodes of the step, all else at the marks of the forward solve

    double reduced(int l, int k) const { return g.reduced[patient[l] * r.count + k]; }

    void reductions_within() {
        while (has_areas && areas_of_pieces()) {
        }
        for (int k = 0; k < r.count; ++k) extremum_within(k);
        for (;;) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(active, [&](int l) {
                if (mark[l] < r.count || of[l]->marks.data[mark[l]].step != record[l]) return;
                const Mark& crossing = of[l]->marks.data[mark[l]--];
                theta[l] = crossing.theta;
                lane(at.outbar + r.outputs[crossing.reduction], l) = reduced(l, crossing.reduction) * crossing.factor;
                due |= 1u << l;
            });
            if (due == 0) return;
            pull_back_inside(due, P::load(theta));
        }
    }

    void pull_back_inside(unsigned lanes, V theta) {
        pull_back_at(lanes, theta, get(at.scalar + s_tn) + theta * get(at.scalar + s_h));
    }

    // The last piece of the step in each lane; false: none is left.
    bool areas_of_pieces() {
        Piece pieces[W];
        unsigned due = 0;
        for_each(active, [&](int l) {
            if (piece[l] < 0 || of[l]->pieces.data[piece[l]].step != record[l]) return;
            pieces[l] = of[l]->pieces.data[piece[l]--];
            due |= 1u << l;
        });
        for (int i = 0; due != 0 && i < n_nodes; ++i) {
            alignas(64) double theta[W] = {};
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(due, [&](int l) {
                theta[l] = pieces[l].start + i / (n_nodes - 1.0) * pieces[l].width;
                for (int k = 0; k < r.count; ++k)
                    if (r.kinds[k] == area)
                        lane(at.outbar + r.outputs[k], l) += reduced(l, k) * Base::area_weight(l, k, pieces[l], i);
            });
            pull_back_inside(due, P::load(theta));
        }
        return due != 0;
    }

    void extremum_within(int k) {
        unsigned due = 0;
        alignas(64) double theta[W] = {};
        for_each(active, [&](int l) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step != record[l]) return;
            theta[l] = found.theta;
            due |= 1u << l;
        });
        if (due == 0) return;
        for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
        for_each(due, [&](int l) { lane(at.outbar + r.outputs[k], l) = reduced(l, k); });
        pull_back_inside(due, P::load(theta));
    }

    // d L / d time of events by what they move directly: the bounds of pieces of an integral, an extremum at an event.
    void reductions_at_events(int l, std::int64_t from, std::int64_t to) {
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        for (std::int64_t e = from; e < to; ++e) {
            double& time = g.event_time[row(l, e)];
            add_integrands(l, 1.0, time);
            Base::apply(l, e);
            add_integrands(l, -1.0, time);
        }
        for (int k = 0; k < r.count; ++k) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step < 0 || !in_window(r.window(k, patient[l]), current(l).t)) continue;
            const double moved = reduced(l, k) * found.factor;
            if (found.step + 1 == current(l).first_step && found.theta == 1.0) g.event_time[row(l, from)] += moved;
            if (found.step == current(l).first_step && found.theta == 0.0) g.event_time[row(l, to - 1)] += moved;
        }
    }

    void add_integrands(int l, double sign, double& sum) {
        Base::outputs_of_lane(l, execute);
        for (int k = 0; k < r.count; ++k) {
            const double* window = r.window(k, patient[l]);
            if (is_integral(r.kinds[k]) && in_window(window, current(l).t))
                sum += sign * reduced(l, k) * integrand(r.kinds[k], lane(at.out + r.outputs[k], l), window[2]);
        }
    }

    // --- events

    // One lane, back over the start of its stretch: samples and events there.
    void cross(int l) {
        const Stretch& s = current(l);
        const std::int64_t from = Base::first_event(l);
        lane(at.scalar + s_tn, l) = s.t;
        if (!b.before) samples_here(l, s.sample_before, tape.after(*of[l], stretch[l]));
        bool changed = false;  // a parameter or a switch
        for (std::int64_t e = from; e < s.event; ++e) changed = changed || Base::changes_parameters(b.event_kinds[e]);
        if (g.event_time != nullptr && s.event > from) {
            go_before(l, changed);
            event_times(l, from, s.event);
            if (g.reduced != nullptr) {
                go_before(l, changed);
                reductions_at_events(l, from, s.event);
            }
            if (changed) Base::set_parameters(l, stretch[l]);
        }
        for (std::int64_t e = s.event - 1; e >= from; --e) uncross(l, e);
        go_before(l, changed);
        if (b.before) samples_here(l, s.sample_before, tape.before(*of[l], stretch[l]));
        if (stretch[l] > 0) {
            --stretch[l];
            return;
        }
        for (int k = 0; k < at.n; ++k) g.initial[patient[l] * at.n + k] = lane(at.lam + k, l);
        hand_in(l, true);
        Base::leave(l);
    }

    std::int64_t row(int l, std::int64_t e) const { return g.shared_rows > 0 ? patient[l] * g.shared_rows + e : e; }

    // Rates and parameters as they were before the stretch.
    void go_before(int l, bool changed) {
        Base::set_rates(l, stretch[l] - 1);
        if (changed) Base::set_parameters(l, stretch[l] - 1);
    }

    // The cotangent of the value of one event, and what those of everything else are before it.
    void uncross(int l, std::int64_t e) {
        const std::int32_t target = b.event_targets[e], kind = b.event_kinds[e];
        double& value = g.event_value[row(l, e)];
        if (kind == bolus) value = lane(at.lam + target, l);
        if (kind == infusion_start) value = lane(at.coefbar + at.rates - at.coef + target, l);
        if (kind == infusion_end) value = -lane(at.coefbar + at.rates - at.coef + target, l);
        if (kind == reset) {
            hand_in(l, target == to_initial);
            for (int k = 0; k < at.n_coef; ++k) lane(at.coefbar + k, l) = 0.0;
            for (int k = 0; k < at.n; ++k) lane(at.lam + k, l) = 0.0;
        }
        if (!Base::changes_parameters(kind)) return;
        hand_in(l, false);
        for (int k = 0; k < at.n_coef - at.n_rates; ++k) lane(at.coefbar + k, l) = 0.0;
        if (kind == parameter_change) {
            // What is gathered so far belongs to the value that this row gave; what comes is that of the one before.
            flush();
            double& gathered = g.parameters[patient[l] * at.n_params + target];
            value = gathered;
            gathered = 0.0;
        }
        lane(Base::changed_by(e), l) = value_before(l, e);
        interpret<V>(m.prepare, ws);
    }

    // Of the parameter or switch that an event has changed: what held before, in its group of events or before that.
    double value_before(int l, std::int64_t e) const {
        for (std::int64_t other = e - 1; other >= Base::first_event(l); --other)
            if (Base::changes_parameters(b.event_kinds[other]) && Base::changed_by(other) == Base::changed_by(e))
                return b.event_values[other];
        return Base::parameter(patient[l], stretch[l] - 1, Base::changed_by(e) - at.params);
    }

    // d L / d time of an event that takes the solution from one right-hand side to another: lam' (f_before - f_after),
    // with lam after the last of them, and without f_before where the states forget what they were.
    void event_times(int l, std::int64_t from, std::int64_t to) {
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        Base::right_hand_side(l, execute);
        for (std::int64_t e = from; e < to; ++e) {
            for (int k = 0; k < at.n; ++k) lane(at.ynew + k, l) = lane(at.f + k, l);
            Base::apply(l, e);
            Base::right_hand_side(l, execute);
            const bool forgets = b.event_kinds[e] == reset;
            double sum = 0.0;
            for (int k = 0; k < at.n; ++k)
                sum += lane(at.lam + k, l) * ((forgets ? 0.0 : lane(at.ynew + k, l)) - lane(at.f + k, l));
            if (forgets)
                for (std::int64_t before = from; before < e; ++before) g.event_time[row(l, before)] = 0.0;
            g.event_time[row(l, e)] = sum;
        }
    }

    void samples_here(int l, std::int64_t least, const double* y) {
        if (sample[l] == least) return;
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = y[k];
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        while (sample[l] > least) {
            --sample[l];
            for (int o = 0; o < at.n_out; ++o) lane(at.outbar + o, l) = slope(l, sample[l], o);
            execute.outputs_vjp(ws);
            for (int i = 0; i < m.n_output_states; ++i)
                lane(at.lam + m.output_states[i], l) += lane(at.ysbar + m.output_states[i], l);
            for (int c = 0; c < at.n_outcoef; ++c) lane(at.coefbar + m.output_coefs[c], l) += lane(at.outcoef + c, l);
        }
    }

    // --- from coefficients to parameters, W patients at a time

    // What one lane has gathered since its last switch; at the start of time also through the initial state.
    void hand_in(int l, bool at_start) {
        const int c = n_waiting++;
        waiting[c] = patient[l];
        for (int k = 0; k < at.n_params + at.n_switches; ++k) in(pending, at.params + k, c) = lane(at.params + k, l);
        for (int k = 0; k < at.n_coef; ++k) {
            in(pending, at.coef + k, c) = lane(at.coef + k, l);
            in(pending, at.coefbar + k, c) = lane(at.coefbar + k, l);
        }
        for (int k = 0; k < at.n; ++k) in(pending, at.lam + k, c) = at_start ? lane(at.lam + k, l) : 0.0;
        if (n_waiting == W) flush();
    }

    void flush() {
        if (n_waiting == 0) return;
        for (std::int64_t k = 0; k < static_cast<std::int64_t>(at.n_params + at.n_switches) * W; ++k)
            pending[static_cast<std::int64_t>(at.paramsbar) * W + k] = 0.0;
        interpret<V>(m.initial_vjp, pending);
        interpret<V>(m.prepare_vjp, pending);
        for (int c = 0; c < n_waiting; ++c)
            for (int k = 0; k < at.n_params; ++k)
                g.parameters[waiting[c] * at.n_params + k] += in(pending, at.paramsbar + k, c);
        n_waiting = 0;
    }
};

TEORELL_END
