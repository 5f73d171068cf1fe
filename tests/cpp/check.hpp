// What the C++ tests need and no more: a check that prints both sides, and a hash of results to
// compare between processors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

// GCC's vector types lose an alignment attribute as template arguments; plain memory aligned for
// every pack does for tests.
struct AlignedDoubles {
    explicit AlignedDoubles(std::size_t count)
        : data(static_cast<double*>(
              std::aligned_alloc(64, (count * sizeof(double) + 63) / 64 * 64))) {
        for (std::size_t i = 0; i < count; ++i) data[i] = 0.0;
    }
    ~AlignedDoubles() { std::free(data); }
    AlignedDoubles(const AlignedDoubles&) = delete;
    AlignedDoubles& operator=(const AlignedDoubles&) = delete;
    double& operator[](std::size_t i) const { return data[i]; }
    double* data;
};

inline std::uint64_t bit_pattern(double a) {
    std::uint64_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
}

// Equal bits, where all NaN count as one (their payload and sign are the processor's business).
inline bool same_bits(double a, double b) {
    return (a != a && b != b) || bit_pattern(a) == bit_pattern(b);
}

[[noreturn]] inline void fail(const char* file, int line, const char* what) {
    std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    std::exit(1);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) fail(__FILE__, __LINE__, #condition); \
    } while (false)

#define CHECK_SAME(a, b) \
    do { \
        const double left_ = (a), right_ = (b); \
        if (!same_bits(left_, right_)) { \
            std::fprintf(stderr, "%.17g (%a) and %.17g (%a)\n", left_, left_, right_, right_); \
            fail(__FILE__, __LINE__, #a " has the bits of " #b); \
        } \
    } while (false)

#define CHECK_CLOSE(a, b, relative) \
    do { \
        const double left_ = (a), right_ = (b); \
        if (!(std::fabs(left_ - right_) <= (relative) * std::fabs(right_))) { \
            std::fprintf(stderr, "%.17g and %.17g\n", left_, right_); \
            fail(__FILE__, __LINE__, #a " is close to " #b); \
        } \
    } while (false)

// FNV-1a over the bits of results; NaN count as one.
struct BitHash {
    std::uint64_t state = 14695981039346656037ull;
    void add(double a) {
        const std::uint64_t bits = a != a ? 0x7FF8000000000000ull : bit_pattern(a);
        for (int i = 0; i < 8; ++i) state = (state ^ ((bits >> (8 * i)) & 0xFF)) * 1099511628211ull;
    }
    void print(const char* name) const {
        std::printf("bits %s %016llx\n", name, static_cast<unsigned long long>(state));
    }
};
