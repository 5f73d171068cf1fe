// cpp/src/engine.hpp over the kernel source of cuda/ run on the host: linked with
// cpp/bindings/module.cpp it makes an extension with the interface of _core, so that the tests put
// whole models through the code that a GPU would run, as a host of a GPU would: launch after launch
// of a few steps, and patients whose record did not fit once more with room for twice as much.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cpp/src/steady.hpp"
#include "kernel.cuh"

namespace teorell {

namespace {

bool not_here(const Programs&, const Batch&, const Derivatives&, const char*, const MachineCode&,
              Run&, double*) {
    return false;
}
bool no_program(const std::int32_t*, double*, int) { return false; }
bool no_step(const Programs&, const char*, double*, int) { return false; }
bool no_map(const ColumnProgram&, const Columns&, Run&, double*) { return false; }
bool no_projection(const ColumnProgram&, const Columns&, const Constraints&, const Projected&, Run&,
                   double*) {
    return false;
}
std::int64_t no_memory(const ColumnProgram&, const Constraints*) { return 0; }

const Kernel shim{"cuda-shim", 1,          1,       has_fma, not_here, no_map,  no_projection,
                  no_memory,   no_program, no_step, nullptr, nullptr,  nullptr, nullptr};

constexpr unsigned blocks = 3, threads = 32;

// Steps of each thread in a launch, and the first order of threads: a test may choose.
long setting(const char* name, long otherwise) {
    const char* given = std::getenv(name);
    return given != nullptr ? std::atol(given) : otherwise;
}

// A call: its counters and memory, launched until it is over.
struct Call {
    std::vector<double> memory;
    std::vector<std::uint8_t> unfit;
    Counters counters{};
    Launch given{};
    int host_threads;
    std::mt19937 shuffle{static_cast<unsigned>(setting("TEORELL_SHIM_ORDER", 1))};

    Call(std::int64_t patients, std::int64_t slots, int host_threads)
        : memory(static_cast<std::size_t>(blocks * threads * slots)),
          unfit(static_cast<std::size_t>(patients)),
          host_threads(host_threads) {
        counters.patients = static_cast<unsigned long long>(patients);
        given.memory = memory.data(), given.slots = slots, given.counters = &counters;
        given.steps = setting("TEORELL_SHIM_STEPS", 5);
        given.unfit = unfit.data();
    }

