// What one device thread has: its part of the memory of a launch, the queue of patients, the
// programs of a model, and what it keeps when a launch ends before its work does.
#pragma once

#include "device_method.hpp"
#include "launch_shim.hpp"
#include "teorell/adjoint.hpp"
#include "teorell/device.hpp"
#include "teorell/device_lane.hpp"
#include "teorell/rosenbrock.hpp"
#include "teorell/tableau.hpp"
#include "teorell/tangent.hpp"

TEORELL_BEGIN

// Threads of a block at most (launch.py).
constexpr int block = 128;

// Numbers of one thread that lie a warp apart; structs as well, those of a warp side by side.
template <class T, int apart = warp>
struct Strided {
    T* first = nullptr;
    TEORELL_HD T& operator[](std::int64_t i) const { return first[i * apart]; }
    TEORELL_HD Strided operator+(std::int64_t i) const { return {first + i * apart}; }
};

// Gives out the slots of a thread, one part after the other.
template <int apart>
struct MemoryEvery {
    double* next;
    std::int64_t lane;

    TEORELL_HD double* take(std::int64_t slots) { return records<double>(slots).first; }
    template <class T>
    TEORELL_HD Strided<T, apart> records(std::int64_t count) {
        static_assert(sizeof(T) % sizeof(double) == 0, "a record is a whole number of slots");
        T* part = reinterpret_cast<T*>(next) + lane;
        next += static_cast<std::int64_t>(sizeof(T) / sizeof(double)) * count * apart;
        return {part};
    }
    // Numbers one after the other.
    TEORELL_HD double* in_a_row(std::int64_t count) {
        double* part = next + lane * count;
        next += count * apart;
        return part;
    }
};

struct ThreadMemory : MemoryEvery<warp> {
    __device__ explicit ThreadMemory(const Launch& launch) {
        const std::int64_t thread =
            static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
        next = launch.memory + thread / warp * launch.slots * warp;
        lane = thread % warp;
    }
};

// Writes what a time loop keeps into slots, or reads it from there.
template <int apart>
struct KeptEvery {
    Strided<double, apart> slots;
    bool read;
    std::int64_t next = 0;

    template <class T>
    TEORELL_HD void operator()(T& number) {
        static_assert(sizeof(T) <= sizeof(double), "one slot each");
        double* slot = &slots[next++];
        if (read)
            memcpy(&number, slot, sizeof number);
        else
            memcpy(slot, &number, sizeof number);
    }
    template <class T, int lanes>
    TEORELL_HD void operator()(T (&numbers)[lanes]) {
        for (T& number : numbers) (*this)(number);
    }
};
using KeptNumbers = KeptEvery<warp>;

// Patients of a call, one a thread.
struct DeviceQueue {
    const Launch& launch;
    TEORELL_HD std::int64_t next() const {
        const unsigned long long i = fetch_add(&launch.counters->next, 1ull);
        if (i >= launch.counters->patients) return -1;
        return launch.chosen == nullptr ? static_cast<std::int64_t>(i) : launch.chosen[i];
    }
    TEORELL_HD bool cancelled() const {
        return *static_cast<volatile const std::int32_t*>(&launch.counters->cancel) != 0;
    }
    TEORELL_HD void finished() const { fetch_add(&launch.counters->finished, 1ull); }
};

template <class Method_>
struct DeviceInterpreter {
    using Method = Method_;
    using V = DeviceLane;
    // Blocks that a multiprocessor solves at a time: as many as there can be without registers that
    // are spilled (docs/cuda_speed.md).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
    static constexpr int blocks = 3;
#else
    static constexpr int blocks = 4;
#endif
    const Programs& programs;
    TEORELL_HD TEORELL_APART void step(double* ws) const { Step<V, Method>{{programs, ws}}(); }
    TEORELL_HD void rhs(double* ws) const { interpret<V>(programs.rhs, ws); }
    TEORELL_HD void outputs(double* ws) const { interpret<V>(programs.outputs, ws); }
    TEORELL_HD TEORELL_APART void stages(double* ws) const {
        Step<V, Method>{{programs, ws}}.stages();
    }
    TEORELL_HD TEORELL_APART void reverse(double* ws) const {
        ReverseStep<V, Method>{{programs, ws}}();
    }
    TEORELL_HD void outputs_vjp(double* ws) const { interpret<V>(programs.outputs_vjp, ws); }
    TEORELL_HD TEORELL_APART void tangent(double* ws) const {
        TangentStep<V, Method>{{programs, ws}}();
    }
};

// Where a thread stands, in the first of its kept slots: 0 before its first launch.
enum Phase : std::int64_t { fresh = 0, waiting, solving, walking, over };

TEORELL_END
