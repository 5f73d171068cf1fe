// Events that a model declares: where a condition becomes true, states change. A condition reads
// sides of surfaces and switches, so it changes where these do, at tn.
#pragma once

#include "crossings.hpp"

TEORELL_BEGIN

// Lanes, each with the conditions that hold. Executor: as for Group.
template <class V, class Method, class Executor>
class ActionLanes : protected CrossingLanes<V, Method, Executor> {
    using Base = CrossingLanes<V, Method, Executor>;
    using P = Pack<V>;

  protected:
    using Base::Base, Base::get, Base::put, Base::lane, Base::has, Base::for_each, Base::tn,
        Base::event;
    using Base::W, Base::m, Base::at, Base::b, Base::ws;

    unsigned due = 0;       // lanes with an action to take
    unsigned starting = 0;  // lanes that have been given a state to start from

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(due), act(starting), act(which);
    }

    TEORELL_HD std::int32_t action(int l) const { return has(due, l) ? which[l] : -1; }
    TEORELL_HD void seat_actions(int l) { due &= ~(1u << l); }

    // The end of the events of a lane at tn that are one: what is given of a start is alone.
    TEORELL_HD std::int64_t events_at_once(int l) {
        const std::int64_t last = Base::last_event_now(l);
        if (at.n_events == 0) return last;
        const double latest = tn(l) + event_tolerance(tn(l));
        for (std::int64_t e = event[l]; e < last && b.event_times[e] <= latest; ++e) {
            if (b.event_kinds[e] != given || (e + 1 < last && b.event_kinds[e + 1] == given))
                continue;
            starting |= 1u << l;
            return e + 1;
        }
        return last;
    }

    // Which conditions of lanes hold now; one that did not before has its action. At the start of a
    // patient none is taken.
    TEORELL_HD TEORELL_APART void note_conditions(unsigned lanes, bool at_start_of_all = false) {
        if (at.n_events == 0 || lanes == 0) return;
        interpret<V>(m.conditions, ws);
        for_each(lanes, [&](int l) {
            const bool at_start = at_start_of_all || has(starting, l);
            for (int j = 0; j < at.n_events; ++j) {
                const double now = lane(at.when + j, l) != 0.0 ? 1.0 : 0.0;
                double& before = lane(at.was + j, l);
                const bool turned = now > before;
                if (turned && !at_start && has(due, l)) continue;  // its turn comes
                before = now;
                if (turned && !at_start) due |= 1u << l, which[l] = j;
            }
        });
        starting &= ~lanes;
    }

    // The action of one lane: all its values are those of the state before it.
    TEORELL_HD TEORELL_APART void act(int l) {
        const std::int32_t j = which[l];
        due &= ~(1u << l);
        for (int k = 0; k < at.n; ++k) put(at.y + k, get(at.yn + k));
        put(at.scalar + s_t, get(at.scalar + s_tn));
        interpret<V>(m.actions, ws);
        for (int a = 0; a < at.n_actions; ++a)
            if (m.action_events[a] == j) lane(at.yn + m.action_states[a], l) = lane(at.act + a, l);
        Base::find_sides(1u << l, true);
        if (!Base::count_change(l)) Base::tear(l, m.event_surfaces[j]);
    }

  private:
    std::int32_t which[W];
};

TEORELL_END
