// A surface from which the rates of both sides lead back to it holds the solution: it slides along
// it, as a sum of both rates that adds up to nothing across (Filippov, Differential Equations with
// Discontinuous Righthand Sides, 1988, 2.4). Where what differs is small the solution is held
// within the tolerance: a step from the surface ends where it is a tolerance off, and is taken back
// to it along the difference of the rates; the next step has the other side. What goes on is
// refused.
#pragma once

#include "surfaces.hpp"

TEORELL_BEGIN

constexpr double most_pushed = 1000.0;  // tolerances by which a surface may hold a solution back
constexpr double band_width = 4.0;      // tolerances about it that count as on it
constexpr double in_the_end = 1e9;      // units of time
constexpr double clearly_more = 0.01;   // of the state: no such jump is followed

// Lanes, each perhaps held by surfaces. Executor: as for Group.
template <class V, class Method, class Executor>
class SlidingLanes : protected SurfaceLanes<V, Method, Executor> {
    using Base = SurfaceLanes<V, Method, Executor>;
    using P = Pack<V>;

  protected:
    using Base::Base, Base::get, Base::put, Base::lane, Base::tn, Base::has, Base::for_each,
        Base::execute;
    using Base::distances_at_start, Base::rates_at_start, Base::side;
    using Base::W, Base::m, Base::at, Base::b, Base::ws;

    unsigned slides = 0;   // lanes that some surface holds
    unsigned holding = 0;  // lanes that one has taken back where they stand
    double pace[W];        // of these: how far they may step

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(slides), act(holding), act(pace), act(entered), act(limit);
    }

    TEORELL_HD bool held(int l, int k) const { return lane(at.push + k, l) > 0.0; }
    TEORELL_HD void release(int l, int k) { lane(at.push + k, l) = 0.0; }

    // Of the surfaces from k on that hold a lane the first on whose other side it is, with the
    // distances that begin at `g`, `stride` slots from one to the next; -1: none.
    TEORELL_HD int drawn_over(int l, int k, std::int32_t g, std::int32_t stride) const {
        for (; k < at.n_surfaces; ++k)
            if (held(l, k) && side(l, k) * lane(g + stride * k, l) < -0.05 * lane(at.band + k, l))
                return k;
        return -1;
    }

    // How far lanes that have been taken back may step.
    TEORELL_HD unsigned keep_pace(unsigned lanes) {
        const unsigned those = lanes & holding;
        holding &= ~lanes;
        if (those == 0) return 0;
        for_each(those, [this](int l) { pace[l] = has(entered, l) ? 0.5 * limit[l] : limit[l]; });
        entered &= ~those;
        return those;
    }

    // A lane at tn with its new side, rates in region f, those of the side before in region gf, and
    // distances, tolerances and bands found. Both rates lead to the other side. stride: what a step
    // was. False: the surface holds back too much.
    TEORELL_HD bool hold(int l, int k, double before, double after, double stride) {
        const double off = lane(at.g + k, l), tolerance = lane(at.gtol + k, l),
                     most = most_pushed * tolerance, scale = tolerance / b.rtol,
                     rate = abs(before) > abs(after) ? abs(before) : abs(after);
        const double damping = damping_of(l, k, before, after);
        const double span = damping * stride > 1.0 ? 1.0 / damping : stride,
                     resolution = 1e-14 * abs(tn(l));
        if (rate * span > most && rate * span > clearly_more * scale) return false;
        if (!(tolerance > rate * resolution)) return false;
        // How far off it would be by now, without the surface: no further than in the end.
        double& push = lane(at.push + k, l);
        const bool starts = push == 0.0;
        const double so_far = push + abs(off) + 1e-3 * tolerance;
        push = damping * so_far > rate ? rate / damping : so_far;
        if (push > most) return false;
        const double back = off / (after - before);
        for (int i = 0; i < at.n; ++i)
            lane(at.yn + i, l) -= back * (lane(at.f + i, l) - lane(at.gf + i, l));
        lane(at.band + k, l) = band_width * tolerance;
        const double step = 0.5 * band_width * tolerance / abs(after - before);
        limit[l] = has(holding, l) && limit[l] < step ? limit[l] : step;
        entered |= (starts ? 1u : 0u) << l, holding |= 1u << l, slides |= 1u << l;
        return true;
    }

  private:
    unsigned entered =
        0;            // lanes whose surface has not held them before: a step of half the length
    double limit[W];  // of a step in which a lane stays within the tolerance

    // The jump of the rates of one side over the distance to which it leads in the end, by the
    // Jacobian: how fast a distance that it makes dies out; 0: it does not.
    TEORELL_HD double damping_of(int l, int k, double before, double after) {
        put(at.scalar + s_t, get(at.scalar + s_tn));
        put(at.scalar + s_ghinv, P::broadcast(1.0 / in_the_end));
        for (int i = 0; i < at.n; ++i) {
            put(at.y + i, get(at.yn + i));
            put(at.u + i, get(at.f + i) - get(at.gf + i));
            put(at.ynew + i, get(at.f + i));
        }
        interpret<V>(m.jacobian_lu, ws);
        interpret<V>(m.stage_solve[0], ws);
        for (int i = 0; i < at.n; ++i) put(at.f + i, P::broadcast(0.0));
        interpret<V>(m.surface_rates, ws);
        const double by_time = lane(at.grate + k, l);
        for (int i = 0; i < at.n; ++i) put(at.f + i, get(at.u + i));
        interpret<V>(m.surface_rates, ws);
        const double damping = (after - before) / (lane(at.grate + k, l) - by_time);
        for (int i = 0; i < at.n; ++i) put(at.f + i, get(at.ynew + i));
        return damping > 0.0 ? damping : 0.0;
    }
};

TEORELL_END
