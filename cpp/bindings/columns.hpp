// Column programs and projections: dicts and arrays of python/teorell/engine/columns.py to the
// engine.
#pragma once

#include <string>

#include "../src/engine.hpp"
#include "arrays.hpp"
#include "program_checks.hpp"
#include "watch.hpp"

namespace teorell::bindings {

// A program of columns, checked; it keeps its arrays alive.
class ColumnCode {
  public:
    explicit ColumnCode(const py::object& given) : arrays_(given, "program") {
        const auto number = [&](const char* name) { return arrays_.number<std::int32_t>(name); };
        const auto constants = arrays_.array<double>("constants", {-1});
        const auto code = arrays_.array<std::int32_t>("code", {-1});
        const auto address = arrays_.number<std::uintptr_t>("address");
        view_ = {code.data(),        reinterpret_cast<void (*)(double*)>(address),
                 number("width"),    number("slots"),
                 number("const"),    number("params"),
                 number("out"),      static_cast<std::int32_t>(constants.size()),
                 number("n_params"), number("n_out"),
                 constants.data()};
        require(view_.slots >= 0 && view_.slots <= most_slots &&
                    inside(view_.constants, constants.size()) &&
                    inside(view_.inputs, view_.n_inputs) && inside(view_.outputs, view_.n_outputs),
                "program", "has a region outside of its slots (memory of others)");
        if (view_.machine == nullptr)
            check_program(code, "code", view_.slots);
        else
            require(view_.width > 0, "width", "is no number of lanes (of machine code)");
    }
    const ColumnProgram& view() const { return view_; }

  private:
    Given arrays_;
    ColumnProgram view_{};

    bool inside(std::int64_t first, std::int64_t count) const {
        return first >= 0 && count >= 0 && first + count <= view_.slots;
    }
};

inline void map_columns(const py::object& program, const std::string& isa, int threads,
                        const py::list& columns, const py::object& outputs) {
    const ColumnCode code(program);
    auto found = output_of<double>(outputs, "outputs", {code.view().n_outputs, -1});
    const ColumnViews views(columns, "columns", code.view().n_inputs, found.shape(1));
    const Columns of{found.shape(1), views.starts.data(), views.strides.data(),
                     found.mutable_data()};
    const Kernel& kernel = kernel_named(isa);
    Watch watch;
    run_watched(watch, [&](auto look) { map(kernel, code.view(), of, threads, look); });
}

// The constraints that the outputs of a program are, checked.
inline Constraints constraints_of(Given& given, const ColumnProgram& program) {
    const auto free_inputs = given.array<std::int32_t>("free", {-1}),
               columns = given.array<std::int32_t>("columns", {-1});
    const auto equality = given.array<std::uint8_t>("equality", {-1});
    const auto starts = given.array<std::int32_t>("starts", {equality.size() + 1});
    check_range(free_inputs, "free", program.n_inputs);
    check_range(columns, "columns", free_inputs.size());
    check_offsets(starts, "starts", columns.size());
    require(equality.size() + columns.size() <= program.n_outputs, "program",
            "has fewer outputs than residuals and derivatives (each is one)");
    return {static_cast<std::int32_t>(free_inputs.size()),
            static_cast<std::int32_t>(equality.size()),
            free_inputs.data(),
            equality.data(),
            starts.data(),
            columns.data(),
            given.number<double>("tolerance"),
            given.number<std::int32_t>("most_steps"),
            given.number<std::int32_t>("most_attempts")};
}

// given: constraints, as python/teorell/constraints/projection.py gives them.
inline void project_columns(const py::object& program, const std::string& isa, int threads,
                            const py::list& columns, const py::object& given,
                            const py::list& scales, const py::object& values,
                            const py::object& multipliers, const py::object& steps) {
    const ColumnCode code(program);
    Given arrays(given, "constraints");
    const Constraints constraints = constraints_of(arrays, code.view());
    auto taken = output_of<std::int32_t>(steps, "steps", {-1});
    const std::int64_t patients = taken.size();
    const ColumnViews views(columns, "columns", code.view().n_inputs, patients),
        metric(scales, "scales", constraints.n_free, patients);
    auto found = output_of<double>(values, "values", {constraints.n_free, patients}),
         lambda = output_of<double>(multipliers, "multipliers", {constraints.n_rows, patients});
    const Columns of{patients, views.starts.data(), views.strides.data(), nullptr};
    const Projected projected{metric.starts.data(), metric.strides.data(), found.mutable_data(),
                              lambda.mutable_data(), taken.mutable_data()};
    const Kernel& kernel = kernel_named(isa);
    Watch watch;
    run_watched(watch, [&](auto look) {
        project(kernel, code.view(), of, constraints, projected, threads, look);
    });
}

}  // namespace teorell::bindings
