// The one file that knows whether the headers are compiled for a device (by nvcc, or at run time by
// NVRTC, which has no headers of the C library), and for which instruction set.
#pragma once

#if defined(__CUDACC_RTC__)
namespace std {
using uint8_t = unsigned char;
using int32_t = int;
using int64_t = long;
using uint64_t = unsigned long;
}  // namespace std
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

#if defined(__CUDACC_RTC__)
#define TEORELL_INFINITY __builtin_bit_cast(double, 0x7ff0000000000000)
#define TEORELL_NAN __builtin_bit_cast(double, 0x7ff8000000000000)
#else
#define TEORELL_INFINITY __builtin_huge_val()
#define TEORELL_NAN __builtin_nan("")
#endif

#if defined(__CUDACC__)
#define TEORELL_HD __host__ __device__
#define TEORELL_INLINE __forceinline__
#define TEORELL_APART \
    __noinline__  // one copy of what many places call: inlined, it is ten times the code
#else
#define TEORELL_ON_HOST  // and nowhere else: packs of lanes, memory that grows, threads
#define TEORELL_HD
#define TEORELL_INLINE inline __attribute__((always_inline))
#define TEORELL_APART
#endif

// Slots of a workspace lie in a device's own memory, or in that of a block, which the compiler
// cannot know: it would look first where an address points.
#if defined(__CUDA_ARCH__)
#define TEORELL_IN_DEVICE_MEMORY(pointer) __builtin_assume(__isGlobal(pointer))
#define TEORELL_IN_SHARED_MEMORY(pointer) __builtin_assume(__isShared(pointer))
#else
#define TEORELL_IN_DEVICE_MEMORY(pointer) static_cast<void>(0)
#define TEORELL_IN_SHARED_MEMORY(pointer) static_cast<void>(0)
#endif

// Each instruction-set build of the core lives in an inline namespace of its own, so that the
// linker cannot merge the code of one with that of another.
#ifndef TEORELL_ISA
#define TEORELL_ISA plain
#endif

#define TEORELL_BEGIN \
    namespace teorell { \
    inline namespace TEORELL_ISA {
#define TEORELL_END \
    } \
    }
