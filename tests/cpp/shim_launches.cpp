// The kernels of cuda/ launched with their threads dealt out to several of the host's, which share
// the queue of patients alone: the same bits as one thread after the other, and no race that
// ThreadSanitizer sees. Linked with cuda/shim_engine.cpp in place of the engine.
#include "two_states_derivatives.hpp"

namespace tl = teorell;

namespace {

using two_states::Population, two_states::pull_back, two_states::push_forward, two_states::Request;

void check_equal(const std::vector<double>& a, const std::vector<double>& b) {
    CHECK(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) CHECK_SAME(a[i], b[i]);
}

constexpr std::size_t samples = 25, patients = 40;

// L = sum of values^2 / 2, so that the cotangent is the values.
bool half_of_squares(void*, std::int64_t, std::int64_t count, const double* values,
                     double* slopes) {
    std::memcpy(slopes, values, static_cast<std::size_t>(count) * samples * sizeof(double));
    return true;
}

}  // namespace

int main() {
    const tl::Kernel& kernel = *tl::kernels().front();
    Population p(patients);
    p.times.resize(samples);
    const auto one = p.solve(kernel, 1), several = p.solve(kernel, 3);
    for (const auto status : several.status) CHECK(status == tl::success);
    check_equal(one.values, several.values);
    CHECK(one.steps == several.steps);
    // fewer recorded states than steps: those before are computed again
    const Request alone{1, "rodas5p", 1e6, 7, half_of_squares},
        together{3, "rodas5p", 1e6, 7, half_of_squares};
    const auto slopes = pull_back(p, kernel, alone), same = pull_back(p, kernel, together);
    check_equal(slopes.parameters, same.parameters);
    check_equal(slopes.event_value, same.event_value);
    check_equal(slopes.event_time, same.event_time);
    CHECK(slopes.parameters[0] != 0.0);
    check_equal(push_forward(p, kernel, {1}), push_forward(p, kernel, {3}));
    return 0;
}
