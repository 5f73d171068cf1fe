// The adjoint and the forward sensitivities of a whole solve, on the two-state model: against the
// closed form, against each other, and the same bits whatever surrounds a patient.
#include <atomic>
#include <limits>

#include "teorell/tableau.hpp"
#include "two_states_derivatives.hpp"

namespace tl = teorell;

namespace {

using two_states::between_events, two_states::Inputs, two_states::n_inputs, two_states::Population,
    two_states::pull_back, two_states::push_forward, two_states::Request, two_states::rows,
    two_states::slope, two_states::Slopes;

void check_equal(const std::vector<double>& a, const std::vector<double>& b) {
    CHECK(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) CHECK_SAME(a[i], b[i]);
}

void check_equal(const Slopes& a, const Slopes& b) {
    check_equal(a.parameters, b.parameters);
    check_equal(a.initial, b.initial);
    check_equal(a.event_value, b.event_value);
    check_equal(a.event_time, b.event_time);
    CHECK(a.result.status == b.result.status && a.result.steps == b.result.steps);
}

// The tolerance is that of the values in test_engine.cpp; the adjoint is the transpose of the
// tangents to rounding.
void test_truth(const tl::Kernel& kernel, const char* method, double infusion_begin,
                BitHash& hash) {
    Population p = between_events(33);
    p.event_times[1] = infusion_begin;
    const Request request{2, method};
    const Slopes slopes = pull_back(p, kernel, request);
    const std::vector<double> tangents = push_forward(p, kernel, request);
    const std::size_t grid = p.times.size();
    for (std::size_t i = 0; i < p.ka.size(); ++i) {
        CHECK(slopes.result.status[i] == tl::success);
        Inputs at = two_states::inputs(p.ka[i], p.ke[i]);
        at[6] = infusion_begin;
        const Inputs found = slopes.of(i);
        for (std::size_t d = 0; d < n_inputs; ++d) {
            double truth = 0.0, total = 0.0, size = 0.0;
            for (std::size_t k = 0; k < grid; ++k) {
                const double tangent = tangents[(i * grid + k) * n_inputs + d],
                             exact = slope(at, d, p.times[k]);
                CHECK(std::fabs(tangent - exact) <= 2e-6 * std::fabs(exact) + 1e-7);
                truth += exact, total += tangent, size += std::fabs(tangent);
            }
            CHECK(std::fabs(found[d] - truth) <= 2e-6 * size + 1e-7);
            CHECK(std::fabs(found[d] - total) <= 1e-12 * size);
        }
        // The dose at time 0 and the state before it are one number.
        CHECK_SAME(slopes.initial[2 * i], slopes.event_value[rows * i]);
        double central = 0.0;
        for (const double t : p.times) central += std::exp(-at[1] * t);
        CHECK_CLOSE(slopes.initial[2 * i + 1], central, 2e-6);
    }
    for (const auto* part :
         {&slopes.parameters, &slopes.initial, &slopes.event_value, &slopes.event_time, &tangents})
        for (const double value : *part) hash.add(value);
}

// Samples at time 0 and at the start of the infusion have one side: after it, an earlier start
// counts; before, none does.
void test_samples_at_events(const tl::Kernel& kernel) {
    for (const bool before : {false, true}) {
        Population p(3);
        p.times = {0.0, two_states::infusion_begin};
        p.before = before;
        const Slopes slopes = pull_back(p, kernel, {});
        const std::vector<double> tangents = push_forward(p, kernel, {});
        for (std::size_t i = 0; i < p.ka.size(); ++i) {
            const Inputs found = slopes.of(i);
            const double *first = &tangents[2 * i * n_inputs], *second = first + n_inputs;
            for (std::size_t d = 0; d < n_inputs; ++d)
                CHECK_CLOSE(found[d], first[d] + second[d], 1e-12);
            CHECK_CLOSE(first[5], before ? 0.0 : -p.ka[i] * two_states::dose, 1e-12);
            CHECK_CLOSE(found[6], before ? 0.0 : -two_states::rate, 1e-12);
            CHECK_SAME(found[3], 0.0);
            CHECK_SAME(found[7], 0.0);
            CHECK_CLOSE(slopes.initial[2 * i + 1],
                        1.0 + std::exp(-p.ke[i] * two_states::infusion_begin), 2e-6);
        }
    }
}

constexpr std::size_t samples = 25;

// L = sum of values^2 / 2, so that the cotangent is the values.
bool half_of_squares(void*, std::int64_t, std::int64_t count, const double* values,
                     double* slopes) {
    std::memcpy(slopes, values, static_cast<std::size_t>(count) * samples * sizeof(double));
    return true;
}

// More patients than a thread of any kernel takes at once.
void test_bits(const tl::Kernel& kernel) {
    Population p(100);
    p.times.resize(samples);
    const std::vector<double> values = p.solve(kernel, 1).values;
    const Slopes one = pull_back(p, kernel, {}, values);
    for (const auto steps : one.result.steps) CHECK(steps > 32);
    check_equal(pull_back(p, kernel, {3}, values), one);
    for (const std::int64_t recorded_steps : {16, 1})
        check_equal(pull_back(p, kernel, {2, "rodas5p", 1e6, recorded_steps}, values), one);
    check_equal(pull_back(p, kernel, {3, "rodas5p", 1e6, 4096, half_of_squares}), one);
    check_equal(push_forward(p, kernel, {1}), push_forward(p, kernel, {3}));

    Population own = p;  // the same table, a copy for each patient
    for (std::int64_t i = 1; i < 100; ++i) {
        own.event_offsets.push_back(3 * (i + 1));
        for (std::size_t e = 0; e < rows; ++e) {
            own.event_times.push_back(p.event_times[e]),
                own.event_values.push_back(p.event_values[e]);
            own.event_kinds.push_back(p.event_kinds[e]),
                own.event_targets.push_back(p.event_targets[e]);
        }
    }
    check_equal(pull_back(own, kernel, {2}, values), one);
}

void test_failures_have_no_gradient(const tl::Kernel& kernel) {
    const Population healthy(50);
    Population ill = healthy;
    ill.ke[11] = std::numeric_limits<double>::quiet_NaN();
    const Slopes good = pull_back(healthy, kernel, {2}), some = pull_back(ill, kernel, {2});
    const Slopes none = pull_back(healthy, kernel, {2, "rodas5p", 5.0});
    for (std::size_t i = 0; i < 50; ++i) {
        CHECK((some.result.status[i] == tl::success) == (i != 11));
        const Inputs a = some.of(i), b = good.of(i);
        for (std::size_t d = 0; d < n_inputs; ++d) CHECK_SAME(a[d], i == 11 ? 0.0 : b[d]);
        CHECK(none.result.status[i] == tl::step_limit && none.are_zero(i) && some.are_zero(11));
    }
}

// The loss refuses the first group of each thread: nobody has a gradient, and nobody goes on.
bool refuse(void* context, std::int64_t, std::int64_t, const double*, double*) {
    ++*static_cast<std::atomic<int>*>(context);
    return false;
}

void test_cancelled_by_the_loss(const tl::Kernel& kernel) {
    const Population p(500);
    for (const int threads : {1, 3}) {
        std::atomic<int> calls{0};
        const Slopes slopes = pull_back(p, kernel, {threads, "rodas5p", 1e6, 4096, refuse, &calls});
        CHECK(calls >= 1 && calls <= threads);
        std::size_t solved = 0;
        for (std::size_t i = 0; i < p.ka.size(); ++i) {
            const auto status = slopes.result.status[i];
            CHECK(slopes.are_zero(i));
            CHECK(threads > 1 || status == tl::success || status == tl::cancelled);
            solved += status == tl::success;
        }
        CHECK(solved > 0 && solved < p.ka.size());
    }
}

// All kinds at once, alone in the loss: what goes back is the transpose of what goes forward, on
// any number of threads.
void test_reductions(const tl::Kernel& kernel, BitHash& hash) {
    constexpr std::size_t n = 33, count = 4;
    const std::int32_t kinds[count] = {tl::maximum, tl::minimum, tl::time_above, tl::area},
                       outputs[count] = {};
    const std::uint8_t linear[count] = {1, 1, 1, 0};  // 0: the quartics are checked
    const double windows[count][3] = {
        {0.0, 24.0, 0.0}, {1.3, 20.7, 0.0}, {0.0, 30.0, 3.0}, {0.4, 30.0, 0.0}};
    std::vector<double> found[2], moments(n * count), ones(n * count, 1.0),
        dots(n * count * n_inputs);
    Population p = between_events(n);
    Slopes slopes;
    for (const int threads : {1, 3}) {
        std::vector<double>& values = found[threads == 3];
        values.resize(n * count);
        p.reductions = {count,      kinds, outputs,       linear,
                        windows[0], 1,     values.data(), moments.data()};
        Request request{threads};
        request.reduced = ones.data();
        const Slopes now = pull_back(p, kernel, request, std::vector<double>(n * p.times.size()));
        if (threads == 3) check_equal(now, slopes);
        slopes = now;
    }
    check_equal(found[0], found[1]);
    Request request{2};
    request.dots = dots.data();
    push_forward(p, kernel, request);
    check_equal(found[0], found[1]);
    for (std::size_t i = 0; i < n; ++i) {
        const Inputs back = slopes.of(i);
        for (std::size_t d = 0; d < n_inputs; ++d) {
            double total = 0.0, size = 0.0;
            for (std::size_t k = 0; k < count; ++k) {
                const double dot = dots[(i * count + k) * n_inputs + d];
                total += dot, size += std::fabs(dot);
            }
            CHECK(std::fabs(back[d] - total) <= 1e-11 * size);
        }
        for (std::size_t k = 0; k < count; ++k) hash.add(found[0][i * count + k]);
    }
}

}  // namespace

int main() {
    std::uint64_t fused = 0;
    for (const tl::Kernel* kernel : tl::kernels()) {
        BitHash hash;
        tl::Methods::for_each([&](auto method) {
            for (const double begin : {0.0, two_states::infusion_begin})
                test_truth(*kernel, decltype(method)::name, begin, hash);
        });
        test_reductions(*kernel, hash);
        test_bits(*kernel);
        test_samples_at_events(*kernel);
        test_failures_have_no_gradient(*kernel);
        test_cancelled_by_the_loss(*kernel);
        if (!kernel->fma) continue;
        hash.print("adjoint");
        CHECK(fused == 0 || fused == hash.state);
        fused = hash.state;
    }
    return 0;
}
