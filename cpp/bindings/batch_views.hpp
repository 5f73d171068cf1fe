// The arrays of a batch, checked, as the engine's views: parameters, events, samples, and what is
// written of each patient.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "arrays.hpp"
#include "model.hpp"
#include "teorell/batch.hpp"
#include "teorell/events.hpp"

namespace teorell::bindings {

// What happens to the patients; one table for all of several, or one each.
struct EventArrays {
    Array<double> times, values;
    Array<std::int32_t> kinds, targets;
    Array<std::int64_t> offsets;
    bool shared = false;  // by several patients

    EventArrays(const py::object& at_times, const py::object& of_kinds,
                const py::object& on_targets, const py::object& with_values,
                const py::object& from_offsets, std::int64_t patients, const Layout& layout)
        : times(array_of<double>(at_times, "event_times", {-1})),
          values(array_of<double>(with_values, "event_values", {times.size()})),
          kinds(array_of<std::int32_t>(of_kinds, "event_kinds", {times.size()})),
          targets(array_of<std::int32_t>(on_targets, "event_targets", {times.size()})),
          offsets(array_of<std::int64_t>(from_offsets, "event_offsets", {-1})),
          shared(offsets.size() == 2 && patients != 1) {
        if (!shared) check_shape(offsets, "event_offsets", {patients + 1});
        check_offsets(offsets, "event_offsets", times.size());
        check_targets(layout);
        check_order();
    }

    std::int64_t rows() const { return times.size(); }
    // Of patient i, how many.
    std::int64_t count(std::int64_t i) const {
        return offsets.data()[shared ? 1 : i + 1] - offsets.data()[shared ? 0 : i];
    }

  private:
    // What each kind acts on is there.
    void check_targets(const Layout& at) const {
        const std::int32_t ends[] = {
            at.n,           at.n_rates,  at.n_rates, at.n_switches - at.n_surfaces,
            to_initial + 1, at.n_params, at.n};
        check_range(kinds, "event_kinds", std::int64_t{given} + 1);
        bool inside = true;
        for (std::int64_t e = 0; e < rows(); ++e)
            inside = inside && targets.data()[e] >= 0 && targets.data()[e] < ends[kinds.data()[e]];
        require(inside, "event_targets", "has a target that is not there (it counts from 0)");
    }
    // Times that the solver takes for one (events.hpp) may stand in another order.
    void check_order() const {
        const std::int64_t* at = offsets.data();
        const auto earlier = [](double next, double last) { return next < last * (1.0 - 1e-14); };
        bool sorted = true;
        for (py::ssize_t i = 1; i < offsets.size(); ++i) {
            const double *from = times.data() + at[i - 1], *to = times.data() + at[i];
            sorted = sorted && std::is_sorted(from, to, earlier) &&
                     std::none_of(from, to, [](double t) { return std::isnan(t); });
        }
        require(sorted, "event_times", "is not in order of time (each patient's rows are)");
    }
};

// When values are wanted: one grid for all, or of each patient its own, perhaps among its events.
struct SampleArrays {
    Array<double> times;
    Array<std::int64_t> offsets, events;
    bool own = false, among_events = false;

    SampleArrays(const py::object& at_times, const py::object& from_offsets,
                 const py::object& after_events, std::int64_t patients, const EventArrays& happens)
        : times(array_of<double>(at_times, "times", {-1})),
          own(!from_offsets.is_none()),
          among_events(!after_events.is_none()) {
        require(own || !among_events, "sample_events", "has no sample_offsets (whose are they?)");
        if (own) {
            offsets = array_of<std::int64_t>(from_offsets, "sample_offsets", {patients + 1});
            check_offsets(offsets, "sample_offsets", times.size());
        }
        for (std::int64_t i = 0; i < (own ? patients : 1); ++i) check_order(i);
        if (!among_events) return;
        events = array_of<std::int64_t>(after_events, "sample_events", {times.size()});
        for (std::int64_t i = 0; i < patients; ++i)
            for (std::int64_t row = first(i); row < first(i + 1); ++row)
                require(events.data()[row] >= 0 && events.data()[row] <= happens.count(i),
                        "sample_events", "has a place that is not among the patient's events");
    }

    const std::int64_t* offsets_or_null() const { return own ? offsets.data() : nullptr; }
    const std::int64_t* events_or_null() const { return among_events ? events.data() : nullptr; }
    // Of the values: (patients, times, outputs) or (rows, outputs), and more.
    Shape shape(std::int64_t patients, Shape rest) const {
        rest.insert(rest.begin(), times.size());
        if (!own) rest.insert(rest.begin(), patients);
        return rest;
    }

  private:
    std::int64_t first(std::int64_t i) const { return own ? offsets.data()[i] : i * times.size(); }
    void check_order(std::int64_t i) const {
        const double *from = times.data() + first(i), *to = times.data() + first(i + 1);
        require(std::is_sorted(from, to) &&
                    std::none_of(from, to, [](double t) { return std::isnan(t); }),
                "times", "is not in order of time (each patient's samples are)");
    }
};

// The arrays of reductions, or none; `kept` keeps them alive.
inline Reductions reductions_of(const py::object& given, std::int64_t patients,
                                const Layout& layout, std::optional<Given>& kept) {
    if (given.is_none()) return {};
    Given& arrays = kept.emplace(given, "reductions");
    const auto kinds = arrays.array<std::int32_t>("kinds", {-1});
    const std::int64_t count = kinds.size();
    check_range(kinds, "kinds", std::int64_t{area} + 1);
    const auto outputs = arrays.array<std::int32_t>("outputs", {count});
    check_range(outputs, "outputs", layout.n_out);
    const auto windows = arrays.array<double>("windows", {count, -1, 3});
    require(windows.shape(1) == 1 || windows.shape(1) == patients, "windows",
            "is neither of all patients nor of each (its second length)");
    return {static_cast<std::int32_t>(count),
            kinds.data(),
            outputs.data(),
            arrays.array<std::uint8_t>("linear", {count}).data(),
            windows.data(),
            windows.shape(1),
            arrays.output<double>("values", {patients, count}),
            arrays.output<double>("times", {patients, count})};
}

}  // namespace teorell::bindings
