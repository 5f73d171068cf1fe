// What is asked for beside values: reductions, gradients, forward sensitivities, each a dict of
// arrays that python/teorell/engine/solve.py makes.
#pragma once

#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "arrays.hpp"
#include "teorell/batch.hpp"
#include "teorell/program.hpp"

namespace teorell::bindings {

// The arrays of a gradient, and the user's loss, called with the lock of the interpreter held.
class GradientArrays {
  public:
    // The first exception of the loss goes into `error`.
    const Gradient* view(const py::object& given, const Batch& batch, const Layout& at,
                         std::exception_ptr& error) {
        const auto out = [&](const char* name) {
            return given[name].cast<Array<double>>().mutable_data();
        };
        if (given["cotangent"].is_none()) {
            loss_ = given["loss"];
            n_times_ = batch.n_times, n_out_ = at.n_out, sample_offsets_ = batch.sample_offsets,
            status_ = batch.status, error_ = &error;
            view_.loss = &GradientArrays::call;
            view_.context = this;
        } else {
            cotangent_ = given["cotangent"].cast<py::array_t<double>>();
            view_.cotangent = cotangent_.data();
            // Of rows, no stride from patient to patient.
            const auto missing = static_cast<int>(3 - cotangent_.ndim());
            for (int k = missing; k < 3; ++k) view_.strides[k] = stride_of(cotangent_, k - missing);
        }
        view_.parameters = out("parameters");
        view_.initial = out("initial");
        view_.event_value = out("event_value");
        view_.event_time = given["event_time"].is_none() ? nullptr : out("event_time");
        view_.shared_rows = batch.event_offset_stride == 0 ? batch.event_offsets[1] : 0;
        view_.recorded_steps = given["recorded_steps"].cast<std::int64_t>();
        view_.reduced = given["reduced"].is_none() ? nullptr : out("reduced");
        return &view_;
    }

  private:
    Gradient view_{};
    py::array_t<double> cotangent_;
    py::object loss_;
    std::int64_t n_times_ = 0, n_out_ = 0;
    const std::int64_t* sample_offsets_ = nullptr;
    const std::int32_t* status_ = nullptr;
    std::exception_ptr* error_ = nullptr;
    std::mutex mutex_;

    static bool call(void* context, std::int64_t first, std::int64_t count, const double* values,
                     double* slopes) {
        auto& self = *static_cast<GradientArrays*>(context);
        // Before the interpreter's lock, never after it.
        const std::lock_guard<std::mutex> one_at_a_time(self.mutex_);
        const py::gil_scoped_acquire gil;
        try {
            std::vector<py::ssize_t> shape{count, self.n_times_, self.n_out_};
            if (const auto* offsets = self.sample_offsets_)
                shape = {offsets[first + count] - offsets[first], self.n_out_};
            const Array<double> copy(shape, values);
            const Array<std::int32_t> status(static_cast<py::ssize_t>(count), self.status_ + first);
            const auto slope = self.loss_(copy, status, first).cast<Array<double>>();
            if (slope.size() != copy.size())
                throw std::invalid_argument("the loss gave slopes of another size");
            std::memcpy(slopes, slope.data(),
                        static_cast<std::size_t>(slope.size()) * sizeof(double));
            return true;
        } catch (...) {
            if (!*self.error_) *self.error_ = std::current_exception();
            return false;
        }
    }
};

// The arrays of reductions, or none.
inline Reductions reductions_of(const py::object& given) {
    if (given.is_none()) return {};
    const auto kinds = given["kinds"].cast<Array<std::int32_t>>();
    const auto windows = given["windows"].cast<Array<double>>();
    return {static_cast<std::int32_t>(kinds.size()),
            kinds.data(),
            given["outputs"].cast<Array<std::int32_t>>().data(),
            given["linear"].cast<Array<std::uint8_t>>().data(),
            windows.data(),
            windows.shape(1),
            given["values"].cast<Array<double>>().mutable_data(),
            given["times"].cast<Array<double>>().mutable_data()};
}

// The arrays of forward sensitivities.
class TangentArrays {
  public:
    const Tangents* view(const py::object& given) {
        const auto array = [&](const char* name, std::int64_t* strides) -> const double* {
            if (given[name].is_none()) return nullptr;
            const auto a = kept_.emplace_back(given[name].cast<py::array_t<double>>());
            for (int k = 0; k < 2; ++k)
                strides[k] = k < a.ndim() - 1 && a.shape(k) > 1 ? stride_of(a, k) : 0;
            return a.data();
        };
        view_.parameters = array("parameters", view_.parameter_strides);
        view_.event_value = array("event_value", view_.event_strides);
        view_.event_time = array("event_time", view_.event_strides);
        auto values = given["values"].cast<Array<double>>();
        view_.directions = values.shape(values.ndim() - 1);
        view_.values = values.mutable_data();
        view_.reduced = given["reduced"].cast<Array<double>>().mutable_data();
        return &view_;
    }

  private:
    Tangents view_{};
    std::vector<py::array_t<double>> kept_;
};

}  // namespace teorell::bindings
