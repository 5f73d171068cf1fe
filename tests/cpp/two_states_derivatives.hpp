// Derivatives of the two-state model through tl::solve, both ways, and those of its closed form.
#pragma once

#include "two_states.hpp"

namespace two_states {

constexpr std::size_t n_inputs = std::tuple_size<Inputs>::value, rows = 3;

// How to solve, and the loss, if the solver is to ask for the cotangent.
struct Request {
    int threads = 1;
    const char* method = "rodas5p";
    double max_steps = 1e6;
    std::int64_t recorded_steps = 4096;
    bool (*loss)(void*, std::int64_t, std::int64_t, const double*, double*) = nullptr;
    void* context = nullptr;
    const double* reduced = nullptr;  // cotangents of reductions
    double* dots = nullptr;           // where their tangents go
};

struct Slopes {
    std::vector<double> parameters, initial, event_value, event_time;
    Result result;

    // d / d inputs of one patient, in the order of Inputs.
    Inputs of(std::size_t i) const {
        const double *p = &parameters[2 * i], *v = &event_value[rows * i],
                     *t = &event_time[rows * i];
        return {p[0], p[1], v[0], v[1], v[2], t[0], t[1], t[2]};
    }
    bool are_zero(std::size_t i) const {
        for (const double slope : of(i))
            if (slope != 0.0) return false;
        return initial[2 * i] == 0.0 && initial[2 * i + 1] == 0.0;
    }
};

// Of the sum of cotangent * value; an empty cotangent is 1 everywhere.
inline Slopes pull_back(const Population& p, const tl::Kernel& kernel, const Request& request,
                        const std::vector<double>& cotangent = {}) {
    const std::size_t n = p.ka.size();
    Slopes s{std::vector<double>(2 * n),
             std::vector<double>(2 * n),
             std::vector<double>(rows * n),
             std::vector<double>(rows * n),
             {}};
    const double all_one = 1.0;
    const auto grid = static_cast<std::int64_t>(p.times.size());
    tl::Gradient g{};
    g.cotangent = request.loss ? nullptr : cotangent.empty() ? &all_one : cotangent.data();
    if (!cotangent.empty()) g.strides[0] = grid, g.strides[1] = 1;
    g.loss = request.loss, g.context = request.context;
    g.parameters = s.parameters.data(), g.initial = s.initial.data();
    g.event_value = s.event_value.data(), g.event_time = s.event_time.data();
    g.shared_rows = p.event_offsets.size() > 2 ? 0 : rows,
    g.recorded_steps = request.recorded_steps;
    g.reduced = request.reduced;
    tl::Derivatives wanted;
    wanted.gradient = &g;
    s.result = p.solve(kernel, request.threads, request.max_steps, true, request.method, wanted);
    return s;
}

// [patient][time][input], one direction an input.
inline std::vector<double> push_forward(const Population& p, const tl::Kernel& kernel,
                                        const Request& request) {
    std::vector<double> values(p.ka.size() * p.times.size() * n_inputs);
    double parameters[n_inputs][2] = {}, value[n_inputs][rows] = {}, time[n_inputs][rows] = {};
    for (std::size_t d = 0; d < 2; ++d) parameters[d][d] = 1.0;
    for (std::size_t e = 0; e < rows; ++e) value[2 + e][e] = time[2 + rows + e][e] = 1.0;
    tl::Tangents t{};
    t.directions = n_inputs, t.parameters = parameters[0], t.parameter_strides[0] = 2;
    t.event_value = value[0], t.event_time = time[0], t.event_strides[0] = rows;
    t.values = values.data(), t.reduced = request.dots;
    tl::Derivatives wanted;
    wanted.tangents = &t;
    p.solve(kernel, request.threads, request.max_steps, true, request.method, wanted);
    return values;
}

// No sample at an event: there the derivative by its time has two sides.
inline Population between_events(std::size_t patients) {
    Population p(patients);
    for (double& t : p.times) t += 0.25;
    return p;
}

// d central(t) / d input, by central differences of the closed form.
inline double slope(const Inputs& at, std::size_t input, double t) {
    const double h = 1e-5 * std::fmax(1.0, std::fabs(at[input]));
    Inputs above = at, below = at;
    above[input] += h, below[input] -= h;
    return (exact(above, t) - exact(below, t)) / (2.0 * h);
}

}  // namespace two_states
