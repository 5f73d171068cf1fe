// The time loop and the thread queue with a model written by hand: absorption and elimination, dosed and infused.
//     depot' = -ka depot + rate_0        central' = ka depot - ke central + rate_1        output: central
#include "../../cpp/src/engine.hpp"

#include <limits>
#include <string>

#include "check.hpp"
#include "teorell/events.hpp"
#include "teorell/status.hpp"

namespace tl = teorell;

namespace {

enum : std::int32_t {  // slots; the regions of docs/architecture.md
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
    out = u0 + 16,
    p_ka,
    p_ke,
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
    // clang-format on
    std::vector<std::vector<std::int32_t>> stages;
    std::vector<double> constants{1.0};
    std::vector<std::int32_t> output_states{1};
    std::vector<std::uint8_t> controlled{1, 1}, is_signed{0, 0};
    tl::Programs view{};

    Model() {
        auto& at = view.at;
        at.constants = one, at.coef = ka, at.scalar = scalar, at.y = y0, at.f = f0, at.lu = lu0, at.yn = yn0,
        at.ynew = ynew0, at.top = top0;
        at.atol = atol0, at.u = u0, at.ft = out, at.out = out, at.params = p_ka, at.temp = temp0, at.slots = slots;
        at.n_const = 1, at.n_coef = 4, at.n = 2, at.n_ft = 0, at.n_out = 1, at.n_params = 2, at.n_switches = 0,
        at.rates = rate0;
        at.n_rates = 2, at.stages = 8;
        view.constants = constants.data();
        view.prepare = prepare.data(), view.initial = initial.data(), view.rhs = rhs.data(),
        view.jacobian_lu = jacobian_lu.data();
        view.outputs = outputs.data();
        stages.reserve(16);
        for (int i = 0; i < 8; ++i) {
            view.stage_rhs[i] = moved(rhs, u0 + 2 * i);
            view.stage_solve[i] = moved(solve, u0 + 2 * i);
        }
        view.output_states = output_states.data(), view.n_output_states = 1;
        view.controlled = controlled.data(), view.is_signed = is_signed.data(), view.inverse_n_controlled = 0.5;
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

  private:
    const std::int32_t* moved(const std::vector<std::int32_t>& code, std::int32_t to) {
        auto& copy = stages.emplace_back(code.size());
        tl::relocate(code.data(), f0, 2, to, copy.data());
        return copy.data();
    }
};

struct Result {
    std::vector<double> values, failure_time;
    std::vector<std::int32_t> status;
    std::vector<std::int64_t> steps, rejected;
};

constexpr double dose = 100.0, rate = 7.0, infusion_begin = 6.0, infusion_end = 9.0;

struct Population {
    std::vector<double> ka, ke, times;
    std::vector<double> event_times{0.0, infusion_begin, infusion_end}, event_values{dose, rate, rate},
        atol{1e-9, 1e-9};
    std::vector<std::int32_t> event_kinds{tl::bolus, tl::infusion_start, tl::infusion_end}, event_targets{0, 1, 1};
    std::vector<std::int64_t> event_offsets{0, 3};

    explicit Population(std::size_t patients) {
        for (std::size_t i = 0; i < patients; ++i) {
            ka.push_back(0.5 + 0.01 * static_cast<double>((i * 37) % 101));
            ke.push_back(0.05 + 0.002 * static_cast<double>((i * 53) % 97));
        }
        for (int i = 0; i <= 48; ++i) times.push_back(0.5 * i);
    }

