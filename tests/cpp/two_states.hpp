// A model written by hand, for the tests of the engine: absorption and elimination, dosed and
// infused.
//     depot' = -ka depot + rate_0        central' = ka depot - ke central + rate_1        output:
//     central
// With the programs of its derivatives, the closed form, and a population that takes it through
// tl::solve.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "../../cpp/src/engine.hpp"
#include "check.hpp"
#include "teorell/events.hpp"
#include "teorell/status.hpp"

namespace two_states {

namespace tl = teorell;

enum : std::int32_t {  // slots; the regions of docs/programs.md
    one,
    ka,
    ke,
    rate0,
    rate1,
    scalar,
    y0 = scalar + tl::n_scalars,
    y1,
    f0,
    f1,
    lu0,
    lu1,
    yn0,
    ynew0 = yn0 + 2,
    top0 = ynew0 + 2,
    atol0 = top0 + 2,
    u0 = atol0 + 2,
    u1,
    out = u0 + 16,
    p_ka,
    p_ke,
    block,  // of the adjoint: y, w and Y of each stage
    w0 = block + 2,
    w1,
    Y0,
    Y1,
    ubar = block + 48,
    lam = ubar + 3,
    ynbar = lam + 2,
    ka_bar = ynbar + 2,
    ke_bar,
    rate0_bar,
    rate1_bar,
    p_ka_bar,
    p_ke_bar,
    outbar,
    ysbar0,
    ysbar1,
    z0,  // of forward sensitivities
    z1,
    ydot0,
    ydot1,
    yndot0,
    yndot1,
    udot,
    ka_dot = udot + 16,
    ke_dot,
    rate0_dot,
    rate1_dot,
    p_ka_dot,
    p_ke_dot,
    outdot,
    temp0,
    temp1,
    slots
};
enum : std::int32_t { sum = 1, division = 2, minimum = 4 };

struct Model {
    // clang-format off
    std::vector<std::int32_t> prepare{sum, ka, p_ka, 0, 0,  sum, ke, p_ke, 0, 0,  0};
    std::vector<std::int32_t> initial{sum, y0, -1, 1, 1, one, one, one, one,  sum, y1, y0, 0, 0,  0};
    std::vector<std::int32_t> rhs{
        sum, f0, f0, 1, 1, rate0, one, ka, y0,
        sum, f1, f1, 2, 1, rate1, one, ka, y0, ke, y1,  0};
    std::vector<std::int32_t> jacobian_lu{  // lu: the reciprocal diagonal of ghinv I - J
        sum, temp0, scalar + tl::s_ghinv, 1, 0, ka, one,  sum, temp1, scalar + tl::s_ghinv, 1, 0, ke, one,
        division, lu0, one, temp0,  division, lu1, one, temp1,  minimum, scalar + tl::s_pivot, temp0, temp1,  0};
    std::vector<std::int32_t> solve{
        sum, f0, -1, 1, 0, f0, lu0,  sum, temp0, f1, 1, 0, ka, f0,  sum, f1, -1, 1, 0, temp0, lu1,  0};
    std::vector<std::int32_t> outputs{sum, out, y1, 0, 0,  0};

    std::vector<std::int32_t> solve_transposed{
        sum, w1, -1, 1, 0, w1, lu1,  sum, temp0, w0, 1, 0, ka, w1,  sum, w0, -1, 1, 0, temp0, lu0,  0};
    std::vector<std::int32_t> stage_vjp{  // here u0 and u1 hold z; temp0 = w1 - w0
        sum, temp0, w1, 0, 1, w0, one,  sum, Y0, -1, 1, 0, ka, temp0,  sum, Y1, -1, 0, 1, ke, w1,
        sum, ka_bar, ka_bar, 1, 0, u0, temp0,  sum, ke_bar, ke_bar, 0, 1, u1, w1,
        sum, rate0_bar, rate0_bar, 1, 0, w0, one,  sum, rate1_bar, rate1_bar, 1, 0, w1, one,  0};
    std::vector<std::int32_t> outputs_vjp{sum, ysbar1, outbar, 0, 0,  0};
    std::vector<std::int32_t> prepare_vjp{
        sum, p_ka_bar, p_ka_bar, 1, 0, ka_bar, one,  sum, p_ke_bar, p_ke_bar, 1, 0, ke_bar, one,  0};

