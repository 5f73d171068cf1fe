// Derivatives that are asked for beside values, backward and forward, each a dict of arrays
// that python/teorell/engine/solve.py makes.
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

#include "../src/engine.hpp"
#include "arrays.hpp"
#include "batch_views.hpp"
#include "model.hpp"
#include "watch.hpp"

namespace teorell::bindings {

// The arrays of a gradient, and the user's loss, called with the lock of the interpreter held.
class GradientArrays {
  public:
    // The first exception of the loss goes into `error`.
    const Gradient* view(const py::object& given, const Batch& batch, const Model& model,
                         const EventArrays& events, const SampleArrays& samples, Caller& caller,
                         std::exception_ptr& error) {
        require(model.has_adjoint(), "model",
                "was not lowered for gradients (its workspace has no room for them)");
        const Layout& at = model.view().at;
        const std::int64_t patients = batch.patients;
        Given& arrays = arrays_.emplace(given, "gradient");
        if (arrays.has("cotangent")) {
            take_cotangent(arrays, samples.shape(patients, {at.n_out}));
        } else {
            loss_ = arrays["loss"];
            caller_ = &caller;
            n_times_ = batch.n_times, n_out_ = at.n_out, sample_offsets_ = batch.sample_offsets,
            status_ = batch.status, error_ = &error;
            view_.loss = &GradientArrays::call;
            view_.context = this;
        }
        const Shape rows = events.shared ? Shape{patients, events.rows()} : Shape{events.rows()};
        view_.parameters = arrays.output<double>("parameters", {patients, at.n_params});
        view_.initial = arrays.output<double>("initial", {patients, at.n});
        view_.event_value = arrays.output<double>("event_value", rows);
        view_.event_time =
            arrays.has("event_time") ? arrays.output<double>("event_time", rows) : nullptr;
        view_.shared_rows = events.shared ? events.rows() : 0;
        view_.recorded_steps = arrays.number<std::int64_t>("recorded_steps");
        require(view_.recorded_steps > 0 && view_.recorded_steps <= most_slots, "recorded_steps",
                "is no number of steps to keep (one at least)");
        if (arrays.has("reduced"))
            view_.reduced =
                arrays.array<double>("reduced", {patients, batch.reductions.count}).data();
        return &view_;
    }

  private:
    Gradient view_{};
    std::optional<Given> arrays_;
    py::object loss_;
    Caller* caller_ = nullptr;
    std::int64_t n_times_ = 0, n_out_ = 0;
    const std::int64_t* sample_offsets_ = nullptr;
    const std::int32_t* status_ = nullptr;
    std::exception_ptr* error_ = nullptr;

    // Of any strides, so also of rows that repeat one number.
    void take_cotangent(Given& arrays, const Shape& shape) {
        const auto cotangent = arrays.strided("cotangent");
        check_shape(cotangent, "cotangent", shape);
        view_.cotangent = cotangent.data();
        // Of rows, no stride from patient to patient.
        const auto missing = static_cast<int>(3 - cotangent.ndim());
        for (int k = missing; k < 3; ++k) view_.strides[k] = stride_of(cotangent, k - missing);
    }

    // Python is left to the thread that has called: another may find no memory to begin with it,
    // for which libraries abort.
    static bool call(void* context, std::int64_t first, std::int64_t count, const double* values,
                     double* slopes) {
        auto& self = *static_cast<GradientArrays*>(context);
        return self.caller_->run([&] { return self.slopes_of(first, count, values, slopes); });
    }

    bool slopes_of(std::int64_t first, std::int64_t count, const double* values, double* slopes) {
        const py::gil_scoped_acquire gil;
        try {
            Shape shape{count, n_times_, n_out_};
            if (const auto* offsets = sample_offsets_)
                shape = {offsets[first + count] - offsets[first], n_out_};
            const auto slope = with_memory([&] {
                const Array<double> copy(shape, values);
                const Array<std::int32_t> status(static_cast<py::ssize_t>(count), status_ + first);
                return array_of<double>(loss_(copy, status, first), "slopes of the loss", shape);
            });
            std::memcpy(slopes, slope.data(),
                        static_cast<std::size_t>(slope.size()) * sizeof(double));
            return true;
        } catch (...) {
            if (!*error_) *error_ = std::current_exception();
            return false;
        }
    }
};

// The accepted steps of a solve, kept until gradients are asked for.
class Kept {
  public:
    explicit Kept(const std::string& isa) : kernel_(kernel_named(isa)), kept_(kernel_.new_kept()) {
        if (kept_ == nullptr) throw std::bad_alloc();
    }
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;
    ~Kept() { kernel_.free_kept(kept_); }

