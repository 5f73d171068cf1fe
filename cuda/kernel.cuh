// The forward solve, one patient a thread: the time loop of cpp/include/teorell/integrate.hpp with
// `double` as its pack. A thread that finishes a patient takes the next from the queue, as a lane
// does.
#pragma once

#include "device_method.hpp"
#include "launch_shim.hpp"
#include "teorell/integrate.hpp"
#include "teorell/tableau.hpp"

TEORELL_BEGIN

// Shared by all threads of a launch; zero before it, but for `patients`.
struct Counters {
    unsigned long long patients;
    unsigned long long next;
    unsigned long long finished;
    int cancel;
};

struct DeviceQueue {
    Counters* counters;
    TEORELL_HD std::int64_t next() {
        const unsigned long long i = fetch_add(&counters->next, 1ull);
        return i < counters->patients ? static_cast<std::int64_t>(i) : -1;
    }
    TEORELL_HD bool cancelled() const {
        return *static_cast<volatile const int*>(&counters->cancel) != 0;
    }
    TEORELL_HD void finished() { fetch_add(&counters->finished, 1ull); }
};

template <class Method>
struct DeviceInterpreter {
    const Programs& programs;
    TEORELL_HD void step(double* ws) const { Step<double, Method>{{programs, ws}}(); }
    TEORELL_HD void rhs(double* ws) const { interpret<double>(programs.rhs, ws); }
    TEORELL_HD void outputs(double* ws) const { interpret<double>(programs.outputs, ws); }
};

// Of one thread: two workspaces, and an output at the nodes of a step.
TEORELL_HD inline std::int64_t workspace_size(const Layout& at) {
    return 2 * static_cast<std::int64_t>(at.slots) + (n_nodes + n_checks) * at.n_out;
}

// workspaces: [gridDim.x * blockDim.x][workspace_size]. Everything pointed to lies in device
// memory.
template <class Method>
__global__ void solve_patients(const __grid_constant__ Programs programs,
                               const __grid_constant__ Batch batch, double* workspaces,
                               Counters* counters) {
    using M = OnDevice<Method>;
    const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    double* workspace = workspaces + thread * workspace_size(programs.at);
    DeviceQueue queue{counters};
    const DeviceInterpreter<M> executor{programs};
    NoTape nothing;
    Group<double, M, DeviceInterpreter<M>, DeviceQueue>(programs, batch, executor, queue, workspace,
                                                        workspace + programs.at.slots,
                                                        workspace + 2 * programs.at.slots, nothing)
        .run();
}

TEORELL_END