    std::vector<std::int32_t> stage_jvp{
        sum, f0, f0, 1, 2, rate0_dot, one, ka, ydot0, ka_dot, z0,
        sum, f1, f1, 3, 2, rate1_dot, one, ka, ydot0, ka_dot, z0, ke, ydot1, ke_dot, z1,  0};
    std::vector<std::int32_t> outputs_jvp{sum, outdot, ydot1, 0, 0,  0};
    std::vector<std::int32_t> initial_jvp{sum, yndot0, -1, 1, 1, one, one, one, one,  sum, yndot1, yndot0, 0, 0,  0};
    std::vector<std::int32_t> prepare_jvp{sum, ka_dot, p_ka_dot, 0, 0,  sum, ke_dot, p_ke_dot, 0, 0,  0};
    std::vector<std::int32_t> nothing{0};
    // clang-format on
    std::vector<std::vector<std::int32_t>> stages;
    std::vector<double> constants{1.0};
    std::vector<std::int32_t> output_states{1};
    std::vector<std::uint8_t> controlled{1, 1}, is_signed{0, 0};
    tl::Programs view{};

    Model() {
        auto& at = view.at;
        at.constants = one, at.coef = ka, at.scalar = scalar, at.y = y0, at.f = f0, at.lu = lu0,
        at.yn = yn0, at.ynew = ynew0, at.top = top0;
        at.atol = atol0, at.u = u0, at.ft = out, at.out = out, at.params = p_ka, at.temp = temp0,
        at.slots = slots;
        at.n_const = 1, at.n_coef = 4, at.n = 2, at.n_ft = 0, at.n_out = 1, at.n_params = 2,
        at.n_switches = 0, at.rates = rate0;
        at.n_rates = 2, at.stages = 8;
        view.constants = constants.data();
        view.prepare = prepare.data(), view.initial = initial.data(), view.rhs = rhs.data(),
        view.jacobian_lu = jacobian_lu.data();
        view.outputs = outputs.data();
        for (int i = 0; i < 8; ++i) {
            view.stage_rhs[i] = moved(rhs, f0, 2, u0 + 2 * i);
            view.stage_solve[i] = moved(solve, f0, 2, u0 + 2 * i);
        }
        view.output_states = output_states.data(), view.n_output_states = 1;
        view.controlled = controlled.data(), view.is_signed = is_signed.data(),
        view.inverse_n_controlled = 0.5;
        lower_adjoint();
        lower_tangents();
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

  private:
    void lower_adjoint() {
        auto& at = view.at;
        at.block = block, at.ukept = ubar, at.ubar = ubar, at.lam = lam, at.ynbar = ynbar,
        at.coefbar = ka_bar;
        at.paramsbar = p_ka_bar, at.outbar = outbar, at.ysbar = ysbar0, at.outcoef = z0;
        for (int i = 0; i < 8; ++i) {
            view.stage_transposed[i] = moved(solve_transposed, block, 6, block + 6 * i);
            moved(stage_vjp, block, 6, block + 6 * i);
            view.stage_vjp[i] = moved(stages.back(), u0, 2, u0 + 2 * i);
        }
        view.outputs_vjp = outputs_vjp.data(), view.prepare_vjp = prepare_vjp.data();
        view.second_vjp = view.initial_vjp = nothing.data();
    }

    void lower_tangents() {
        auto& at = view.at;
        at.z = z0, at.ydot = ydot0, at.yndot = yndot0, at.udot = udot, at.coefdot = ka_dot,
        at.paramsdot = p_ka_dot;
        at.outdot = outdot, at.entries = at.entries_ft = temp0;
        for (int i = 0; i < 8; ++i) {
            view.stage_jvp[i] = moved(stage_jvp, f0, 2, udot + 2 * i);
            view.stage_solve_dot[i] = moved(solve, f0, 2, udot + 2 * i);
        }
        view.outputs_jvp = outputs_jvp.data(), view.initial_jvp = initial_jvp.data();
        view.prepare_jvp = prepare_jvp.data(), view.second_jvp = nothing.data();
    }

    const std::int32_t* moved(const std::vector<std::int32_t>& code, std::int32_t from,
                              std::int32_t count, std::int32_t to) {
        std::vector<std::int32_t> copy(code.size());
        tl::relocate(code.data(), from, count, to, copy.data());
        return stages.emplace_back(std::move(copy)).data();
    }
};

// What the solution depends on: ka, ke, then value and time of the three events.
using Inputs = std::array<double, 8>;

constexpr double dose = 100.0, rate = 7.0, infusion_begin = 6.0, infusion_end = 9.0;

inline Inputs inputs(double ka, double ke) {
    return {ka, ke, dose, rate, rate, 0.0, infusion_begin, infusion_end};
}

// central(t) of a bolus into depot, and of the start and the end of an infusion into central.
inline double exact(const Inputs& p, double t) {
    const double ka = p[0], ke = p[1], since_dose = t - p[5], since_begin = t - p[6],
                 since_end = t - p[7];
    double central =
        p[2] * ka / (ka - ke) * (std::exp(-ke * since_dose) - std::exp(-ka * since_dose));
    if (since_begin > 0.0) central += p[3] / ke * (1.0 - std::exp(-ke * since_begin));
    if (since_end > 0.0) central -= p[4] / ke * (1.0 - std::exp(-ke * since_end));
    return central;
}

struct Result {
    std::vector<double> values, failure_time;
    std::vector<std::int32_t> status;
    std::vector<std::int64_t> steps, rejected;
};

struct Population {
    std::vector<double> ka, ke, times;
    std::vector<double> event_times{0.0, infusion_begin, infusion_end},
        event_values{dose, rate, rate}, atol{1e-9, 1e-9};
    std::vector<std::int32_t> event_kinds{tl::bolus, tl::infusion_start, tl::infusion_end},
        event_targets{0, 1, 1};
    std::vector<std::int64_t> event_offsets{0, 3};  // one table for all patients, or one for each
    bool before = false;
    tl::Reductions reductions{};

