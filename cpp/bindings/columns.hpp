// Column programs and projections: dicts and arrays of python/teorell/engine/columns.py to the
// engine.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "../src/engine.hpp"
#include "arrays.hpp"
#include "watch.hpp"

namespace teorell::bindings {

inline ColumnProgram column_program(const py::dict& given) {
    const auto number = [&](const char* name) { return given[name].cast<std::int32_t>(); };
    const auto constants = given["constants"].cast<Array<double>>();
    return {given["code"].cast<Code>().data(),
            reinterpret_cast<void (*)(double*)>(given["address"].cast<std::uintptr_t>()),
            number("width"),
            number("slots"),
            number("const"),
            number("params"),
            number("out"),
            static_cast<std::int32_t>(constants.size()),
            number("n_params"),
            number("n_out"),
            constants.data()};
}

inline void map_columns(const py::dict& program, const std::string& isa, int threads,
                        const std::vector<py::array_t<double>>& columns, Array<double>& outputs) {
    const ColumnViews views(columns);
    const ColumnProgram view = column_program(program);
    if (static_cast<std::size_t>(view.n_inputs) != columns.size() ||
        outputs.shape(0) != view.n_outputs)
        throw std::invalid_argument("other columns than the program has");
    const Columns of{outputs.shape(1), views.starts.data(), views.strides.data(),
                     outputs.mutable_data()};
    const Kernel& kernel = kernel_named(isa);
    Watch watch;
    run_watched(watch, [&](auto look) { map(kernel, view, of, threads, look); });
}

// given: constraints, as python/teorell/constraints/projection.py gives them.
inline void project_columns(const py::dict& program, const std::string& isa, int threads,
                            const std::vector<py::array_t<double>>& columns, const py::dict& given,
                            const std::vector<py::array_t<double>>& scales, Array<double>& values,
                            Array<double>& multipliers, Array<std::int32_t>& steps) {
    const ColumnViews views(columns), metric(scales);
    const ColumnProgram view = column_program(program);
    const auto free_inputs = given["free"].cast<Code>(), starts = given["starts"].cast<Code>(),
               entries = given["columns"].cast<Code>();
    const auto equality = given["equality"].cast<Array<std::uint8_t>>();
    const Constraints constraints{static_cast<std::int32_t>(free_inputs.size()),
                                  static_cast<std::int32_t>(equality.size()),
                                  free_inputs.data(),
                                  equality.data(),
                                  starts.data(),
                                  entries.data(),
                                  given["tolerance"].cast<double>(),
                                  given["most_steps"].cast<std::int32_t>(),
                                  given["most_attempts"].cast<std::int32_t>()};
    const Columns of{steps.size(), views.starts.data(), views.strides.data(), nullptr};
    const Projected projected{metric.starts.data(), metric.strides.data(), values.mutable_data(),
                              multipliers.mutable_data(), steps.mutable_data()};
    const Kernel& kernel = kernel_named(isa);
    Watch watch;
    run_watched(watch, [&](auto look) {
        project(kernel, view, of, constraints, projected, threads, look);
    });
}

}  // namespace teorell::bindings
