// Where the solution passes a surface inside a step, the step is taken again to end there, the side
// changes, and the next step starts anew.
#pragma once

#include "first_step.hpp"
#include "quiet_changes.hpp"

TEORELL_BEGIN

constexpr int most_landings = 8;        // steps taken again to end at one crossing
constexpr double most_crossings = 1e4;  // between two events

// Lanes, each perhaps at a crossing. Executor: as for Group. Where there is no surface nothing is
// done.
template <class V, class Method, class Executor>
class CrossingLanes : protected QuietLanes<V, Method, Executor> {
    using Base = QuietLanes<V, Method, Executor>;
    using P = Pack<V>;

  protected:
    using Base::Base, Base::get, Base::put, Base::lane, Base::tn, Base::has, Base::for_each,
        Base::execute;
    using Base::distances_at_start, Base::distances_at_node, Base::rates_at, Base::rates_at_start,
        Base::tolerances, Base::clear_of, Base::room_of, Base::passes, Base::flip, Base::side_after;
    using Base::side, Base::side_of, Base::side_slot, Base::change_side, Base::node;
    using Base::slides, Base::holding, Base::held, Base::release, Base::drawn_over, Base::hold;
    using Base::W, Base::m, Base::at, Base::b, Base::length, Base::without_effect;

    unsigned landed = 0;   // lanes whose step ends at a crossing, or that stand at one
    unsigned settled = 0;  // lanes whose sides change at the end of the step without an effect
    unsigned torn = 0;     // lanes with a side to which neither way leads

