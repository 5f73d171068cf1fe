// The time loop and the thread queue with a model written by hand: absorption and elimination,
// dosed and infused.
#include <limits>

#include "two_states.hpp"

namespace tl = teorell;

namespace {

using two_states::Population, two_states::Result;

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
            const double truth = two_states::exact(
                two_states::inputs(population.ka[i], population.ke[i]), population.times[k]);
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
        for (std::size_t k = 0; k < grid; ++k)
            CHECK_SAME(s.values[i * grid + k], r.values[i * grid + k]);
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
