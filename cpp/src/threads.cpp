#include "threads.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace teorell {

namespace {
struct Deleter {
    void operator()(double* p) const { ::operator delete[](p, std::align_val_t{64}); }
};
using Workspace = std::unique_ptr<double[], Deleter>;

Workspace allocate(std::size_t count) {
    return Workspace(
        static_cast<double*>(::operator new[](count * sizeof(double), std::align_val_t{64})));
}
}  // namespace

bool on_threads(int threads, std::size_t size, Run& run, const std::function<bool(double*)>& work,
                const std::function<bool(std::int64_t)>& watch, Caller& caller) {
    std::vector<Workspace> workspaces;
    for (int i = 0; i < threads; ++i) workspaces.push_back(allocate(size));

    int running = threads;
    bool known = true;
    const auto task = [&](double* workspace) {
        const bool done = work(workspace);
        caller.tell([&] {
            known = known && done;
            --running;
        });
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<std::size_t>(threads));
    try {
        for (const Workspace& own : workspaces) pool.emplace_back(task, own.get());
    } catch (const std::exception&) {
        // The system has no more threads, or no memory for them: those that started do the work, or
        // this one.
        caller.tell([&] { running -= threads - std::max(1, static_cast<int>(pool.size())); });
    }
    if (pool.empty()) task(workspaces.front().get());
    caller.serve([&] { return running == 0; },
                 [&] {
                     if (!watch(count_finished(run))) cancel(run);
                 });
    for (std::thread& t : pool) t.join();
    if (run.out_of_memory != 0) throw std::bad_alloc();
    return known;
}

int useful_threads(int threads, std::int64_t patients, int width) {
    return static_cast<int>(
        std::max<std::int64_t>(1, std::min<std::int64_t>(threads, (patients + width - 1) / width)));
}

}  // namespace teorell
