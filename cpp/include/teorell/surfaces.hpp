// Conditions on states. Each has a surface, where its distance g(t, y) passes zero, and each lane a
// side of it, the sign of g, which the rates read: within a step it does not change, so that every
// step sees smooth rates. What of a step lies on which side, by the dense output.
#pragma once

#include "reductions.hpp"

TEORELL_BEGIN

// Lanes, each with its sides. Executor: as for Group.
template <class V, class Method, class Executor>
class SurfaceLanes : protected ReductionLanes<V, Method, Executor> {
    using Base = ReductionLanes<V, Method, Executor>;

  protected:
    using P = Pack<V>;
    using Base::Base, Base::get, Base::put, Base::lane, Base::execute;
    using Base::W, Base::m, Base::at, Base::b, Base::ws;

    TEORELL_HD std::int32_t side_slot(int k) const {
        return at.params + at.n_params + at.n_switches - at.n_surfaces + k;
    }
    TEORELL_HD double side(int l, int k) const { return lane(side_slot(k), l); }
    TEORELL_HD static double side_of(double g) {
        return g > 0.0 ? 1.0 : g < 0.0 ? -1.0 : g == 0.0 ? 0.0 : g - g;  // NaN: all are false
    }
    TEORELL_HD static bool same(double a, double b) { return a == b || (a != a && b != b); }
    TEORELL_HD bool change_side(int l, int k, double s) {
        double& now = lane(side_slot(k), l);
        if (same(now, s)) return false;
        now = s;
        return true;
    }

    TEORELL_HD void distances_at_start() {
        for (int i = 0; i < m.n_surface_states; ++i)
            put(at.y + m.surface_states[i], get(at.yn + m.surface_states[i]));
        put(at.scalar + s_t, get(at.scalar + s_tn));
        interpret<V>(m.surfaces, ws);
    }
    TEORELL_HD void rates_at_start() {
        rates_at(at.yn, get(at.scalar + s_tn));
        interpret<V>(m.surface_rates, ws);
    }
    // The right-hand side, into region f.
    TEORELL_HD void rates_at(std::int32_t states, V t) {
        for (int k = 0; k < at.n; ++k)
            put(at.y + k, get(states + k)), put(at.f + k, P::broadcast(0.0));
        put(at.scalar + s_t, t);
        execute.rhs(ws);
    }

    TEORELL_HD std::int32_t node(int k, int i) const { return at.gnodes + n_nodes * k + i; }
    TEORELL_HD TEORELL_APART void distances_at_node(int i, V t_new, V h_step) {
        const V theta = P::broadcast(i / (n_nodes - 1.0));
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int j = 0; j < m.n_surface_states; ++j) {
            const std::int32_t state = m.surface_states[j];
            put(at.y + state, i == 0 ? get(at.yn + state)
                              : i == n_nodes - 1
                                  ? get(at.ynew + state)
                                  : dense_value<V, Method>(*this, state, theta, weights));
        }
        put(at.scalar + s_t, i == n_nodes - 1 ? t_new : fma(theta, h_step, get(at.scalar + s_tn)));
        interpret<V>(m.surfaces, ws);
        for (int k = 0; k < at.n_surfaces; ++k) put(node(k, i), get(at.g + k));
    }

    // How far the distances may be off within the tolerances of the states, into region gtol.
    TEORELL_HD TEORELL_APART void tolerances(std::int32_t states, V t) {
        put(at.scalar + s_t, t);
        for (int j = 0; j < m.n_surface_states; ++j)
            put(at.y + m.surface_states[j], get(states + m.surface_states[j]));
        interpret<V>(m.surfaces, ws);
        for (int k = 0; k < at.n_surfaces; ++k)
            put(at.grate + k, get(at.g + k)), put(at.gtol + k, P::broadcast(0.0));
        for (int j = 0; j < m.n_surface_states; ++j) {
            const std::int32_t state = m.surface_states[j];
            const V y = get(states + state), size = min(abs(y), abs(get(at.yn + state)));
            put(at.y + state, y + fma(P::broadcast(b.rtol), size, get(at.atol + state)));
            interpret<V>(m.surfaces, ws);
            put(at.y + state, y);
            for (int k = 0; k < at.n_surfaces; ++k)
                put(at.gtol + k, get(at.gtol + k) + abs(get(at.g + k) - get(at.grate + k)));
        }
    }

    // Lanes that stay on their side of a surface for the whole step; a quartic through the
    // distances at five places stands for them.
    TEORELL_HD unsigned clear_of(int k) {
        const V s = get(side_slot(k)), zero = P::broadcast(0.0), band = get(at.band + k);
        const auto on = s == zero;
        V room[n_nodes];
        for (int i = 0; i < n_nodes; ++i) {
            const V g = get(node(k, i));
            room[i] = select(on, band - abs(g), fma(s, g, band));
        }
        const Hull<V> hull(room);
        return bits(P::load(hull.lower) >= zero);
    }

    // Distances of one lane at the nodes on the side where it is, and how much room is left in
    // them; false where one is not finite.
    TEORELL_HD bool room_of(int l, int k, double* room) const {
        const double s = side(l, k), band = lane(at.band + k, l);
        double sum = 0.0;
        for (int i = 0; i < n_nodes; ++i) {
            const double g = lane(node(k, i), l);
            room[i] = s == 0.0 ? band - abs(g) : s * g + band;
            sum += room[i];
        }
        return sum - sum == 0.0;
    }

    // Where in the step a lane passes a surface first, in theta; 2: nowhere.
    TEORELL_HD TEORELL_APART double passes(int l, int k) const {
        double room[n_nodes];
        const double last = lane(node(k, n_nodes - 1), l);
        if (!room_of(l, k, room)) return same(side_of(last), side(l, k)) ? 2.0 : 0.0;
        if (room[0] < 0.0) return 0.0;
        if (side(l, k) == 0.0) {
            for (int i = 1; i < n_nodes; ++i)
                if (room[i] < 0.0) return 0.0;
            return 2.0;
        }
        const Quartic curve(room);
        if (room[0] == 0.0 && curve.slope(0.0) < 0.0) return 0.0;
        double found[n_nodes - 1];
        const int n = curve.crossings(0.0, 0.0, 1.0, found);
        for (int i = 0; i < n; ++i)
            if (curve.slope(found[i]) < 0.0) return found[i];
        return room[n_nodes - 1] < 0.0 ? 1.0 : 2.0;
    }

    // The sides of a lane at the end of its step.
    TEORELL_HD void flip(int l) {
        for (int k = 0; k < at.n_surfaces; ++k) {
            const double g = lane(node(k, n_nodes - 1), l);
            if (!(abs(g) <= lane(at.band + k, l))) change_side(l, k, side_of(g));
        }
    }

    // The side of a lane after it has passed a surface in its step.
    TEORELL_HD double side_after(int l, int k) const {
        const double s = side(l, k), band = lane(at.band + k, l);
        if (s == 1.0 || s == -1.0) {
            const double last = lane(node(k, n_nodes - 1), l);
            return last - last == 0.0 ? -s : last - last;
        }
        for (int i = 0; i < n_nodes; ++i)
            if (abs(lane(node(k, i), l)) > band) return side_of(lane(node(k, i), l));
        return side_of(lane(node(k, n_nodes - 1), l));
    }
};

TEORELL_END
