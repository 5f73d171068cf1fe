// Some of the flows of one dosing interval run on threads: where they lead to, and what their
// matrices make of directions.
#pragma once

#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "steady.hpp"
#include "threads.hpp"

namespace teorell {

using Numbers = std::vector<std::int64_t>;  // of flows

// The run was cancelled by its watch.
struct Cancelled : std::exception {};

class FlowRunner {
  public:
    FlowRunner(const Kernel& kernel, const IntervalFlows& flows, const std::string& method,
               int threads, const std::function<bool(std::int64_t)>& watch, Caller& caller,
               std::int64_t directions, std::int64_t* attempts)
        : kernel_(kernel),
          flows_(flows),
          method_(method),
          threads_(threads),
          watch_([this, &watch](std::int64_t finished) {
              going_on_ = going_on_ && watch(finished);
              return going_on_;
          }),
          caller_(caller),
          attempts_(attempts),
          rows_(flows.batch.event_offsets[flows.batch.patients]),
          events_(flows.batch.event_values, flows.batch.event_values + rows_),
          directions_(static_cast<double*>(std::calloc(
                          static_cast<std::size_t>(directions * rows_ + 1), sizeof(double))),
                      &std::free) {
        if (directions_ == nullptr) throw std::bad_alloc();
    }
    FlowRunner(const FlowRunner&) = delete;
    FlowRunner& operator=(const FlowRunner&) = delete;

    // The flows `which` from points: `from(k)` of flow k, (m,).
    template <class From>
    void advance(const Numbers& which, double rtol, From from) {
        if (which.empty()) return;
        place(which, from);
        run(which, rtol, flows_.plain, nullptr);
    }

    // The derivatives of these flows, at such points, in the first `count` directions.
    template <class From>
    void differentiate(const Numbers& which, double rtol, From from, std::int64_t count) {
        if (which.empty()) return;
        place(which, from);
        derivatives_.assign(which.size() * static_cast<std::size_t>(n() * count),
                            std::numeric_limits<double>::quiet_NaN());
        Tangents tangents{};
        tangents.directions = count;
        tangents.event_value = directions_.get();
        tangents.event_strides[0] = rows_;
        tangents.values = derivatives_.data();
        count_ = count;
        run(which, rtol, flows_.with_tangents, &tangents);
    }

    // State i of flow k in direction d.
    double& direction(std::int64_t k, std::int64_t d, int i) {
        return directions_.get()[d * rows_ + row(k, i)];
    }

    // Of the flow that was number p of those that were run last: where it led to (m,), and how that
    // went.
    void reached(std::int64_t p, double* to) const {
        for (int i = 0; i < flows_.m; ++i)
            to[i] = values_[static_cast<std::size_t>(p * n() + flows_.kept[i])];
    }
    std::int32_t status(std::int64_t p) const { return status_[static_cast<std::size_t>(p)]; }
    // The derivatives of its state i, in each direction.
    const double* derivatives(std::int64_t p, int i) const {
        return &derivatives_[static_cast<std::size_t>((p * n() + flows_.kept[i]) * count_)];
    }

    // action(k, p, workspace) for each of the flows, k, and its number, p, on threads.
    template <class Action>
    void each(const Numbers& which, std::size_t workspace, Action action) {
        constexpr std::int64_t block = 16;
        if (static_cast<std::int64_t>(which.size()) <= block)
            return each_here(which, workspace, action);
        Run run;
        run.patients = static_cast<std::int64_t>(which.size());
        const auto work = [&](double* memory) {
            for (;;) {
                const std::int64_t first = take(run, block);
                if (first >= run.patients || is_cancelled(run)) return true;
                for (std::int64_t p = first; p < first + block && p < run.patients; ++p)
                    action(which[static_cast<std::size_t>(p)], p, memory);
            }
        };
        on_threads(useful_threads(threads_, run.patients, block), workspace, run, work, watch_,
                   caller_);
        if (!going_on_) throw Cancelled();
    }
    // The same on the calling thread: what is soon done is not worth others.
    template <class Action>
    void each_here(const Numbers& which, std::size_t workspace, Action action) {
        few_.resize(workspace);
        for (std::size_t p = 0; p < which.size(); ++p)
            action(which[p], static_cast<std::int64_t>(p), few_.data());
    }