    double target[W];  // length of the step that is taken again

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(landed), act(settled), act(torn), act(landing), act(surface), act(culprit),
            act(landings), act(to), act(crossed_last), act(crossed_at), act(crossings), act(stride);
    }

    // The surface that a lane passes at tn, after all of them if it has held the lane before; -1:
    // none, or it has stood on it since its last event, so that the time does not move.
    TEORELL_HD std::int32_t crossed(int l) const {
        if (!has(landed, l) || side(l, surface[l]) == 0.0) return -1;
        return surface[l] + (held(l, surface[l]) ? at.n_surfaces : 0);
    }

    TEORELL_HD void seat_sides(int l) {
        landed &= ~(1u << l), landing &= ~(1u << l), torn &= ~(1u << l);
        crossings[l] = stride[l] = 0.0, crossed_last[l] = -1;
        slides &= ~(1u << l), holding &= ~(1u << l);
        for (int k = 0; k < at.n_surfaces; ++k) lane(at.band + k, l) = 0.0, release(l, k);
    }

    // The sides of lanes at tn, from the state there, after events or an action; where they stand
    // on a surface, the side to which they go.
    TEORELL_HD TEORELL_APART void find_sides(unsigned lanes, bool after_action = false) {
        if (at.n_surfaces == 0 || lanes == 0) return;
        distances_at_start();
        unsigned changed = 0, on = 0;
        for_each(lanes, [&](int l) {
            if (!after_action) crossings[l] = 0.0, crossed_last[l] = -1;
            for (int k = 0; k < at.n_surfaces; ++k) {
                const double g = lane(at.g + k, l);
                if (abs(g) <= lane(at.band + k, l) && lane(at.band + k, l) > 0.0) {
                    if (after_action) on |= 1u << l;
                    continue;
                }
                lane(at.band + k, l) = 0.0, release(l, k);
                if (g == 0.0) on |= 1u << l;
                changed |= change_side(l, k, side_of(g)) ? 1u << l : 0u;
            }
        });
        if (changed != 0) Base::prepare_again();
        for_each(on, [this](int l) { leave_surfaces(l); });
    }

    // Whether accepted steps pass a surface. Returns the lanes that take their step again, of
    // length `target`, or not at all: those of `landed` among them stand at a crossing.
    TEORELL_HD TEORELL_APART unsigned look(unsigned accepted, V t_new, V h_step) {
        landed = settled = 0;
        if (at.n_surfaces == 0 || accepted == 0) return 0;
        for (int i = 0; i < n_nodes; ++i) distances_at_node(i, t_new, h_step);
        unsigned near = 0, passing = landing & accepted;
        for (int k = 0; k < at.n_surfaces; ++k) near |= accepted & ~clear_of(k);
        for_each(near, [&](int l) {
            for (int k = 0; k < at.n_surfaces; ++k) passing |= passes(l, k) <= 1.0 ? 1u << l : 0u;
        });
        if (passing == 0) return draw(accepted), 0;
        P::store(length, h_step);
        const unsigned quiet = passing & ~landing;
        if (quiet != 0) {
            tolerances(at.ynew, t_new);
            settled = quiet & without_effect(quiet, t_new);
        }
        unsigned again = 0;
        for_each(passing & ~settled, [&](int l) { again |= land(l) ? 1u << l : 0u; });
        draw(accepted & ~again);
        return again;
    }

    // Lanes that have passed a surface, and that another holds which they have not been taken back
    // to: at that now.
    TEORELL_HD unsigned next_surface(unsigned passed) {
        passed &= slides & ~torn;
        if (passed == 0) return 0;
        distances_at_start();
        unsigned more = 0;
        for_each(passed, [&](int l) {
            more |= stand_at(l, drawn_over(l, surface[l] + 1, at.g, 1)) ? 1u << l : 0u;
        });
        return more;
    }

    // Lanes whose step was refused have no crossing in it.
    TEORELL_HD void give_up_landing(unsigned lanes) { landing &= ~lanes; }

    // Lanes whose steps end in values that are not finite within the tolerance of a surface that
    // they go to: they stand at the crossing.
    TEORELL_HD TEORELL_APART void cross_here(unsigned lanes) {
        if (at.n_surfaces == 0 || lanes == 0) return;
        tolerances(at.yn, get(at.scalar + s_tn));
        rates_at_start();
        distances_at_start();
        for_each(lanes, [this](int l) {
            for (int k = 0; k < at.n_surfaces && !has(landed, l); ++k) {
                const double s = side(l, k);
                if (!(s * lane(at.g + k, l) <= lane(at.gtol + k, l))) continue;
                if (s * lane(at.grate + k, l) < 0.0) landed |= 1u << l, surface[l] = k, to[l] = -s;
            }
        });
    }

    // One lane at its crossing: to the other side.
    TEORELL_HD TEORELL_APART void cross_surface(int l) {
        const int k = surface[l];
        const bool jump = m.surface_kinds[k] == of_jump || m.surface_kinds[k] == of_output;
        rates_at_start();
        const double before = lane(at.grate + k, l);
        keep_rates();
        change_side(l, k, to[l]);
        Base::prepare_again();
        rates_at_start();
        const double after = lane(at.grate + k, l);
        find_tolerances();
        const double off = 1.000001 * abs(lane(at.g + k, l)), tolerance = lane(at.gtol + k, l);
        lane(at.band + k, l) = off > tolerance ? off : tolerance;
        const bool back = to[l] * before > 0.0 && to[l] * after < 0.0,
                   much = jump || abs(after) * stride[l] > 100.0 * tolerance;
        // The same surface again without a step between: changes have come to a limit.
        const bool again = crossed_last[l] == k && crossed_at[l] == tn(l);
        if (m.surface_kinds[k] == of_kink) {
            // Rates are continuous there: nothing is torn. What is within the step that made it
            // come back is noise.
            for (int i = 0; again && i < n_nodes; ++i) {
                const double g = abs(lane(node(k, i), l));
                if (g > lane(at.band + k, l)) lane(at.band + k, l) = g;
            }
        } else if (again || (!held(l, k) && !count_change(l)) ||
                   (back && much && !(jump && hold(l, k, before, after, stride[l])))) {
            tear(l, k);
        } else if (!back) {
            release(l, k);
        }
        crossed_last[l] = k, crossed_at[l] = tn(l);
    }

    // The sides of lanes at the end of their step.
    TEORELL_HD void change_sides(unsigned lanes) {
        for_each(lanes, [this](int l) { flip(l); });
        if (lanes != 0) Base::prepare_again();
    }

    // Of lanes whose steps are taken: those that have left a surface they were on.
    TEORELL_HD void leave_bands(unsigned taken) {
        const auto mask = P::from_bits(taken);
        const V zero = P::broadcast(0.0);
        for (int k = 0; k < at.n_surfaces; ++k) {
            const V band = get(at.band + k), last = get(side_slot(k)) * get(node(k, n_nodes - 1));
            put(at.band + k, select(mask, select(last > band, zero, band), band));
            if (slides != 0)
                put(at.push + k,
                    select(mask, select(last > band, zero, get(at.push + k)), get(at.push + k)));
        }
    }

    TEORELL_HD void tear(int l, std::int32_t k) { torn |= 1u << l, culprit[l] = k; }
    // One more change of sides, or of states, since the last event; false: it is one too many.
    TEORELL_HD bool count_change(int l) { return ++crossings[l] <= most_crossings; }

    // Which surface a lane is torn at.
    TEORELL_HD std::int32_t torn_at(int l) const { return culprit[l]; }

  private:
    unsigned landing = 0;     // lanes whose next step should end at a crossing
    std::int32_t surface[W];  // that of the crossing
    std::int32_t culprit[W];
    int landings[W];
    double to[W];  // the side after it
    std::int32_t crossed_last[W];
    double crossed_at[W];
    double crossings[W];  // since the last event
    double stride[W];     // before it was cut short

    // A lane that passes a surface in its step. True: it takes the step again, to end there.
    TEORELL_HD TEORELL_APART bool land(int l) {
        int first = -1;
        double theta = 2.0;
        for (int k = 0; k < at.n_surfaces; ++k) {
            const double at_k = passes(l, k);
            if (at_k < theta) theta = at_k, first = k;
        }
        const double resolution = (16.0 * 2.220446049250313e-16 * abs(tn(l)) + 1e-40) / length[l],
                     tolerance = 0.01 * b.rtol + 1e-14 + resolution;
        double room[n_nodes];
        if (has(landing, l)) {
            const bool finite = room_of(l, surface[l], room);
            const double slope = finite ? Quartic(room).slope(1.0) : 0.0,
                         off = slope < 0.0 ? -room[n_nodes - 1] / slope : 2.0;
            const bool earlier =
                theta < 1.0 - tolerance && theta < 1.0 + off && first != surface[l];
            if (!earlier && slope < 0.0) {
                if (abs(off) <= tolerance || landings[l] >= most_landings) return arrive(l);
                return aim(l, off < -0.9 ? 0.1 : off > 1.0 ? 2.0 : 1.0 + off);
            }
            landing &= ~(1u << l);
        } else {
            stride[l] = length[l], landings[l] = 0;
        }
        if (first < 0) return false;
        surface[l] = first, to[l] = side_after(l, first);
        const bool finite = room_of(l, first, room);
        if (finite && 1.0 - theta <= tolerance) return arrive(l);
        if ((finite ? theta : 0.25) <= resolution || (finite && theta == 0.0)) {
            landed |= 1u << l;
            return true;
        }
        if (finite) return aim(l, theta);
        target[l] = 0.25 * length[l];  // to where the distance becomes, or ceases to be, a number
        return true;
    }
    // Lanes at the end of their step, on the wrong side of a surface that holds them.
    TEORELL_HD void draw(unsigned lanes) {
        for_each(lanes & slides & ~landed, [this](int l) {
            if (stand_at(l, drawn_over(l, 0, node(0, n_nodes - 1), n_nodes))) landed |= 1u << l;
        });
    }
    TEORELL_HD bool stand_at(int l, int k) {
        if (k < 0) return false;
        surface[l] = k, to[l] = -side(l, k);
        return true;
    }
    TEORELL_HD bool arrive(int l) {
        landing &= ~(1u << l), landed |= 1u << l;
        return false;
    }
    TEORELL_HD bool aim(int l, double factor) {
        landing |= 1u << l, ++landings[l];
        target[l] = factor * length[l];
        return true;
    }
    // The side of a lane that stands exactly on surfaces: that to which it goes.
    TEORELL_HD void leave_surfaces(int l) {
        for (int k = 0; k < at.n_surfaces; ++k) {
            const double near = lane(at.band + k, l);
            if (!(abs(lane(at.g + k, l)) <= near)) continue;
            const double way = way_from(k, l);
            if (way == 0.0 || way != way || !change_side(l, k, way)) continue;
            Base::prepare_again();
            const bool kink = m.surface_kinds[k] == of_kink;
            if (kink || way * way_from(k, l) >= 0.0) continue;
            const double before = lane(at.grate + k, l);
            keep_rates();
            change_side(l, k, -way);
            Base::prepare_again();
            if (way * way_from(k, l) <= 0.0) continue;
            const double after = lane(at.grate + k, l);
            find_tolerances();
            if (!hold(l, k, before, after, Base::infinity)) tear(l, k);
        }
    }
    TEORELL_HD void keep_rates() {
        for (int i = 0; i < at.n; ++i) put(at.gf + i, get(at.f + i));
    }
    TEORELL_HD void find_tolerances() {
        tolerances(at.yn, get(at.scalar + s_tn));
        distances_at_start();
    }
    TEORELL_HD double way_from(int k, int l) {
        rates_at_start();
        return side_of(lane(at.grate + k, l));
    }
};

TEORELL_END