    template <class Kernel, class... Views>
    void run(Kernel kernel, const std::function<bool(std::int64_t)>& watch, const Views&... views) {
        while (counters.finished + counters.unfit < counters.patients) {
            launch(host_threads, shuffle, kernel, blocks, threads, views..., given);
            if (counters.cancel != 0) return;
            if (!watch(static_cast<std::int64_t>(counters.finished))) counters.cancel = 1;
        }
    }
};

// Derivatives: again with room for twice as much, of those whose record did not fit.
template <class Slots, class Run>
void with_room(std::int64_t patients, std::int64_t reductions, std::int64_t states,
               int host_threads, Slots slots, Run run) {
    const auto first = std::int64_t{setting("TEORELL_SHIM_ROOM", 64)};
    std::vector<std::int64_t> chosen;
    for (Room room{first, 0, first, first + reductions, first};;) {
        room.states =
            std::min({states, room.steps, std::int64_t{setting("TEORELL_SHIM_STATES", 64)}});
        Call call(patients, slots(room), host_threads);
        call.given.room = room;
        if (!chosen.empty()) {
            call.given.chosen = chosen.data();
            call.counters.patients = chosen.size();
        }
        run(call);
        if (call.counters.unfit == 0 || call.counters.cancel != 0) return;
        chosen.clear();
        for (std::int64_t i = 0; i < patients; ++i)
            if (call.unfit[static_cast<std::size_t>(i)] != 0) chosen.push_back(i);
        room.steps *= 2, room.stretches *= 2, room.marks *= 2, room.pieces *= 2;
    }
}

using Executor = Interpreted<Rodas5P>;

void solve_forward(const Programs& programs, const Batch& batch, int host_threads,
                   const std::function<bool(std::int64_t)>& watch) {
    Call call(batch.patients, solve_slots(programs.at, batch.reductions.count), host_threads);
    call.run(solve_patients<Executor>, watch, programs, batch);
}

// The loss, where there is one, is called once, for all patients.
void pull_back(const Programs& programs, Batch batch, Gradient gradient, int host_threads,
               const std::function<bool(std::int64_t)>& watch) {
    std::vector<double> values, slopes;
    if (gradient.cotangent == nullptr) {
        const std::int64_t rows = batch.sample_offsets != nullptr
                                      ? batch.sample_offsets[batch.patients]
                                      : batch.patients * batch.n_times;
        const std::int64_t n_out = programs.at.n_out;
        values.resize(static_cast<std::size_t>(rows * n_out) + 1);
        slopes.resize(values.size());
        batch.values = values.data(), batch.values_first = 0;
        solve_forward(programs, batch, host_threads, watch);
        if (!gradient.loss(gradient.context, 0, batch.patients, values.data(), slopes.data()))
            return;
        gradient.cotangent = slopes.data();
        gradient.strides[0] = batch.n_times * n_out, gradient.strides[1] = n_out;
        gradient.strides[2] = 1;
    }
    const std::int64_t reductions = batch.reductions.count;
    with_room(
        batch.patients, reductions, gradient.recorded_steps, host_threads,
        [&](const Room& room) { return gradient_slots(programs.at, reductions, room); },
        [&](Call& call) {
            call.run(pull_patients_back<Executor>, watch, programs, batch, gradient);
        });
}

void push_forward(const Programs& programs, const Batch& batch, const Tangents& tangents,
                  int host_threads, const std::function<bool(std::int64_t)>& watch) {
    const std::int64_t reductions = batch.reductions.count;
    with_room(
        batch.patients, reductions, std::int64_t{1} << 40, host_threads,
        [&](const Room& room) {
            return tangent_slots(programs.at, reductions, tangents.directions, room);
        },
        [&](Call& call) {
            call.run(push_patients_forward<Executor>, watch, programs, batch, tangents);
        });
}

}  // namespace

const std::vector<const Kernel*>& kernels() {
    static const std::vector<const Kernel*> list{&shim};
    return list;
}

const Kernel& kernel_named(const std::string&) { return shim; }

int available_threads() { return 1; }

void solve(const Kernel&, const Programs& programs, const Batch& batch,
           const Derivatives& derivatives, const std::string& method, const MachineCode& code,
           int host_threads, const std::function<bool(std::int64_t)>& watch, Caller&) {
    if (method != Rodas5P::name || code.step != nullptr)
        throw std::invalid_argument("the shim interprets rodas5p alone");
    if (derivatives.gradient != nullptr)
        pull_back(programs, batch, *derivatives.gradient, host_threads, watch);
    else if (derivatives.tangents != nullptr)
        push_forward(programs, batch, *derivatives.tangents, host_threads, watch);
    else
        solve_forward(programs, batch, host_threads, watch);
}

void find_attractors(const Kernel&, const IntervalFlows&, const Search&, const std::string&, int,
                     const std::function<bool(std::int64_t)>&, Caller&) {
    throw std::invalid_argument("the shim solves alone");
}

void map(const Kernel&, const ColumnProgram& program, const Columns& columns, int host_threads,
         const std::function<bool(std::int64_t)>& watch) {
    Call call(columns.patients, map_slots(program), host_threads);
    call.run(map_patients<>, watch, program, columns);
}

void project(const Kernel&, const ColumnProgram& program, const Columns& columns,
             const Constraints& constraints, const Projected& projected, int host_threads,
             const std::function<bool(std::int64_t)>& watch) {
    Call call(columns.patients, map_slots(program) + Projector<DeviceLane>::memory(constraints),
              host_threads);
    call.run(project_patients<>, watch, program, columns, constraints, projected);
}

}  // namespace teorell
