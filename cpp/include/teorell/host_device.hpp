// The one file that knows whether the headers are compiled by nvcc, and for which instruction set.
#pragma once

#if defined(__CUDACC__)
#define TEORELL_HD __host__ __device__
#define TEORELL_INLINE __forceinline__
#else
#define TEORELL_HD
#define TEORELL_INLINE inline __attribute__((always_inline))
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
