// The search for steady states on threads, of the two-state model: against the closed form, and the
// same bits whatever surrounds a flow.
#include "../../cpp/src/steady.hpp"

#include "two_states.hpp"

namespace tl = teorell;

namespace {

constexpr double every = 12.0, dose = 100.0;

// The model with both states as outputs, in slots that the adjoint leaves alone here.
struct Model : two_states::Model {
    Model() {
        using two_states::sum;
        constexpr std::int32_t to = two_states::block, dots = to + 4, y = two_states::y0,
                               ydot = two_states::ydot0;
        outputs = {sum, to, y, 0, 0, sum, to + 1, y + 1, 0, 0, 0};
        outputs_jvp = {sum, dots, ydot, 0, 0, sum, dots + 1, ydot + 1, 0, 0, 0};
        output_states = {0, 1};
        view.at.out = to, view.at.outdot = dots, view.at.n_out = 2;
        view.outputs = outputs.data(), view.outputs_jvp = outputs_jvp.data();
        view.output_states = output_states.data(), view.n_output_states = 2;
    }
};

struct Flows {
    Model model;
    std::vector<double> ka, ke, event_times, event_values, ends, atol{1e-10, 1e-10}, start, least,
        states, projection;
    std::vector<std::int32_t> event_kinds, event_targets, status, kept{0, 1};
    std::vector<std::int64_t> offsets{0}, inside, attempts;
    std::vector<std::uint8_t> positive{1, 1}, rhythmic, keeps;

    // Flows first, first + 1, ...; those of every seventh cannot eliminate.
    Flows(std::size_t first, std::size_t count)
        : start(2 * count),
          least{1e-3, 1e-3},
          states(2 * count),
          projection(4 * count),
          status(count),
          attempts(count),
          rhythmic(count),
          keeps(count) {
        for (std::size_t k = first; k < first + count; ++k) {
            ka.push_back(0.5 + 0.01 * static_cast<double>((k * 37) % 101));
            ke.push_back(k % 7 == 3 ? 0.0 : 0.001 + 0.002 * static_cast<double>((k * 53) % 97));
            const std::int64_t row = offsets.back();
            for (const int target : {0, 1, 0}) {  // the states, and the dose
                event_times.push_back(0.0);
                event_kinds.push_back(tl::bolus);
                event_targets.push_back(target);
                event_values.push_back(event_values.size() % 3 == 2 ? dose : 0.0);
            }
            inside.push_back(row), inside.push_back(row + 1);
            offsets.push_back(row + 3);
            ends.push_back(every);
        }
    }

    void find(const tl::Kernel& kernel, int threads, bool go_on = true) {
        const double* columns[] = {ka.data(), ke.data()};
        const std::int64_t strides[] = {1, 1};
        tl::Batch batch{};
        batch.patients = batch.n_times = static_cast<std::int64_t>(ka.size());
        batch.columns = columns, batch.column_strides = strides;
        batch.event_times = event_times.data(), batch.event_values = event_values.data();
        batch.event_kinds = event_kinds.data(), batch.event_targets = event_targets.data();
        batch.event_offsets = offsets.data(), batch.event_offset_stride = 1;
        batch.times = ends.data();
        batch.rtol = 1e-7, batch.atol = atol.data(), batch.max_steps = 1e5;
        batch.max_step = HUGE_VAL, batch.before = true;
        const tl::Solver solver{model.view, {}};
        const tl::IntervalFlows flows{solver, solver, batch, inside.data(), kept.data(), 2};
        const tl::Search search{start.data(), least.data(),   positive.data(), rhythmic.data(),
                                false,        states.data(),  status.data(),   projection.data(),
                                keeps.data(), attempts.data()};
        tl::Caller caller;
        tl::find_attractors(
            kernel, flows, search, "rodas5p", threads, [=](std::int64_t) { return go_on; }, caller);
    }
};

void test_truth(const tl::Kernel& kernel, BitHash& bits) {
    Flows flows(0, 150);
    flows.find(kernel, 3);
    for (std::size_t k = 0; k < 150; ++k) {
        const double ka = flows.ka[k], ke = flows.ke[k];
        CHECK(flows.status[k] == (ke > 0.0 ? tl::success : tl::no_steady_state));
        CHECK(flows.attempts[k] > 0);
        const double depot = dose / std::expm1(ka * every),
                     central = dose * ka / (ka - ke) *
                               (1.0 / std::expm1(ke * every) - 1.0 / std::expm1(ka * every));
        if (ke == 0.0) {
            CHECK(std::isnan(flows.states[2 * k]) && std::isnan(flows.states[2 * k + 1]));
            continue;
        }
        CHECK(std::fabs(flows.states[2 * k] - depot) < 2e-6 * depot + 2e-9);
        CHECK_CLOSE(flows.states[2 * k + 1], central, 2e-6);
        bits.add(flows.states[2 * k]), bits.add(flows.states[2 * k + 1]);
    }
}

void test_surroundings(const tl::Kernel& kernel) {
    Flows together(0, 150);
    together.find(kernel, 2);
    for (const std::size_t first : {0, 3, 51, 149}) {
        Flows few(first, first == 149 ? 1 : 5);
        few.find(kernel, 1);
        for (std::size_t k = 0; k < few.ka.size(); ++k) {
            CHECK(few.status[k] == together.status[first + k]);
            CHECK(few.attempts[k] == together.attempts[first + k]);
            for (std::size_t i = 0; i < 2; ++i)
                CHECK_SAME(few.states[2 * k + i], together.states[2 * (first + k) + i]);
        }
    }
}

void test_cancelling(const tl::Kernel& kernel) {
    Flows flows(0, 40);
    flows.find(kernel, 2, false);
    for (std::size_t k = 0; k < 40; ++k) {
        CHECK(flows.status[k] == tl::cancelled);
        CHECK(std::isnan(flows.states[2 * k]));
    }
}

}  // namespace

int main() {
    std::uint64_t fused = 0;
    for (const tl::Kernel* kernel : tl::kernels()) {
        BitHash bits;
        test_truth(*kernel, bits);
        test_surroundings(*kernel);
        test_cancelling(*kernel);
        if (!kernel->fma) continue;
        bits.print("steady");
        CHECK(fused == 0 || fused == bits.state);
        fused = bits.state;
    }
    return 0;
}
