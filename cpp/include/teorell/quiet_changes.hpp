// A change of sides that has no effect on a step waits for its end.
#pragma once

#include "sliding.hpp"

TEORELL_BEGIN

// Lanes whose steps pass surfaces. Executor: as for Group.
template <class V, class Method, class Executor>
class QuietLanes : protected SlidingLanes<V, Method, Executor> {
    using Base = SlidingLanes<V, Method, Executor>;

  protected:
    using Base::Base, Base::get, Base::put, Base::lane, Base::for_each;
    using Base::rates_at, Base::room_of, Base::passes, Base::side_of, Base::side_slot,
        Base::change_side, Base::node;
    using Base::W, Base::m, Base::at, Base::b;

    alignas(Base::alignment) double length[W];  // of the step

    // Of lanes that pass surfaces those for which it is the same, within a tenth of the tolerance,
    // when their sides change, one after the other, at the end of the step. A kink that is passed
    // by no more than the tolerance counts as such; what an action waits for does not.
    TEORELL_HD TEORELL_APART unsigned without_effect(unsigned lanes, V t_new) {
        unsigned good = lanes, more = lanes;
        for_each(lanes, [&](int l) {
            for (int k = 0; k < at.n_surfaces; ++k)
                if (passes(l, k) <= 1.0 && !may_be_quiet(l, k)) good &= ~(1u << l);
            done[l] = -1.0;
        });
        more = good;
        if (good == 0) return 0;
        rates_at(at.ynew, t_new);
        for (int k = 0; k < at.n; ++k) put(at.gf + k, get(at.f + k));
        for (int k = 0; k < at.n_surfaces; ++k) put(at.gside + k, get(side_slot(k)));
        while (more != 0) {
            for_each(more, [&](int l) { more &= flip_next(l) ? ~0u : ~(1u << l); });
            if (more == 0) break;
            Base::prepare_again();
            rates_at(at.ynew, t_new);
            for_each(more, [&](int l) {
                if (!rates_are_near(l)) good &= ~(1u << l), more &= ~(1u << l);
            });
        }
        for (int k = 0; k < at.n_surfaces; ++k) put(side_slot(k), get(at.gside + k));
        Base::prepare_again();
        return good;
    }

  private:
    double done[W];  // up to where sides have been changed to see whether that has an effect

    TEORELL_HD bool may_be_quiet(int l, int k) const {
        double lack[n_nodes];
        if (m.surface_kinds[k] >= of_action) return false;
        if (!room_of(l, k, lack)) return true;
        for (double& each : lack) each = -each;
        const Quartic curve(lack);
        const bool there = lack[n_nodes - 1] > 0.0;
        return (m.surface_kinds[k] == of_jump && there) ||
               curve(curve.highest(0.0, 1.0)) <= lane(at.gtol + k, l);
    }

    // The sides of all surfaces that are passed up to the next that has not been; false: there is
    // none. After a surface that is passed twice the side is again the one before.
    TEORELL_HD bool flip_next(int l) {
        double theta = 2.0;
        for (int k = 0; k < at.n_surfaces; ++k) {
            const double at_k = passes(l, k);
            if (at_k > done[l] && at_k < theta) theta = at_k;
        }
        if (theta > 1.0) return false;
        done[l] = theta;
        for (int k = 0; k < at.n_surfaces; ++k) {
            const double g = lane(node(k, n_nodes - 1), l);
            if (passes(l, k) == theta && !(abs(g) <= lane(at.band + k, l)))
                change_side(l, k, side_of(g));
        }
        return true;
    }

    TEORELL_HD bool rates_are_near(int l) const {
        for (int k = 0; k < at.n; ++k) {
            const double jump = length[l] * (lane(at.f + k, l) - lane(at.gf + k, l)),
                         size = fma(b.rtol, abs(lane(at.ynew + k, l)), lane(at.atol + k, l));
            if (!(abs(jump) <= 0.1 * size)) return false;
        }
        return true;
    }
};

TEORELL_END