    Result solve(const tl::Kernel& kernel, int threads, double max_steps = 1e6, bool go_on = true) const {
        static const Model model;
        const std::size_t n = ka.size();
        Result r{std::vector<double>(n * times.size()), std::vector<double>(n), std::vector<std::int32_t>(n, -1),
                 std::vector<std::int64_t>(n), std::vector<std::int64_t>(n)};
        const double* columns[] = {ka.data(), ke.data()};
        const std::int64_t strides[] = {1, 1};
        tl::Batch b{};
        b.patients = static_cast<std::int64_t>(n), b.columns = columns, b.column_strides = strides;
        b.event_times = event_times.data(), b.event_kinds = event_kinds.data(), b.event_targets = event_targets.data();
        b.event_values = event_values.data(), b.event_offsets = event_offsets.data(), b.event_offset_stride = 0;
        b.times = times.data(), b.n_times = static_cast<std::int64_t>(times.size());
        b.rtol = 1e-8, b.atol = atol.data(), b.max_steps = max_steps;
        b.values = r.values.data(), b.status = r.status.data(), b.failure_time = r.failure_time.data();
        b.steps = r.steps.data(), b.rejected = r.rejected.data();
        tl::solve(kernel, model.view, b, "rodas5p", tl::MachineCode{}, threads,
                  [go_on](std::int64_t) { return go_on; });
        return r;
    }
};

double exact(double ka, double ke, double t) {
    double central = dose * ka / (ka - ke) * (std::exp(-ke * t) - std::exp(-ka * t));
    if (t > infusion_begin) central += rate / ke * (1.0 - std::exp(-ke * (t - infusion_begin)));
    if (t > infusion_end) central -= rate / ke * (1.0 - std::exp(-ke * (t - infusion_end)));
    return central;
}

void check_equal(const Result& a, const Result& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) CHECK_SAME(a.values[i], b.values[i]);
    CHECK(a.status == b.status && a.steps == b.steps && a.rejected == b.rejected);
}

void test_truth_and_bits(const tl::Kernel& kernel) {
    const Population population(203);
    const Result r = population.solve(kernel, 1);
    const std::size_t grid = population.times.size();
    for (std::size_t i = 0; i < population.ka.size(); ++i) {
        CHECK(r.status[i] == tl::success);
        CHECK(r.steps[i] > 10);
        for (std::size_t k = 0; k < grid; ++k) {
            const double truth = exact(population.ka[i], population.ke[i], population.times[k]);
            CHECK(std::fabs(r.values[i * grid + k] - truth) <= 2e-6 * std::fabs(truth) + 1e-7);
        }
    }
    check_equal(population.solve(kernel, 3), r);
    Population alone(1);
    for (const std::size_t i : {0, 7, 202}) {
        alone.ka[0] = population.ka[i], alone.ke[0] = population.ke[i];
        const Result single = alone.solve(kernel, 1);
        for (std::size_t k = 0; k < grid; ++k) CHECK_SAME(single.values[k], r.values[i * grid + k]);
    }
    BitHash hash;
    for (const double value : r.values) hash.add(value);
    for (const auto steps : r.steps) hash.add(static_cast<double>(steps));
    if (kernel.fma) hash.print("engine");
}

void test_failures_stay_with_their_patient(const tl::Kernel& kernel) {
    const Population healthy(50);
    Population ill = healthy;
    ill.ke[11] = std::numeric_limits<double>::quiet_NaN();
    ill.ka[29] = std::numeric_limits<double>::infinity();
    const Result r = healthy.solve(kernel, 2), s = ill.solve(kernel, 2);
    const std::size_t grid = healthy.times.size();
    for (std::size_t i = 0; i < 50; ++i) {
        CHECK((s.status[i] == tl::success) == (i != 11 && i != 29));
        if (i == 11 || i == 29) continue;
        for (std::size_t k = 0; k < grid; ++k) CHECK_SAME(s.values[i * grid + k], r.values[i * grid + k]);
    }
    for (const auto status : healthy.solve(kernel, 2, 5.0).status) CHECK(status == tl::step_limit);
}

}  // namespace

int main() {
    CHECK(!tl::kernels().empty() && tl::available_threads() >= 1);
    for (const tl::Kernel* kernel : tl::kernels()) {
        test_truth_and_bits(*kernel);
        test_failures_stay_with_their_patient(*kernel);
    }
    // Cancelled while running: what was not finished says so, and nothing is left unset.
    const Result r = Population(20000).solve(*tl::kernels().back(), 2, 1e6, false);
    std::size_t finished = 0;
    for (const auto status : r.status) finished += status == tl::success;
    CHECK(finished <= r.status.size());
    return 0;
}