    explicit Population(std::size_t patients) {
        for (std::size_t i = 0; i < patients; ++i) {
            ka.push_back(0.5 + 0.01 * static_cast<double>((i * 37) % 101));
            ke.push_back(0.05 + 0.002 * static_cast<double>((i * 53) % 97));
        }
        for (int i = 0; i <= 48; ++i) times.push_back(0.5 * i);
    }

    // Without values where a gradient is wanted.
    Result solve(const tl::Kernel& kernel, int threads, double max_steps = 1e6, bool go_on = true,
                 const char* method = "rodas5p", const tl::Derivatives& derivatives = {}) const {
        static const Model model;
        const std::size_t n = ka.size();
        Result r{std::vector<double>(n * times.size()), std::vector<double>(n),
                 std::vector<std::int32_t>(n, -1), std::vector<std::int64_t>(n),
                 std::vector<std::int64_t>(n)};
        const double* columns[] = {ka.data(), ke.data()};
        const std::int64_t strides[] = {1, 1};
        tl::Batch b{};
        b.patients = static_cast<std::int64_t>(n), b.columns = columns, b.column_strides = strides;
        b.event_times = event_times.data(), b.event_kinds = event_kinds.data(),
        b.event_targets = event_targets.data();
        b.event_values = event_values.data(), b.event_offsets = event_offsets.data();
        b.event_offset_stride = event_offsets.size() > 2 ? 1 : 0;
        b.times = times.data(), b.n_times = static_cast<std::int64_t>(times.size());
        b.rtol = 1e-8, b.atol = atol.data(), b.max_steps = max_steps, b.max_step = HUGE_VAL,
        b.before = before;
        b.values = derivatives.gradient ? nullptr : r.values.data();
        b.reductions = reductions;
        b.status = r.status.data(), b.failure_time = r.failure_time.data();
        b.steps = r.steps.data(), b.rejected = r.rejected.data();
        tl::Caller caller;
        tl::solve(
            kernel, model.view, b, derivatives, method, tl::MachineCode{}, threads,
            [go_on](std::int64_t) { return go_on; }, caller);
        return r;
    }
};

}  // namespace two_states
