// Conditions on states and declared events through tl::solve, on a model written by hand:
//     x' = -k x above a threshold, -0.2 k x below it;   x(0) = 2
// and, where it has an event, x becomes x + 1.5 where it falls below the threshold. Values and both
// derivatives against the closed form, and the same bits whatever surrounds a patient.
#include <algorithm>
#include <utility>

#include "../../cpp/src/engine.hpp"
#include "check.hpp"
#include "teorell/events.hpp"
#include "teorell/quartic.hpp"
#include "teorell/status.hpp"

namespace tl = teorell;

namespace {

enum : std::int32_t {  // slots; the regions of docs/programs.md
    one,
    zero,
    fifth,
    two,
    dose,
    c,  // coefficients: k of this side, the threshold, whether x is below it
    level,
    below,
    scalar,
    y = scalar + tl::n_scalars,
    f,
    lu,
    yn,
    ynew,
    top,
    atol,
    u,
    out = u + 8,
    p_k,
    p_level,
    side,
    block,
    w,
    Y,
    ubar = block + 24,
    lam = ubar + 3,
    ynbar,
    c_bar,
    level_bar,
    below_bar,
    k_bar,
    p_level_bar,
    side_bar,
    outbar,
    ysbar,
    z,
    ydot,
    yndot,
    udot,
    c_dot = udot + 8,
    level_dot,
    below_dot,
    k_dot,
    p_level_dot,
    side_dot,
    outdot,
    g,
    gnodes,
    grate = gnodes + 5,
    gtol,
    band,
    push,
    gside,
    gf,
    gbar,
    gybar,
    gcoefbar,
    gdot = gcoefbar + 3,
    when,
    was,
    act,
    actrate,
    actbar,
    aybar,
    acoefbar,
    actdot = acoefbar + 3,
    temp0,
    temp1,
    slots
};
enum : std::int32_t { sum = 1, division = 2, less = 6, choose = 8 };

struct Model {
    // clang-format off
    std::vector<std::int32_t> prepare{
        less, temp0, zero, side,  choose, temp1, temp0, one, fifth,
        sum, c, -1, 1, 0, p_k, temp1,  sum, level, p_level, 0, 0,  less, below, side, zero,  0};
    std::vector<std::int32_t> initial{sum, y, two, 0, 0,  0};
    std::vector<std::int32_t> rhs{sum, f, f, 0, 1, c, y,  0};
    std::vector<std::int32_t> jacobian_lu{
        sum, lu, scalar + tl::s_ghinv, 1, 0, c, one,  sum, scalar + tl::s_pivot, lu, 0, 0,  0};
    std::vector<std::int32_t> solve{division, f, f, lu,  0};
    std::vector<std::int32_t> outputs{sum, out, y, 0, 0,  0};
    std::vector<std::int32_t> surfaces{sum, g, y, 0, 1, level, one,  0};
    std::vector<std::int32_t> surface_rates{sum, grate, f, 0, 0,  0};
    std::vector<std::int32_t> conditions{sum, when, below, 0, 0,  0};
    std::vector<std::int32_t> actions{sum, act, y, 1, 0, dose, one,  0};
    std::vector<std::int32_t> action_rates{sum, actrate, f, 0, 0,  0};

    std::vector<std::int32_t> solve_transposed{division, w, w, lu,  0};
    std::vector<std::int32_t> stage_vjp{sum, Y, -1, 0, 1, c, w,  sum, c_bar, c_bar, 0, 1, u, w,  0};
    std::vector<std::int32_t> outputs_vjp{sum, ysbar, outbar, 0, 0,  0};
    std::vector<std::int32_t> prepare_vjp{
        less, temp0, zero, side,  choose, temp1, temp0, one, fifth,
        sum, k_bar, k_bar, 1, 0, c_bar, temp1,  sum, p_level_bar, p_level_bar, 1, 0, level_bar, one,  0};
    std::vector<std::int32_t> surfaces_vjp{
        sum, gybar, gbar, 0, 0,  sum, gcoefbar + 1, -1, 0, 1, gbar, one,  0};
    std::vector<std::int32_t> actions_vjp{sum, aybar, actbar, 0, 0,  0};

