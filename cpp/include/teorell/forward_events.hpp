// Events along the tape: the tangents of each lane through what happens at the start of a stretch.
#pragma once

#include "forward_reductions.hpp"

TEORELL_BEGIN

// Executor, Record: as for Forward.
template <class V, class Method, class Executor, class Record>
class ForwardEvents : protected ForwardReductions<V, Method, Executor, Record> {
  protected:
    using Base = ForwardReductions<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::g, Base::execute, Base::carried, Base::r;
    using Base::get, Base::put, Base::lane, Base::current;
    using Base::m, Base::at, Base::b, Base::tape, Base::ws;
    using Base::patient, Base::stretch, Base::of;
    using Base::ydot, Base::coefdot, Base::paramdot, Base::ratedot, Base::load;

    TEORELL_HD ForwardEvents(const Programs& programs, const Batch& batch, const Tangents& tangents,
                             Executor executor, const Record& tape, double* workspace,
                             double* staging, double* dots, double* shifts)
        : Base(programs, batch, tangents, executor, tape, workspace, staging, dots),
          shifts(shifts) {}

    double* shifts;  // of the time of a crossing, in each direction

    // One lane at the start of its stretch: the events there, and the samples.
    TEORELL_HD TEORELL_APART void cross(int l) {
        const Stretch& s = current(l);
        const std::int64_t from = Base::first_event(l);
        lane(at.scalar + s_tn, l) = s.t;
        if (b.before) Base::samples_here(l, tape.before(*of[l], stretch[l]));
        const auto arrive = [&] {
            for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        };
        arrive();
        if (r.count > 0 && g.event_time != nullptr && s.event > from) {
            Base::reductions_at_events(l, from, s.event);
            Base::set_rates(l, stretch[l] - 1);
            if (changes(from, s.event)) Base::set_parameters(l, stretch[l] - 1);
            arrive();
        }
        if (g.event_time != nullptr && s.event > from) Base::right_hand_side(l, execute);
        for (std::int64_t e = from; e < s.event; ++e) event(l, e);
        if (s.acted >= 0)
            act(l, s.acted);
        else if (s.crossed >= 0)
            pass(l, s.crossed);
        else if (at.n_surfaces > 0 && Base::sides_change(l))
            change_parameters(l);
        if (at.n_events > 0 && s.acted < 0 && s.crossed < 0) note_shifts(l, from, s.event);
        Base::set_rates(l, stretch[l]);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        if (!b.before) Base::samples_here(l, tape.after(*of[l], stretch[l]));
    }

  private:
    TEORELL_HD double& shift(std::int64_t d) const { return shifts[d * (Base::stride / Base::W)]; }

    // The tangents through one event; region f holds the right-hand side before it where times have
    // tangents.
    TEORELL_HD TEORELL_APART void event(int l, std::int64_t e) {
        for (int k = 0; g.event_time != nullptr && k < at.n; ++k)
            lane(at.ynew + k, l) = lane(at.f + k, l);
        Base::apply(l, e);
        if (e + 1 == current(l).event && at.n_surfaces > 0) Base::set_parameters(l, stretch[l]);
        if (g.event_time != nullptr) Base::right_hand_side(l, execute);
        const std::int32_t target = b.event_targets[e], kind = b.event_kinds[e];
        for (std::int64_t d = 0; d < g.directions; ++d) {
            const std::int64_t at_row =
                d * g.event_strides[0] + patient[l] * g.event_strides[1] + e;
            const double value = g.event_value == nullptr ? 0.0 : g.event_value[at_row];
            if (kind == bolus || kind == given) ydot(carried, d, target)[l] += value;
            if (kind == infusion_start) ratedot(d, target)[l] += value;
            if (kind == infusion_end) ratedot(d, target)[l] -= value;
            if (kind == reset) forget(l, d, target);
            if (kind == parameter_change) paramdot(carried, d, target)[l] = value;
            if (Base::changes_parameters(kind)) prepare_tangents(l, d);
            if (g.event_time == nullptr) continue;
            for (int k = 0; k < at.n; ++k)
                ydot(carried, d, k)[l] +=
                    ((kind == reset ? 0.0 : lane(at.ynew + k, l)) - lane(at.f + k, l)) *
                    g.event_time[at_row];
        }
    }

    // Parameters and their tangents as they hold in the stretch.
    TEORELL_HD void change_parameters(int l) {
        Base::set_parameters(l, stretch[l]);
        for (std::int64_t d = 0; d < g.directions; ++d) prepare_tangents(l, d);
    }