    // For another solve; its memory stays.
    void prepare(std::int64_t patients, std::int64_t bytes) {
        require(patients >= 0 && patients <= most_patients && bytes >= 0, "kept",
                "has no size (patients or bytes are negative, or huge)");
        if (!kernel_.prepare_kept(kept_, patients, bytes)) throw std::bad_alloc();
        patients_ = patients;
        recorded_ = false;
    }

    // How many patients' steps are here.
    std::int64_t there() const { return kernel_.rewind_kept(kept_); }

    // For one call: the first records, the others read.
    void* of(const Kernel& kernel, const Batch& batch, const Layout& at, bool reads) {
        const std::int64_t sizes[] = {at.n,          at.n_rates,     at.n_params,
                                      at.n_switches, batch.patients, batch.reductions.count};
        require(&kernel == &kernel_ && batch.patients == patients_ && reads == recorded_, "kept",
                "is of another call (patients, instruction set, or the order of calls differ)");
        if (!reads) std::copy(std::begin(sizes), std::end(sizes), std::begin(sizes_));
        require(std::equal(std::begin(sizes), std::end(sizes), std::begin(sizes_)), "kept",
                "is of another model (it has other states, rates or parameters)");
        recorded_ = true;
        kernel_.rewind_kept(kept_);
        return kept_;
    }

  private:
    const Kernel& kernel_;
    void* kept_;
    std::int64_t patients_ = -1, sizes_[6] = {};
    bool recorded_ = false;
};

// The arrays of forward sensitivities.
class TangentArrays {
  public:
    const Tangents* view(const py::object& given, const Batch& batch, const Model& model,
                         const EventArrays& events, const SampleArrays& samples) {
        require(model.has_tangents(), "model",
                "was not lowered for forward sensitivities (its workspace has no room for them)");
        const Layout& at = model.view().at;
        Given& arrays = arrays_.emplace(given, "tangents");
        const auto reduced =
            arrays.array<double>("reduced", {batch.patients, batch.reductions.count, -1});
        view_.directions = reduced.shape(2);
        view_.parameters = take("parameters", at.n_params, batch.patients, view_.parameter_strides);
        std::int64_t of_times[2] = {0, 0};
        // Of rows that are each some patient's, no length for patients.
        const std::int64_t several = events.shared ? batch.patients : 1;
        view_.event_value = take("event_value", events.rows(), several, view_.event_strides);
        view_.event_time = take("event_time", events.rows(), several, of_times);
        if (view_.event_value == nullptr) std::copy(of_times, of_times + 2, view_.event_strides);
        require(
            view_.event_time == nullptr || std::equal(of_times, of_times + 2, view_.event_strides),
            "event_time", "has another shape than event_value (they are read side by side)");
        view_.values = arrays.output<double>(
            "values", samples.shape(batch.patients, {at.n_out, view_.directions}));
        view_.reduced = arrays.output<double>(
            "reduced", {batch.patients, batch.reductions.count, view_.directions});
        return &view_;
    }

  private:
    Tangents view_{};
    std::optional<Given> arrays_;

    // (directions, patients or 1, length), or (directions, length) as for one patient; its strides
    // from direction to direction and from patient to patient. Null where it is None.
    const double* take(const char* name, std::int64_t length, std::int64_t patients,
                       std::int64_t* strides) {
        if (!arrays_->has(name)) return nullptr;
        const auto array = arrays_->array<double>(name);
        const bool one = array.ndim() != 3 || array.shape(1) == 1;
        const std::int64_t second = one ? 1 : patients;
        check_shape(array, name,
                    array.ndim() == 2 ? Shape{view_.directions, length}
                                      : Shape{view_.directions, second, length});
        strides[0] = second * length;
        strides[1] = one ? 0 : length;
        return array.data();
    }
};

}  // namespace teorell::bindings
