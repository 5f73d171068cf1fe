// Events on the way back: a lane crosses the start of a stretch, where cotangents pass through what
// happened there, and what coefficients have gathered is handed in to the parameters they come
// from.
#pragma once

#include "reverse_reductions.hpp"

TEORELL_BEGIN

// Executor, Record: as for Reverse.
template <class V, class Method, class Executor, class Record>
class ReverseEvents : protected ReverseReductions<V, Method, Executor, Record> {
  protected:
    using Base = ReverseReductions<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::g, Base::execute;
    using Base::patient, Base::stretch, Base::of;
    using Base::put, Base::lane, Base::in, Base::current;
    using Base::W, Base::m, Base::at, Base::b, Base::tape, Base::ws;

    // waiting: a third workspace.
    TEORELL_HD ReverseEvents(const Programs& programs, const Batch& batch, const Gradient& gradient,
                             Executor executor, const Record& tape, double* workspace,
                             double* staging, double* waiting)
        : Base(programs, batch, gradient, executor, tape, workspace, staging), pending(waiting) {
        Base::clear_new(pending);
    }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(waiting), act(by_action), act(n_waiting);
    }

    TEORELL_HD void seat_events(int l) { by_action[l] = 0.0; }

    // One lane, back over the start of its stretch: samples and events there.
    TEORELL_HD TEORELL_APART void cross(int l) {
        const Stretch& s = current(l);
        const std::int64_t from = Base::first_event(l);
        lane(at.scalar + s_tn, l) = s.t;
        if (!b.before) Base::samples_here(l, s.sample_before, tape.after(*of[l], stretch[l]));
        // A parameter, a switch or a side.
        bool changed = at.n_surfaces > 0 && Base::sides_change(l);
        if (s.acted >= 0) {
            act_back(l, s.acted, changed);
        } else if (s.crossed >= 0) {
            pass_back(l, s.crossed);
        } else if (changed) {
            hand_in(l, false);
            forget_coefficients(l);
        }
        for (std::int64_t e = from; e < s.event; ++e)
            changed = changed || Base::changes_parameters(b.event_kinds[e]);
        if (g.event_time != nullptr && s.event > from) {
            go_before(l, changed);
            event_times(l, from, s.event);
            g.event_time[Base::row(l, s.event - 1)] += by_action[l];
            if (g.reduced != nullptr) {
                go_before(l, changed);
                Base::reductions_at_events(l, from, s.event);
            }
            if (changed) Base::set_parameters(l, stretch[l]);
        }
        if (s.acted < 0) by_action[l] = 0.0;
        for (std::int64_t e = s.event - 1; e >= from; --e) uncross(l, e);
        go_before(l, changed);
        if (b.before) Base::samples_here(l, s.sample_before, tape.before(*of[l], stretch[l]));
        if (stretch[l] > 0) {
            --stretch[l];
            return;
        }
        for (int k = 0; k < at.n; ++k) g.initial[patient[l] * at.n + k] = lane(at.lam + k, l);
        hand_in(l, true);
        Base::leave(l);
    }

    // From coefficients to parameters, up to W patients at a time.
    TEORELL_HD TEORELL_APART void flush() {
        if (n_waiting == 0) return;
        for (int k = 0; k < at.n_params + at.n_switches; ++k)
            for (int l = 0; l < W; ++l) in(pending, at.paramsbar + k, l) = 0.0;
        interpret<V>(m.initial_vjp, pending);
        interpret<V>(m.prepare_vjp, pending);
        for (int c = 0; c < n_waiting; ++c)
            for (int k = 0; k < at.n_params; ++k)
                g.parameters[waiting[c] * at.n_params + k] += in(pending, at.paramsbar + k, c);
        n_waiting = 0;
    }

  private:
    double* pending;  // coefficients and their cotangents, of up to W patients
    std::int64_t waiting[W];
    double by_action[W];  // d L / d time of the actions since the last crossing or event
    int n_waiting = 0;

    TEORELL_HD void forget_coefficients(int l) {
        for (int k = 0; k < at.n_coef - at.n_rates; ++k) lane(at.coefbar + k, l) = 0.0;
    }

    // One lane over the surface that it passes at time t*, where its state is continuous: of
    //     dy+ = dy- + (f- - f+) dt*,   dt* = -(g_y dy- + g_p dp) / (g_t + g_y f-)
    // the transpose (Hairer, Norsett & Wanner, Solving ODEs I, II.6). One that holds the solution
    // takes it back by dt* = -(g_y dy- + g_p dp) / (g_y (f- - f+)), at a time that does not move.
    TEORELL_HD TEORELL_APART void pass_back(int l, std::int32_t crossed) {
        const int surface = Base::surface_of(crossed);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        Base::right_hand_side(l, execute);
        const double after = Base::distance_rate(l, surface);
        double beside = 0.0;  // of integrals whose output jumps
        if (g.reduced != nullptr) Base::add_integrands(l, -1.0, beside);
        for (int k = 0; k < at.n; ++k) lane(at.ynew + k, l) = lane(at.f + k, l);
        hand_in(l, false);
        forget_coefficients(l);
        go_before(l, true);
        Base::right_hand_side(l, execute);
        const double before = Base::distance_rate(l, surface);
        const bool held = Base::is_held(l, surface, before, after);
        if (g.reduced != nullptr) Base::add_integrands(l, 1.0, beside);
        double by_time = held ? 0.0 : by_action[l] + beside;
        for (int k = 0; k < at.n; ++k)
            by_time += lane(at.lam + k, l) * (lane(at.f + k, l) - lane(at.ynew + k, l));
        if (g.reduced != nullptr && !held) by_time += Base::extrema_moved(l);
        if (by_time == 0.0) return;  // a kink: it does not matter when
        const double rate = Base::passing_rate(l, crossed, before, after);
        for (int k = 0; k < at.n_surfaces; ++k) put(at.gbar + k, P::broadcast(0.0));
        lane(at.gbar + surface, l) = -by_time / rate;
        interpret<V>(m.surfaces_vjp, ws);
        for (int k = 0; k < at.n; ++k) lane(at.lam + k, l) += lane(at.gybar + k, l);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coefbar + k, l) += lane(at.gcoefbar + k, l);
    }

    // One lane over an action y+ = r(t*, y-), whose time t* moves with what has led to it: the
    // transpose of
    //     dy+ = r_y dy- + r_p dp + (r_y f- + r_t - f+) dt*
    TEORELL_HD TEORELL_APART void act_back(int l, std::int32_t event, bool sides_changed) {
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        double by_time = 0.0;
        Base::right_hand_side(l, execute);
        for (int k = 0; k < at.n; ++k) by_time -= lane(at.lam + k, l) * lane(at.f + k, l);
        if (g.reduced != nullptr) Base::add_integrands(l, -1.0, by_time);
        if (sides_changed) {
            hand_in(l, false);
            forget_coefficients(l);
            go_before(l, true);
        }
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        if (g.reduced != nullptr) Base::add_integrands(l, 1.0, by_time);
        Base::right_hand_side(l, execute);
        interpret<V>(m.action_rates, ws);
        for (int a = 0; a < at.n_actions; ++a) put(at.actbar + a, P::broadcast(0.0));
        for (int a = 0; a < at.n_actions; ++a) {
            if (m.action_events[a] != event) continue;
            double& bar = lane(at.lam + m.action_states[a], l);
            by_time += bar * lane(at.actrate + a, l);
            lane(at.actbar + a, l) = bar;
            bar = 0.0;
        }
        for (int k = 0; k < at.n; ++k) by_time += lane(at.lam + k, l) * lane(at.f + k, l);
        interpret<V>(m.actions_vjp, ws);
        for (int k = 0; k < at.n; ++k) lane(at.lam + k, l) += lane(at.aybar + k, l);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coefbar + k, l) += lane(at.acoefbar + k, l);
        by_action[l] += by_time;
    }

    // Rates and parameters as they were before the stretch.
    TEORELL_HD void go_before(int l, bool changed) {
        Base::set_rates(l, stretch[l] - 1);
        if (changed) Base::set_parameters(l, stretch[l] - 1);
    }

    // The cotangent of the value of one event, and what those of everything else are before it.
    TEORELL_HD TEORELL_APART void uncross(int l, std::int64_t e) {
        const std::int32_t target = b.event_targets[e], kind = b.event_kinds[e];
        double& value = g.event_value[Base::row(l, e)];
        if (kind == bolus || kind == given) value = lane(at.lam + target, l);
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
            // What is gathered so far belongs to the value that this row gave; what comes is that
            // of the one before.
            flush();
            double& gathered = g.parameters[patient[l] * at.n_params + target];
            value = gathered;
            gathered = 0.0;
        }
        lane(Base::changed_by(e), l) = value_before(l, e);
        interpret<V>(m.prepare, ws);
    }

    // Of the parameter or switch that an event has changed: what held before, in its group of
    // events or before that.
    TEORELL_HD double value_before(int l, std::int64_t e) const {
        for (std::int64_t other = e - 1; other >= Base::first_event(l); --other)
            if (Base::changes_parameters(b.event_kinds[other]) &&
                Base::changed_by(other) == Base::changed_by(e))
                return b.event_values[other];
        return Base::parameter(patient[l], stretch[l] - 1, Base::changed_by(e) - at.params);
    }

    // d L / d time of an event that takes the solution from one right-hand side to another: lam'
    // (f_before - f_after), with lam after the last of them, and without f_before where the states
    // forget what they were.
    TEORELL_HD TEORELL_APART void event_times(int l, std::int64_t from, std::int64_t to) {
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        Base::right_hand_side(l, execute);
        for (std::int64_t e = from; e < to; ++e) {
            for (int k = 0; k < at.n; ++k) lane(at.ynew + k, l) = lane(at.f + k, l);
            Base::apply(l, e);
            if (e + 1 == to && at.n_surfaces > 0) Base::set_parameters(l, stretch[l]);
            Base::right_hand_side(l, execute);
            const bool forgets = b.event_kinds[e] == reset;
            double sum = 0.0;
            for (int k = 0; k < at.n; ++k)
                sum += lane(at.lam + k, l) *
                       ((forgets ? 0.0 : lane(at.ynew + k, l)) - lane(at.f + k, l));
            if (forgets)
                for (std::int64_t before = from; before < e; ++before)
                    g.event_time[Base::row(l, before)] = 0.0;
            g.event_time[Base::row(l, e)] = sum;
        }
    }

    // Waits for flush: what one lane has gathered since its last switch; at the start of time also
    // through the initial state.
    TEORELL_HD TEORELL_APART void hand_in(int l, bool at_start) {
        const int c = n_waiting++;
        waiting[c] = patient[l];
        for (int k = 0; k < at.n_params + at.n_switches; ++k)
            in(pending, at.params + k, c) = lane(at.params + k, l);
        for (int k = 0; k < at.n_coef; ++k) {
            in(pending, at.coef + k, c) = lane(at.coef + k, l);
            in(pending, at.coefbar + k, c) = lane(at.coefbar + k, l);
        }
        for (int k = 0; k < at.n; ++k)
            in(pending, at.lam + k, c) = at_start ? lane(at.lam + k, l) : 0.0;
        if (n_waiting == W) flush();
    }
};

TEORELL_END