  private:
    const Kernel& kernel_;
    const IntervalFlows& flows_;
    const std::string& method_;
    int threads_;
    bool going_on_ = true;
    std::function<bool(std::int64_t)> watch_;
    Caller& caller_;
    std::int64_t* attempts_;      // [flow] steps that were tried, all runs together
    std::int64_t rows_;           // of events
    std::vector<double> events_;  // [row] values; those of states are the points
    std::unique_ptr<double, void (*)(void*)> directions_;  // [direction][row]
    std::int64_t count_ = 0;                               // directions in derivatives_
    std::vector<double> few_;                              // memory where there is little to do
    // Of those that are run.
    std::vector<double> numbers_, times_, values_, derivatives_, failure_time_, atol_;
    std::vector<const double*> columns_;
    std::vector<std::int64_t> strides_, event_offsets_, sample_offsets_, steps_, rejected_;
    std::vector<std::int32_t> status_;

    std::int64_t n() const { return flows_.plain.programs.at.n; }
    std::int64_t row(std::int64_t k, int i) const {
        return flows_.inside[k * n() + flows_.kept[i]];
    }

    template <class From>
    void place(const Numbers& which, From from) {
        for (const std::int64_t k : which) {
            const double* point = from(k);
            for (int i = 0; i < flows_.m; ++i)
                events_[static_cast<std::size_t>(row(k, i))] = point[i];
        }
    }

    void run(const Numbers& which, double rtol, const Solver& solver, const Tangents* tangents) {
        const Batch part = part_of(which, rtol);
        Derivatives wanted;
        wanted.tangents = tangents;
        solve(kernel_, solver.programs, part, wanted, method_, solver.code, threads_, watch_,
              caller_);
        if (!going_on_) throw Cancelled();
        for (std::size_t p = 0; p < which.size(); ++p)
            attempts_[which[p]] += steps_[p] + rejected_[p];
    }

    // These flows as a batch of their own.
    Batch part_of(const Numbers& which, double rtol) {
        const Batch& all = flows_.batch;
        const std::size_t count = which.size();
        Batch part = all;
        part.patients = part.n_times = static_cast<std::int64_t>(count);
        copy_columns(which);
        event_offsets_.resize(2 * count), sample_offsets_.resize(count + 1), times_.resize(count);
        for (std::size_t p = 0; p < count; ++p) {
            event_offsets_[2 * p] = all.event_offsets[which[p]];
            event_offsets_[2 * p + 1] = all.event_offsets[which[p] + 1];
            times_[p] = all.times[which[p]];
            sample_offsets_[p + 1] = static_cast<std::int64_t>(p) + 1;
        }
        atol_.assign(all.atol, all.atol + n());
        for (double& each : atol_) each *= rtol / all.rtol;
        values_.resize(count * static_cast<std::size_t>(n()));
        status_.resize(count), failure_time_.resize(count);
        steps_.resize(count), rejected_.resize(count);
        part.columns = columns_.data(), part.column_strides = strides_.data();
        part.event_values = events_.data();
        part.event_offsets = event_offsets_.data(), part.event_offset_stride = 2;
        part.times = times_.data(), part.sample_offsets = sample_offsets_.data();
        part.rtol = rtol, part.atol = atol_.data();
        part.values = values_.data(), part.status = status_.data();
        part.failure_time = failure_time_.data();
        part.steps = steps_.data(), part.rejected = rejected_.data();
        return part;
    }

    void copy_columns(const Numbers& which) {
        const std::size_t parameters = static_cast<std::size_t>(flows_.plain.programs.at.n_params);
        numbers_.resize(parameters * which.size());
        columns_.resize(parameters), strides_.resize(parameters);
        for (std::size_t c = 0; c < parameters; ++c) {
            const double* from = flows_.batch.columns[c];
            const std::int64_t stride = flows_.batch.column_strides[c];
            double* to = numbers_.data() + c * which.size();
            columns_[c] = stride == 0 ? from : to;
            strides_[c] = stride == 0 ? 0 : 1;
            for (std::size_t p = 0; p < which.size() && stride != 0; ++p)
                to[p] = from[which[p] * stride];
        }
    }
};

}  // namespace teorell
