// The search for steady states: arrays of python/teorell/engine/steady.py to the engine.
#pragma once

#include <string>

#include "../src/steady.hpp"
#include "arrays.hpp"
#include "batch_views.hpp"
#include "model.hpp"
#include "watch.hpp"

namespace teorell::bindings {

// A state comes in with a row of its own flow.
inline void check_inside(const Array<std::int64_t>& inside, const EventArrays& events) {
    bool own = true;
    for (py::ssize_t k = 0; k < inside.shape(0); ++k)
        for (py::ssize_t i = 0; i < inside.shape(1); ++i) {
            const std::int64_t row = inside.data()[k * inside.shape(1) + i];
            own = own && row >= events.offsets.data()[k] && row < events.offsets.data()[k + 1];
        }
    require(own, "inside", "has a row that is not among those of its flow (memory of others)");
}

// given: of the search, as python/teorell/engine/steady.py names them.
inline void find_steady_states(const Model& model, const Model& tangent_model,
                               const std::string& isa, const std::string& method,
                               const py::object& code, const py::object& tangent_code, int threads,
                               const py::list& columns, std::int64_t patients,
                               const py::object& event_times, const py::object& event_kinds,
                               const py::object& event_targets, const py::object& event_values,
                               const py::object& event_offsets, const py::object& times,
                               double rtol, const py::object& atol, double max_steps,
                               double max_step, const py::object& given) {
    const Layout &at = model.view().at, &other = tangent_model.view().at;
    require(max_step > 0.0, "max_step", "is no length of a step (it must be positive)");
    require(patients >= 0 && patients <= most_patients, "patients",
            "is no number of patients (it is negative, or huge)");
    require(at.n_out == at.n && other.n_out == at.n && other.n == at.n &&
                other.n_params == at.n_params && other.n_rates == at.n_rates &&
                other.n_switches == at.n_switches,
            "model", "has not its states as outputs, or is another than the one with tangents");
    require(tangent_model.has_tangents(), "tangent_model",
            "was not lowered for forward sensitivities (its workspace has no room for them)");
    check_method(model, method), check_method(tangent_model, method);
    const MachineCode machine = machine_code(code), of_tangents = machine_code(tangent_code);
    Derivatives wanted;
    const Tangents some{};
    wanted.tangents = &some;
    check_functions(of_tangents, wanted);

    const ColumnViews views(columns, "columns", at.n_params, patients);
    const EventArrays events(event_times, event_kinds, event_targets, event_values, event_offsets,
                             patients, at);
    require(!events.shared, "event_offsets", "are of one patient (each flow has rows of its own)");
    const auto ends = array_of<double>(times, "times", {patients});
    require(
        std::none_of(ends.data(), ends.data() + patients, [](double t) { return std::isnan(t); }),
        "times", "has one that is not a number (each flow has its end)");
    const auto tolerances = array_of<double>(atol, "atol", {at.n});

    Given arrays(given, "search");
    const auto kept = arrays.array<std::int32_t>("kept", {-1});
    check_range(kept, "kept", at.n);
    const std::int64_t m = kept.size();
    const auto inside = arrays.array<std::int64_t>("inside", {patients, at.n});
    check_inside(inside, events);
    Batch batch{};
    batch.patients = patients;
    batch.columns = views.starts.data(), batch.column_strides = views.strides.data();
    batch.event_times = events.times.data(), batch.event_values = events.values.data();
    batch.event_kinds = events.kinds.data(), batch.event_targets = events.targets.data();
    batch.event_offsets = events.offsets.data(), batch.event_offset_stride = 1;
    batch.times = ends.data(), batch.n_times = patients;
    batch.rtol = rtol, batch.atol = tolerances.data(), batch.max_steps = max_steps;
    batch.max_step = max_step;
    batch.before = true;
    const IntervalFlows flows{{model.view(), machine},
                              {tangent_model.view(), of_tangents},
                              batch,
                              inside.data(),
                              kept.data(),
                              static_cast<int>(m)};
    const Search search{arrays.array<double>("start", {patients, m}).data(),
                        arrays.array<double>("least", {m}).data(),
                        arrays.array<std::uint8_t>("positive", {m}).data(),
                        arrays.array<std::uint8_t>("rhythmic", {patients}).data(),
                        arrays.number<bool>("totals"),
                        arrays.output<double>("states", {patients, m}),
                        arrays.output<std::int32_t>("status", {patients}),
                        arrays.output<double>("projection", {patients, m, m}),
                        arrays.output<std::uint8_t>("keeps", {patients}),
                        arrays.output<std::int64_t>("attempts", {patients})};
    const Kernel& kernel = kernel_named(isa);
    Watch watch;
    Caller caller;
    run_watched(watch, [&](auto look) {
        find_attractors(kernel, flows, search, method, threads, look, caller);
    });
}

// --- small matrices, for what Python decides with them: in place, one after the other

// a (k, m, m) is used up, b (k, m) becomes the solutions, NaN where there is none.
inline void solve_matrices(const py::object& matrices, const py::object& right) {
    auto a = output_of<double>(matrices, "matrices", {-1, -1, -1});
    const std::int64_t k = a.shape(0), m = a.shape(1);
    check_shape(a, "matrices", {k, m, m});
    auto b = output_of<double>(right, "right", {k, m});
    for (std::int64_t i = 0; i < k; ++i)
        dense::solve(static_cast<int>(m), a.mutable_data() + i * m * m, 1,
                     b.mutable_data() + i * m);
}

// a (k, m, m) is used up; real and imaginary (k, m), NaN where none were found.
inline void find_eigenvalues(const py::object& matrices, const py::object& real,
                             const py::object& imaginary) {
    auto a = output_of<double>(matrices, "matrices", {-1, -1, -1});
    const std::int64_t k = a.shape(0), m = a.shape(1);
    check_shape(a, "matrices", {k, m, m});
    auto re = output_of<double>(real, "real", {k, m}),
         im = output_of<double>(imaginary, "imaginary", {k, m});
    for (std::int64_t i = 0; i < k; ++i) {
        double *of_real = re.mutable_data() + i * m, *of_imaginary = im.mutable_data() + i * m;
        if (dense::Eigenvalues(static_cast<int>(m), a.mutable_data() + i * m * m, of_real,
                               of_imaginary)
                .find())
            continue;
        for (std::int64_t j = 0; j < m; ++j)
            of_real[j] = of_imaginary[j] = std::numeric_limits<double>::quiet_NaN();
    }
}

// The rows of a (rows, columns) rotated until they are orthogonal: their lengths are the singular
// values.
inline void orthogonalise_rows(const py::object& matrix) {
    auto a = output_of<double>(matrix, "matrix", {-1, -1});
    dense::orthogonalise_rows(static_cast<int>(a.shape(0)), static_cast<int>(a.shape(1)),
                              a.mutable_data(), nullptr);
}

}  // namespace teorell::bindings