    std::vector<std::int32_t> stage_jvp{sum, f, f, 0, 2, c, ydot, c_dot, z,  0};
    std::vector<std::int32_t> outputs_jvp{sum, outdot, ydot, 0, 0,  0};
    std::vector<std::int32_t> initial_jvp{sum, yndot, zero, 0, 0,  0};
    std::vector<std::int32_t> prepare_jvp{
        less, temp0, zero, side,  choose, temp1, temp0, one, fifth,
        sum, c_dot, -1, 1, 0, k_dot, temp1,  sum, level_dot, p_level_dot, 0, 0,  0};
    std::vector<std::int32_t> surfaces_jvp{sum, gdot, ydot, 0, 1, level_dot, one,  0};
    std::vector<std::int32_t> actions_jvp{sum, actdot, ydot, 0, 0,  0};
    std::vector<std::int32_t> nothing{0};
    // clang-format on
    std::vector<std::vector<std::int32_t>> stages;
    std::vector<double> constants{1.0, 0.0, 0.2, 2.0, 1.5}, before{0.0};
    std::vector<std::int32_t> first{0};
    std::vector<std::uint8_t> yes{1}, no{0}, kind{tl::of_jump};
    tl::Programs view{};

    explicit Model(bool has_event) {
        auto& at = view.at;
        at.constants = one, at.coef = c, at.scalar = scalar, at.y = y, at.f = f, at.lu = lu,
        at.yn = yn, at.ynew = ynew, at.top = top, at.atol = atol, at.u = u, at.ft = out,
        at.out = out, at.params = p_k, at.temp = temp0, at.slots = slots;
        at.n_const = 5, at.n_coef = 3, at.n = 1, at.n_out = 1, at.n_params = 2, at.n_switches = 1,
        at.rates = scalar, at.stages = 8;
        at.n_surfaces = 1, at.g = g, at.gnodes = gnodes, at.grate = grate, at.gtol = gtol,
        at.band = band, at.push = push, at.gside = gside, at.gf = gf, at.gbar = gbar,
        at.gybar = gybar, at.gcoefbar = gcoefbar, at.gdot = gdot;
        at.n_events = at.n_actions = has_event ? 1 : 0;
        at.when = when, at.was = was, at.act = act, at.actrate = actrate, at.actbar = actbar,
        at.aybar = aybar, at.acoefbar = acoefbar, at.actdot = actdot;
        at.block = block, at.ukept = at.ubar = ubar, at.lam = lam, at.ynbar = ynbar,
        at.coefbar = c_bar, at.paramsbar = k_bar, at.outbar = outbar, at.ysbar = ysbar,
        at.outcoef = z;
        at.z = z, at.ydot = ydot, at.yndot = yndot, at.udot = udot, at.coefdot = c_dot,
        at.paramsdot = k_dot, at.outdot = outdot, at.entries = at.entries_ft = temp0;
        if (has_event) kind[0] = tl::of_action;
        view.constants = constants.data(), view.prepare = prepare.data(),
        view.initial = initial.data(), view.rhs = rhs.data(), view.jacobian_lu = jacobian_lu.data(),
        view.outputs = outputs.data();
        view.output_states = view.surface_states = first.data(), view.n_output_states = 1,
        view.n_surface_states = 1;
        view.controlled = yes.data(), view.is_signed = no.data(), view.inverse_n_controlled = 1.0;
        view.switch_before = before.data(), view.surface_kinds = kind.data();
        view.action_events = view.action_states = view.event_surfaces = first.data();
        view.surfaces = surfaces.data(), view.surface_rates = surface_rates.data(),
        view.conditions = conditions.data(), view.actions = actions.data(),
        view.action_rates = action_rates.data(), view.surfaces_vjp = surfaces_vjp.data(),
        view.actions_vjp = actions_vjp.data(), view.surfaces_jvp = surfaces_jvp.data(),
        view.actions_jvp = actions_jvp.data();
        view.outputs_vjp = outputs_vjp.data(), view.prepare_vjp = prepare_vjp.data(),
        view.outputs_jvp = outputs_jvp.data(), view.initial_jvp = initial_jvp.data(),
        view.prepare_jvp = prepare_jvp.data();
        view.second_vjp = view.initial_vjp = view.second_jvp = nothing.data();
        for (int i = 0; i < 8; ++i) {
            view.stage_rhs[i] = moved(rhs.data(), rhs.size(), f, 1, u + i);
            view.stage_solve[i] = moved(solve.data(), solve.size(), f, 1, u + i);
            view.stage_transposed[i] =
                moved(solve_transposed.data(), solve_transposed.size(), block, 3, block + 3 * i);
            const std::int32_t* code =
                moved(stage_vjp.data(), stage_vjp.size(), block, 3, block + 3 * i);
            view.stage_vjp[i] = moved(code, stage_vjp.size(), u, 1, u + i);
            view.stage_jvp[i] = moved(stage_jvp.data(), stage_jvp.size(), f, 1, udot + i);
            view.stage_solve_dot[i] = moved(solve.data(), solve.size(), f, 1, udot + i);
        }
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const std::int32_t* moved(const std::int32_t* code, std::size_t size, std::int32_t from,
                              std::int32_t count, std::int32_t to) {
        std::vector<std::int32_t> copy(size);
        tl::relocate(code, from, count, to, copy.data());
        return stages.emplace_back(std::move(copy)).data();
    }
};

const std::vector<double> times{0.2, 0.9, 1.7, 2.6, 4.4};
constexpr std::size_t grid = 5;

double exact(bool has_event, double k, double threshold, double t) {
    const double at = std::log(2.0 / threshold) / k;
    if (t < at) return 2.0 * std::exp(-k * t);
    if (!has_event) return threshold * std::exp(-0.2 * k * (t - at));
    const double interval = std::log((threshold + 1.5) / threshold) / k;
    return (threshold + 1.5) * std::exp(-k * std::fmod(t - at, interval));
}

double slope(bool has_event, double k, double threshold, int input, double t) {
    const double h = 1e-6;
    return input == 0
               ? (exact(has_event, k + h, threshold, t) - exact(has_event, k - h, threshold, t)) /
                     (2 * h)
               : (exact(has_event, k, threshold + h, t) - exact(has_event, k, threshold - h, t)) /
                     (2 * h);
}

struct People {
    std::vector<double> k, threshold;
    explicit People(std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            k.push_back(0.4 + 0.013 * static_cast<double>((i * 37) % 101));
            threshold.push_back(0.35 + 0.01 * static_cast<double>((i * 53) % 97));
        }
    }
};

std::vector<double> solve(const Model& model, const People& p, const tl::Kernel& kernel,
                          int threads, const tl::Derivatives& derivatives = {}) {
    const std::size_t n = p.k.size();
    std::vector<double> values(n * grid), failure_time(n), tolerance{1e-12}, none(1);
    std::vector<std::int32_t> status(n, -1), kinds(1), condition(n, -1);
    std::vector<std::int64_t> steps(n), rejected(n), offsets{0, 0};
    const double* columns[] = {p.k.data(), p.threshold.data()};
    const std::int64_t strides[] = {1, 1};
    tl::Batch b{};
    b.patients = static_cast<std::int64_t>(n), b.columns = columns, b.column_strides = strides;
    b.event_times = b.event_values = none.data(), b.event_kinds = b.event_targets = kinds.data(),
    b.event_offsets = offsets.data();
    b.times = times.data(), b.n_times = static_cast<std::int64_t>(grid);
    b.rtol = 1e-10, b.atol = tolerance.data(), b.max_steps = 1e6, b.max_step = HUGE_VAL;
    b.values = derivatives.gradient ? nullptr : values.data();
    b.status = status.data(), b.failure_time = failure_time.data(), b.steps = steps.data(),
    b.rejected = rejected.data(), b.condition = condition.data();
    tl::Caller caller;
    tl::solve(
        kernel, model.view, b, derivatives, "rodas5p", tl::MachineCode{}, threads,
        [](std::int64_t) { return true; }, caller);
    for (const std::int32_t each : status) CHECK(each == tl::success);
    return values;
}

std::vector<double> gradient(const Model& model, const People& p, const tl::Kernel& kernel,
                             int threads, std::int64_t recorded) {
    const std::size_t n = p.k.size();
    std::vector<double> parameters(2 * n), initial(n), rows(n);
    const double all_one = 1.0;
    tl::Gradient wanted{};
    wanted.cotangent = &all_one, wanted.parameters = parameters.data();
    wanted.initial = initial.data(), wanted.event_value = wanted.event_time = rows.data();
    wanted.recorded_steps = recorded;
    tl::Derivatives derivatives;
    derivatives.gradient = &wanted;
    solve(model, p, kernel, threads, derivatives);
    return parameters;
}

std::vector<double> tangents(const Model& model, const People& p, const tl::Kernel& kernel) {
    std::vector<double> values(p.k.size() * grid * 2);
    const double parameters[2][2] = {{1.0, 0.0}, {0.0, 1.0}};
    tl::Tangents wanted{};
    wanted.directions = 2, wanted.parameters = parameters[0], wanted.parameter_strides[0] = 2;
    wanted.values = values.data();
    tl::Derivatives derivatives;
    derivatives.tangents = &wanted;
    solve(model, p, kernel, 1, derivatives);
    return values;
}

void test_truth(const tl::Kernel& kernel, bool has_event, BitHash& hash) {
    const Model model(has_event);
    const People p(41);
    const std::vector<double> values = solve(model, p, kernel, 2),
                              back = gradient(model, p, kernel, 2, 4096),
                              short_ring = gradient(model, p, kernel, 1, 3),
                              forward = tangents(model, p, kernel);
    for (std::size_t i = 0; i < p.k.size(); ++i) {
        double total[2] = {};
        for (std::size_t j = 0; j < grid; ++j) {
            CHECK_CLOSE(values[i * grid + j], exact(has_event, p.k[i], p.threshold[i], times[j]),
                        1e-8);
            hash.add(values[i * grid + j]);
            for (int d = 0; d < 2; ++d) {
                const double found = forward[(i * grid + j) * 2 + static_cast<std::size_t>(d)],
                             truth = slope(has_event, p.k[i], p.threshold[i], d, times[j]);
                CHECK(std::fabs(found - truth) <= 1e-6 * std::fabs(truth) + 1e-6);
                total[d] += found;
            }
        }
        for (std::size_t d = 0; d < 2; ++d) {
            CHECK(std::fabs(back[2 * i + d] - total[d]) <= 1e-11 * std::fabs(total[d]) + 1e-11);
            CHECK_SAME(back[2 * i + d], short_ring[2 * i + d]);
            hash.add(back[2 * i + d]);
        }
    }
    People one_of(0);
    one_of.k = {p.k[17]}, one_of.threshold = {p.threshold[17]};
    const std::vector<double> alone = solve(model, one_of, kernel, 1);
    for (std::size_t j = 0; j < grid; ++j) CHECK_SAME(alone[j], values[17 * grid + j]);
}

}  // namespace

int main() {
    for (const tl::Kernel* kernel : tl::kernels()) {
        BitHash hash;
        test_truth(*kernel, false, hash);
        test_truth(*kernel, true, hash);
        if (kernel->fma) hash.print("crossings");
    }
    std::puts("crossings: passed");
    return 0;
}
