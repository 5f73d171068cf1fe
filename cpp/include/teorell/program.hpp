// Straight-line programs over numbered slots: the instruction set (docs/programs.md) and the
// views of a model's programs.
#pragma once

#include "host_device.hpp"

namespace teorell {

enum class Op : std::int32_t {
    end,
    sum,
    div,
    sqrt,
    min,
    max,
    lt,
    le,
    select,
    abs,
    round,
    exp2i,
    exponent,
    mantissa,
    mul,
    fma
};
constexpr Op last_op = Op::fma;

// Slot offsets of a model's regions; docs/programs.md has the table.
struct Layout {
    // Machine code of a step is shared by models that differ in outputs, parameters or constants:
    // it addresses slots from `scalar` on, before which lie the coefficients that it reads.
    std::int32_t constants, coef, scalar, y, f, lu, yn, ynew, top, atol, u, ft;
    std::int32_t temp;  // scratch
    std::int32_t out, params;
    // Of the adjoint.
    std::int32_t block, ukept, ubar, lam, ynbar, coefbar, paramsbar, outbar, ysbar, outcoef;
    // Of forward sensitivities.
    std::int32_t z, ydot, yndot, udot, coefdot, paramsdot, outdot, entries, entries_ft;
    // Of surfaces: distances, at the nodes of a step, their rates, tolerances; how near is on it;
    // sides and rates of states to compare; cotangents of distances, states, coefficients;
    // tangents.
    std::int32_t g, gnodes, grate, gtol, band, push, gside, gf, gbar, gybar, gcoefbar, gdot;
    // Of declared events: conditions that hold now, and that held; what actions give, how fast
    // that changes; cotangents of what they give, of states and coefficients; tangents.
    std::int32_t when, was, act, actrate, actbar, aybar, acoefbar, actdot;
    std::int32_t slots;  // the end of all regions
    std::int32_t n_const, n_coef, n, n_ft, n_out, n_params, n_switches, n_surfaces, n_events,
        n_actions, rates, n_rates, stages, n_entries, n_outcoef;
};

// Places within the scalar region.
enum Scalar : std::int32_t {
    s_t,
    s_tn,
    s_h,
    s_hinv,
    s_ghinv,
    s_rtol,
    s_err2,
    s_pivot,
    s_valid,
    n_scalars = 12
};

constexpr int max_stages = 8;

// What changes at a surface: rates, their slopes alone, whether an action is taken, or an output
// that is integrated (and perhaps rates).
enum SurfaceKind : std::uint8_t { of_jump = 0, of_kink = 1, of_action = 2, of_output = 3 };

// Everything of a model that the time loop needs; plain pointers, so that it serves host and device
// alike.
struct Programs {
    Layout at;
    const double* constants;  // [n_const]
    const std::int32_t* prepare;
    const std::int32_t* initial;
    const std::int32_t* rhs;    // writes region f
    const std::int32_t* df_dt;  // null if time does not appear
    const std::int32_t* jacobian_lu;
    const std::int32_t* outputs;
    // rhs and solve with region f moved to that stage's u.
    const std::int32_t* stage_rhs[max_stages];
    const std::int32_t* stage_solve[max_stages];
    const std::int32_t* ft_rows;        // [n_ft] state of each ft slot
    const std::int32_t* output_states;  // [n_output_states] states that outputs read
    std::int32_t n_output_states;
    const std::uint8_t* controlled;  // [n]
    const std::uint8_t* is_signed;   // [n]
    double inverse_n_controlled;
    const double* switch_before;  // [n_switches] those of time, then the sides of surfaces
    // [n_switches] or null; 1: where it changes a power of time begins whose slope by its exponent
    // is infinite there.
    const std::uint8_t* steep;
    // Conditions on states: distances from their surfaces (t, y, coef -> g), and how fast these
    // change (t, y, f, coef -> grate).
    const std::int32_t* surfaces;
    const std::int32_t* surface_rates;
    const std::int32_t* surface_states;  // [n_surface_states] states that the distances read
    std::int32_t n_surface_states;
    const std::uint8_t* surface_kinds;  // [n_surfaces] of SurfaceKind
    // Declared events: their conditions (coef -> when), what their actions give (t, y, coef -> act)
    // and how fast that changes (t, y, f, coef -> actrate).
    const std::int32_t* conditions;
    const std::int32_t* actions;
    const std::int32_t* action_rates;
    const std::int32_t* action_events;   // [n_actions] whose they are
    const std::int32_t* action_states;   // [n_actions] what they change
    const std::int32_t* event_surfaces;  // [n_events] one of those its condition reads, or -1

    // Derivatives: empty programs unless the model was lowered for them.
    // solve_transposed and stage_vjp, regions block and u moved to a stage's.
    const std::int32_t* stage_transposed[max_stages];
    const std::int32_t* stage_vjp[max_stages];
    const std::int32_t* second_vjp;
    const std::int32_t* outputs_vjp;
    const std::int32_t* initial_vjp;
    const std::int32_t* prepare_vjp;
    const std::int32_t* surfaces_vjp;  // t, y, coef, gbar -> gybar, gcoefbar
    const std::int32_t* actions_vjp;   // t, y, coef, actbar -> aybar, acoefbar
    // stage_jvp and solve with region f moved to that stage's udot.
    const std::int32_t* stage_jvp[max_stages];
    const std::int32_t* stage_solve_dot[max_stages];
    const std::int32_t* second_jvp;
    const std::int32_t* outputs_jvp;
    const std::int32_t* initial_jvp;
    const std::int32_t* prepare_jvp;
    const std::int32_t* surfaces_jvp;  // t, y, ydot, coef, coefdot -> gdot
    const std::int32_t* actions_jvp;   // t, y, ydot, coef, coefdot -> actdot
    // [n_entries][3] row, column of the Jacobian; number of the column.
    const std::int32_t* entries;
    const std::int32_t* output_coefs;  // [n_outcoef]
    // [n_sampled_states] those of output_states whose values outputs_vjp reads.
    const std::int32_t* sampled_states;
    std::int32_t n_sampled_states;
};

}  // namespace teorell

TEORELL_BEGIN

// Words of the instruction at `code`, its operation included.
TEORELL_HD inline int instruction_length(const std::int32_t* code) {
    switch (static_cast<Op>(*code)) {
    case Op::end: return 1;
    case Op::sum: return 5 + 2 * (code[3] + code[4]);
    case Op::sqrt:
    case Op::abs:
    case Op::round:
    case Op::exp2i:
    case Op::exponent:
    case Op::mantissa: return 3;
    case Op::select:
    case Op::fma: return 5;
    default: return 4;
    }
}

// Copies `code` with every operand in [from, from + count) moved to `to`; returns the words
// written.
inline int relocate(const std::int32_t* code, std::int32_t from, std::int32_t count,
                    std::int32_t to, std::int32_t* result) {
    const auto moved = [=](std::int32_t slot) {
        return slot >= from && slot < from + count ? slot - from + to : slot;
    };
    int i = 0;
    while (static_cast<Op>(code[i]) != Op::end) {
        const int length = instruction_length(code + i);
        result[i] = code[i];
        for (int k = 1; k < length; ++k) {
            const bool is_count = static_cast<Op>(code[i]) == Op::sum && (k == 3 || k == 4);
            result[i + k] = is_count ? code[i + k] : moved(code[i + k]);
        }
        i += length;
    }
    result[i] = 0;
    return i + 1;
}

TEORELL_END