    // The tangents over a surface, as Reverse::pass_back has them.
    TEORELL_HD TEORELL_APART void pass(int l, std::int32_t crossed) {
        const int surface = Base::surface_of(crossed);
        Base::right_hand_side(l, execute);
        const double before = Base::distance_rate(l, surface);
        Base::set_parameters(l, stretch[l]);
        Base::right_hand_side(l, execute);
        const double after = Base::distance_rate(l, surface);
        const bool held = Base::is_held(l, surface, before, after);
        const double rate = Base::passing_rate(l, crossed, before, after);
        Base::set_parameters(l, stretch[l] - 1);
        Base::right_hand_side(l, execute);
        for (int k = 0; k < at.n; ++k) lane(at.ynew + k, l) = lane(at.f + k, l);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            for (int k = 0; k < at.n; ++k) put(at.ydot + k, get(at.yndot + k));
            interpret<V>(m.surfaces_jvp, ws);
            shift(d) = -lane(at.gdot + surface, l) / rate;
            if (r.count > 0 && !held) Base::extrema_at_events(l, d, shift(d), shift(d));
        }
        if (r.count > 0 && !held)
            Base::integrals_beside(l, 1.0, [this](std::int64_t d) { return shift(d); });
        change_parameters(l);
        if (r.count > 0 && !held)
            Base::integrals_beside(l, -1.0, [this](std::int64_t d) { return shift(d); });
        Base::right_hand_side(l, execute);
        for (int k = 0; k < at.n; ++k) {
            const double jump = lane(at.ynew + k, l) - lane(at.f + k, l);
            for (std::int64_t d = 0; d < g.directions && jump != 0.0; ++d)
                ydot(carried, d, k)[l] += jump * shift(d);
        }
    }

    // Of the actions that follow: those of the time of the last event here.
    TEORELL_HD void note_shifts(int l, std::int64_t from, std::int64_t to) {
        for (std::int64_t d = 0; d < g.directions; ++d)
            shift(d) = g.event_time == nullptr || to == from ? 0.0 : Base::time_dot(l, d, to - 1);
    }

    // The tangents through an action, as Reverse::act_back has them.
    TEORELL_HD TEORELL_APART void act(int l, std::int32_t event) {
        if (r.count > 0)
            Base::integrals_beside(l, 1.0, [this](std::int64_t d) { return shift(d); });
        Base::right_hand_side(l, execute);
        interpret<V>(m.action_rates, ws);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            for (int k = 0; k < at.n; ++k) put(at.ydot + k, get(at.yndot + k));
            interpret<V>(m.actions_jvp, ws);
            for (int k = 0; k < at.n; ++k) ydot(carried, d, k)[l] += lane(at.f + k, l) * shift(d);
            for (int a = 0; a < at.n_actions; ++a)
                if (m.action_events[a] == event)
                    ydot(carried, d, m.action_states[a])[l] =
                        lane(at.actdot + a, l) + lane(at.actrate + a, l) * shift(d);
        }
        if (at.n_surfaces > 0 && Base::sides_change(l)) change_parameters(l);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        if (r.count > 0)
            Base::integrals_beside(l, -1.0, [this](std::int64_t d) { return shift(d); });
        Base::right_hand_side(l, execute);
        for (std::int64_t d = 0; d < g.directions; ++d)
            for (int k = 0; k < at.n; ++k) ydot(carried, d, k)[l] -= lane(at.f + k, l) * shift(d);
    }

    TEORELL_HD bool changes(std::int64_t from, std::int64_t to) const {
        for (std::int64_t e = from; e < to; ++e)
            if (Base::changes_parameters(b.event_kinds[e])) return true;
        return false;
    }

    // At a reset.
    TEORELL_HD void forget(int l, std::int64_t d, std::int32_t target) {
        for (int k = 0; k < at.n_rates; ++k) ratedot(d, k)[l] = 0.0;
        if (target == to_initial) {
            load(d);
            load_parameters(l, d);
            interpret<V>(m.initial_jvp, ws);
        }
        for (int k = 0; k < at.n; ++k)
            ydot(carried, d, k)[l] = target == to_initial ? lane(at.yndot + k, l) : 0.0;
    }

    TEORELL_HD void load_parameters(int l, std::int64_t d) {
        for (int k = 0; k < at.n_params; ++k)
            lane(at.paramsdot + k, l) = paramdot(carried, d, k)[l];
    }

    // Of coefficients after a change; the tangents of rates stay.
    TEORELL_HD TEORELL_APART void prepare_tangents(int l, std::int64_t d) {
        load_parameters(l, d);
        interpret<V>(m.prepare_jvp, ws);
        for (int k = 0; k < at.n_coef - at.n_rates; ++k)
            coefdot(carried, d, k)[l] = lane(at.coefdot + k, l);
    }
};

TEORELL_END
