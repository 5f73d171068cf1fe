// What the two ways along a tape, back with cotangents and forward with tangents, have in common:
// lanes, each with a patient of the tape and a place on it, and patients that wait for a lane,
// their coefficients computed together.
#pragma once

#include "reductions.hpp"
#include "status.hpp"
#include "tape_places.hpp"

TEORELL_BEGIN

constexpr double taken_back = 1.9;  // 2 would take it back to the other side for ever

// Record: a Tape.
template <class V, class Record>
class TapeWalk : protected WorkspaceLanes<V> {
  protected:
    using Base = WorkspaceLanes<V>;
    using P = Pack<V>;
    using Base::W, Base::m, Base::at, Base::b, Base::ws, Base::put, Base::lane, Base::in;

    // Two workspaces, [slots][W] each, aligned.
    TEORELL_HD TapeWalk(const Programs& programs, const Batch& batch, const Record& tape,
                        double* workspace, double* staging)
        : Base(programs, batch, workspace), tape(tape), side(staging) {
        Base::clear_new(side);
    }

    const Record& tape;
    double* side;
    std::int64_t next_patient = 0, end_patient = 0;
    std::int64_t patient[W], record[W], stretch[W], sample[W];
    const double* times[W];
    const typename Record::Patient* of[W];
    std::int64_t staged[W];
    int n_staged = 0, next_staged = 0;
    unsigned active = 0;

