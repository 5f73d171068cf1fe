// NumPy arrays as the engine sees them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace teorell::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Code = Array<std::int32_t>;

// Doubles from one element to the next.
inline std::int64_t stride_of(const py::array_t<double>& array, py::ssize_t axis) {
    return array.strides(axis) / static_cast<py::ssize_t>(sizeof(double));
}

// Where the columns of parameters begin, and their steps from patient to patient.
struct ColumnViews {
    std::vector<const double*> starts;
    std::vector<std::int64_t> strides;

    explicit ColumnViews(const std::vector<py::array_t<double>>& columns) {
        const auto size = static_cast<py::ssize_t>(sizeof(double));
        for (const auto& column : columns) {
            if (column.ndim() > 0 && column.strides(0) % size != 0)
                throw std::invalid_argument(
                    "a parameter column does not step by whole float64 numbers; give an aligned "
                    "array");
            starts.push_back(column.data());
            strides.push_back(column.ndim() == 0 ? 0 : stride_of(column, 0));
        }
    }
};

}  // namespace teorell::bindings
