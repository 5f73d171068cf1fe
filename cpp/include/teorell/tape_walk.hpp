// What the two ways along a tape, back with cotangents and forward with tangents, have in common: lanes, each with a
// patient of the tape and a place on it, and patients that wait for a lane, their coefficients computed together.
#pragma once

#include "integrate.hpp"
#include "tape.hpp"

TEORELL_BEGIN

template <class V>
class TapeWalk {
  protected:
    using P = Pack<V>;
    static constexpr int W = P::width;

    // Two workspaces, [slots][W] each, aligned.
    TapeWalk(const Programs& programs, const Batch& batch, const Tape& tape, double* workspace, double* staging)
        : m(programs), at(programs.at), b(batch), tape(tape), ws(workspace), side(staging) {
        clear_workspace(m, b, W, ws);
        clear_workspace(m, b, W, side);
    }

    const Programs& m;
    const Layout& at;
    const Batch& b;
    const Tape& tape;
    double *ws, *side;
    std::int64_t next_patient = 0, end_patient = 0;
    std::int64_t patient[W], record[W], stretch[W], sample[W];
    const PatientTape* of[W];
    std::int64_t staged[W];
    int n_staged = 0, next_staged = 0;
    unsigned active = 0;

    double* slot(std::int32_t s) const { return ws + static_cast<std::int64_t>(s) * W; }
    V get(std::int32_t s) const { return P::load(slot(s)); }
    void put(std::int32_t s, V v) const { P::store(slot(s), v); }
    double& lane(std::int32_t s, int l) const { return slot(s)[l]; }
    static double& in(double* w, std::int32_t s, int l) { return w[static_cast<std::int64_t>(s) * W + l]; }
    static bool has(unsigned set, int l) { return (set >> l) & 1u; }
    template <class Action>
    TEORELL_INLINE static void for_each(unsigned set, Action action) {
        for (; set != 0; set &= set - 1) action(__builtin_ctz(set));
    }
    const Stretch& current(int l) const { return of[l]->stretches.data[stretch[l]]; }
    std::int64_t first_event(int l) const {
        return stretch[l] > 0 ? of[l]->stretches.data[stretch[l] - 1].event
                              : b.event_offsets[patient[l] * b.event_offset_stride];
    }

    // Parameters of up to W patients that are `wanted`, with the switches of their first or last stretch, and their
    // coefficients; false if there is none.
    template <class Wanted>
    bool stage_patients(bool from_the_end, Wanted wanted) {
        n_staged = next_staged = 0;
        for (; n_staged < W && next_patient < end_patient; ++next_patient)
            if (wanted(next_patient)) staged[n_staged++] = next_patient;
        if (n_staged == 0) return false;
        for (int l = 0; l < W; ++l) {
            const std::int64_t i = staged[l < n_staged ? l : 0];
            const PatientTape& p = tape.of(i);
            for (int k = 0; k < at.n_params; ++k) in(side, at.params + k, l) = b.columns[k][i * b.column_strides[k]];
            for (int k = 0; k < at.n_switches; ++k)
                in(side, at.params + at.n_params + k, l) =
                    from_the_end ? tape.switches(p, p.stretches.size - 1)[k] : m.switch_before[k];
        }
        interpret<V>(m.prepare, side);
        return true;
    }

    void seat(int l, int from) {
        patient[l] = staged[from];
        of[l] = &tape.of(patient[l]);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coef + k, l) = in(side, at.coef + k, from);
        for (int k = 0; k < at.n_params + at.n_switches; ++k) lane(at.params + k, l) = in(side, at.params + k, from);
        active |= 1u << l;
    }

    // The empty lane idles on a harmless state.
    void leave(int l) {
        active &= ~(1u << l);
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = 0.0;
        lane(at.scalar + s_h, l) = 1.0;
    }

    void load_step(int l) {
        lane(at.scalar + s_tn, l) = of[l]->steps.data[record[l]].t;
        lane(at.scalar + s_h, l) = of[l]->steps.data[record[l]].h;
    }

    // What holds in a stretch; before the first, no infusion runs and no switch has turned.
    void set_rates(int l, std::int64_t which) {
        for (int k = 0; k < at.n_rates; ++k) lane(at.rates + k, l) = which < 0 ? 0.0 : tape.rates(*of[l], which)[k];
    }
    void set_switches(int l, std::int64_t which) {
        for (int k = 0; k < at.n_switches; ++k)
            lane(at.params + at.n_params + k, l) = which < 0 ? m.switch_before[k] : tape.switches(*of[l], which)[k];
        interpret<V>(m.prepare, ws);
    }

    // The right-hand side at tn and yn of one lane, into region f.
    template <class Executor>
    void right_hand_side(int l, const Executor& execute) {
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = lane(at.yn + k, l), put(at.f + k, P::broadcast(0.0));
        execute.rhs(ws);
    }

    // What an event does to yn, rates and switches; the values that hold after several are those of the tape.
    void apply(int l, std::int64_t e) {
        const std::int32_t target = b.event_targets[e];
        const double value = b.event_values[e];
        switch (b.event_kinds[e]) {
        case bolus: lane(at.yn + target, l) += value; break;
        case infusion_start: lane(at.rates + target, l) += value; break;
        case infusion_end: lane(at.rates + target, l) -= value; break;
        case switch_over:
            lane(at.params + at.n_params + target, l) = value;
            interpret<V>(m.prepare, ws);
            break;
        }
    }
};

TEORELL_END