    // Everything that lanes keep from step to step beside their workspace, as EventLanes has it.
    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        act(next_patient), act(end_patient), act(patient), act(record), act(stretch), act(sample);
        act(times), act(staged), act(n_staged), act(next_staged), act(active);
        for (int l = 0; l < W; ++l) of[l] = &tape.of(patient[l]);
    }

    TEORELL_HD const Stretch& current(int l) const { return of[l]->stretches.data[stretch[l]]; }
    TEORELL_HD std::int64_t first_event(int l) const {
        return stretch[l] > 0 ? of[l]->stretches.data[stretch[l] - 1].event
                              : b.event_offsets[patient[l] * b.event_offset_stride];
    }

    // Parameters of up to W patients that are `wanted`, as they hold at the start or the end, and
    // their coefficients; false if there is none.
    template <class Wanted>
    TEORELL_HD bool stage_patients(bool from_the_end, Wanted wanted) {
        n_staged = next_staged = 0;
        for (; n_staged < W; ++next_patient) {
            if (next_patient >= end_patient && !tape.more(b, W, next_patient, end_patient)) break;
            if (wanted(next_patient)) staged[n_staged++] = next_patient;
        }
        if (n_staged == 0) return false;
        for (int l = 0; l < W; ++l) {
            const std::int64_t i = staged[l < n_staged ? l : 0];
            const std::int64_t which = from_the_end ? tape.of(i).stretches.size - 1 : -1;
            for (int k = 0; k < at.n_params + at.n_switches; ++k)
                in(side, at.params + k, l) = parameter(i, which, k);
        }
        interpret<V>(m.prepare, side);
        return true;
    }

    TEORELL_HD void seat(int l, int from) {
        patient[l] = staged[from];
        times[l] = Base::sample_times(patient[l]);
        of[l] = &tape.of(patient[l]);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coef + k, l) = in(side, at.coef + k, from);
        for (int k = 0; k < at.n_params + at.n_switches; ++k)
            lane(at.params + k, l) = in(side, at.params + k, from);
        active |= 1u << l;
    }

    // The empty lane idles on a harmless state.
    TEORELL_HD void leave(int l) {
        active &= ~(1u << l);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = 0.0;
        lane(at.scalar + s_h, l) = 1.0;
    }

    TEORELL_HD void load_step(int l) {
        lane(at.scalar + s_tn, l) = of[l]->steps.data[record[l]].t;
        lane(at.scalar + s_h, l) = of[l]->steps.data[record[l]].h;
    }

    // What holds in a stretch; before the first, no infusion runs and no parameter or switch has
    // changed.
    TEORELL_HD double parameter(std::int64_t i, std::int64_t which, int k) const {
        if (which >= 0) return tape.parameters(tape.of(i), which)[k];
        return k < at.n_params ? b.columns[k][i * b.column_strides[k]]
                               : m.switch_before[k - at.n_params];
    }
    // Do sides of surfaces change at the start of the stretch?
    TEORELL_HD bool sides_change(int l) const {
        for (int k = at.n_params + at.n_switches - at.n_surfaces; k < at.n_params + at.n_switches;
             ++k) {
            const double now = parameter(patient[l], stretch[l], k),
                         before = parameter(patient[l], stretch[l] - 1, k);
            if (now != before && (now == now || before == before)) return true;
        }
        return false;
    }

    // How fast the distance of one lane, at tn and yn, changes with the rates in region f.
    TEORELL_HD double distance_rate(int l, int surface) const {
        interpret<V>(m.surface_rates, ws);
        return lane(at.grate + surface, l);
    }

    // What a stretch says of a surface that is passed at its start: which it is, and whether it has
    // held the lane before.
    TEORELL_HD int surface_of(std::int32_t crossed) const { return crossed % at.n_surfaces; }

    // The rate by which the time of a passing follows from the distance. Where the rates on both
    // sides lead the lane back, the surface holds it (SlidingLanes): the distance is taken away
    // along the difference of the rates. Within a step what moves across the surface grows; it is
    // taken back so far that it is none in the mean.
    TEORELL_HD double passing_rate(int l, std::int32_t crossed, double before, double after) const {
        if (!is_held(l, surface_of(crossed), before, after)) return before;
        return (before - after) / (crossed < at.n_surfaces ? 1.0 : taken_back);
    }

    // Do the rates on both sides of a surface lead a lane back to it, at the start of its stretch?
    TEORELL_HD bool is_held(int l, int surface, double before, double after) const {
        const int side = at.n_params + at.n_switches - at.n_surfaces + surface;
        const double to = parameter(patient[l], stretch[l], side);
        return to * before > 0.0 && to * after < 0.0;
    }

    TEORELL_HD void set_rates(int l, std::int64_t which) {
        for (int k = 0; k < at.n_rates; ++k)
            lane(at.rates + k, l) = which < 0 ? 0.0 : tape.rates(*of[l], which)[k];
    }
    TEORELL_HD TEORELL_APART void set_parameters(int l, std::int64_t which) {
        for (int k = 0; k < at.n_params + at.n_switches; ++k)
            lane(at.params + k, l) = parameter(patient[l], which, k);
        interpret<V>(m.prepare, ws);
    }

    // The right-hand side at tn and yn of one lane, into region f.
    template <class Executor>
    TEORELL_HD void right_hand_side(int l, const Executor& execute) {
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        for (int k = 0; k < at.n; ++k)
            lane(at.y + k, l) = lane(at.yn + k, l), put(at.f + k, P::broadcast(0.0));
        execute.rhs(ws);
    }

    // The outputs at tn and yn of one lane, into region out.
    template <class Executor>
    TEORELL_HD void outputs_of_lane(int l, const Executor& execute) {
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = lane(at.yn + k, l);
        execute.outputs(ws);
    }

    // d area / d output at one of the nodes of a piece of the step that a lane is at.
    TEORELL_HD TEORELL_APART double area_weight(int l, int reduction, const Piece& piece,
                                                int node) const {
        const double* window = b.reductions.window(reduction, patient[l]);
        const double t = lane(at.scalar + s_tn, l), h = lane(at.scalar + s_h, l);
        const Part part =
            part_of(window[0], window[1], t, t + h, h).of_piece(piece.start, piece.width);
        if (part.empty()) return 0.0;
        double weights[n_nodes];
        area_weights(part.lo, part.hi, weights);
        return h * piece.width * weights[node];
    }

    // What an event does to yn, rates and coefficients; the rates that hold after several are those
    // of the tape.
    TEORELL_HD TEORELL_APART void apply(int l, std::int64_t e) {
        const std::int32_t target = b.event_targets[e];
        const double value = b.event_values[e];
        switch (b.event_kinds[e]) {
        case bolus:
        case given: lane(at.yn + target, l) += value; break;
        case infusion_start: lane(at.rates + target, l) += value; break;
        case infusion_end: lane(at.rates + target, l) -= value; break;
        case switch_over:
        case parameter_change:
            lane(changed_by(e), l) = value;
            interpret<V>(m.prepare, ws);
            break;
        case reset:
            for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = 0.0;
            if (target == to_initial) interpret<V>(m.initial, ws);
            for (int k = 0; k < at.n; ++k)
                lane(at.yn + k, l) = target == to_initial ? lane(at.y + k, l) : 0.0;
            break;
        }
    }

    TEORELL_HD static bool changes_parameters(std::int32_t kind) {
        return kind == switch_over || kind == parameter_change;
    }
    TEORELL_HD std::int32_t changed_by(
        std::int64_t e) const {  // the slot of the parameter or switch
        return at.params + b.event_targets[e] + (b.event_kinds[e] == switch_over ? at.n_params : 0);
    }
};

TEORELL_END
