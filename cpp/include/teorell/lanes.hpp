// Lanes<W>: a pack of W doubles, one patient each, as an array of register-wide vectors; Mask<W>
// the matching booleans. `double` serves as the pack of one lane (CUDA threads, plain scalar code).
// All operations are elementwise, so a lane's value never depends on its neighbours. No fast-math:
// NaN and infinity are data here.
#pragma once

#include "host_device.hpp"

#if defined(TEORELL_ON_HOST)
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif

TEORELL_BEGIN

// One lane. Where the processor has no fused multiply-add, fma is a product and a sum (x86-64-v2
// and older).
#if !defined(TEORELL_ON_HOST) || defined(__FMA__) || defined(__aarch64__)
constexpr bool has_fma = true;
TEORELL_HD TEORELL_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }
#else
constexpr bool has_fma = false;
TEORELL_INLINE double fma(double a, double b, double c) { return a * b + c; }
#endif

TEORELL_HD TEORELL_INLINE std::int64_t bits_of(double a) {
    std::int64_t bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
TEORELL_HD TEORELL_INLINE double from_bits(std::int64_t bits) {
    double a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
constexpr std::int64_t exponent_field_of_2_to_52 = 0x4330000000000000;
constexpr std::int64_t mantissa_field = 0x000FFFFFFFFFFFFF;
constexpr std::int64_t one_bits = 0x3FF0000000000000;

TEORELL_HD TEORELL_INLINE double sqrt(double a) { return ::sqrt(a); }
TEORELL_HD TEORELL_INLINE double abs(double a) { return ::fabs(a); }
TEORELL_HD TEORELL_INLINE double select(bool mask, double a, double b) { return mask ? a : b; }
TEORELL_HD TEORELL_INLINE double min(double a, double b) { return a < b ? a : b; }
TEORELL_HD TEORELL_INLINE double max(double a, double b) { return a > b ? a : b; }
TEORELL_HD TEORELL_INLINE double round_to_integer(double a) {
    return (a + round_magic) - round_magic;
}
TEORELL_HD TEORELL_INLINE double exp2_integer(double a) {
    return from_bits(static_cast<std::int64_t>(
        static_cast<std::uint64_t>(bits_of(a + round_magic) + 1023) << 52));
}
TEORELL_HD TEORELL_INLINE double exponent(double a) {
    const auto field = static_cast<std::int64_t>(static_cast<std::uint64_t>(bits_of(a)) >> 52);
    return from_bits(field | exponent_field_of_2_to_52) - (4503599627370496.0 + 1023.0);
}
TEORELL_HD TEORELL_INLINE double mantissa(double a) {
    return from_bits((bits_of(a) & mantissa_field) | one_bits);
}
TEORELL_HD TEORELL_INLINE unsigned bits(bool mask) { return mask ? 1u : 0u; }
TEORELL_HD TEORELL_INLINE bool any(bool mask) { return mask; }

template <class V>
struct Pack;  // of a lane type: width, stride from slot to slot, Mask, load, store, broadcast

template <>
struct Pack<double> {
    static constexpr int width = 1, stride = 1;
    using Mask = bool;
    TEORELL_HD TEORELL_INLINE static double load(const double* p) { return *p; }
    TEORELL_HD TEORELL_INLINE static void store(double* p, double a) { *p = a; }
    TEORELL_HD TEORELL_INLINE static double broadcast(double a) { return a; }
    TEORELL_HD TEORELL_INLINE static bool from_bits(unsigned b) { return (b & 1u) != 0; }
};

#if defined(TEORELL_ON_HOST)

#if defined(__AVX512F__)
using Register = __m512d;
TEORELL_INLINE Register fma(Register a, Register b, Register c) { return _mm512_fmadd_pd(a, b, c); }
TEORELL_INLINE Register sqrt(Register a) { return _mm512_maskz_sqrt_pd(0xff, a); }
#elif defined(__AVX2__) && defined(__FMA__)
using Register = __m256d;
TEORELL_INLINE Register fma(Register a, Register b, Register c) { return _mm256_fmadd_pd(a, b, c); }
TEORELL_INLINE Register sqrt(Register a) { return _mm256_sqrt_pd(a); }
#elif defined(__SSE2__)
using Register = __m128d;
TEORELL_INLINE Register fma(Register a, Register b, Register c) { return a * b + c; }
TEORELL_INLINE Register sqrt(Register a) { return _mm_sqrt_pd(a); }
#elif defined(__aarch64__)
using Register = float64x2_t;
TEORELL_INLINE Register fma(Register a, Register b, Register c) { return vfmaq_f64(c, a, b); }
TEORELL_INLINE Register sqrt(Register a) { return vsqrtq_f64(a); }
#endif

constexpr int register_width = static_cast<int>(sizeof(Register) / sizeof(double));
// Vectors of 64-bit integers and doubles of the register's size, for comparisons and bit
// operations.
using IntRegister = std::int64_t __attribute__((vector_size(sizeof(Register))));
using WordRegister = std::uint64_t __attribute__((vector_size(sizeof(Register))));
using DoubleRegister = double __attribute__((vector_size(sizeof(Register))));
using InMemory = double __attribute__((vector_size(sizeof(Register)), may_alias));

template <int W>
struct Mask {
    static constexpr int count = W / register_width;
    IntRegister r[count];
};

template <int W>
struct Lanes {
    static_assert(W % register_width == 0, "a pack is a whole number of registers");
    static constexpr int count = W / register_width;
    DoubleRegister r[count];
};

template <int W>
struct Pack<Lanes<W>> {
    static constexpr int width = W, stride = W;
    using Mask = teorell::Mask<W>;
    TEORELL_INLINE static Lanes<W> load(const double* p) {
        Lanes<W> a;
        for (int i = 0; i < Lanes<W>::count; ++i) a.r[i] = reinterpret_cast<const InMemory*>(p)[i];
        return a;
    }
    TEORELL_INLINE static void store(double* p, const Lanes<W>& a) {
        for (int i = 0; i < Lanes<W>::count; ++i) reinterpret_cast<InMemory*>(p)[i] = a.r[i];
    }
    TEORELL_INLINE static Lanes<W> broadcast(double a) {
        Lanes<W> result;
        for (int i = 0; i < Lanes<W>::count; ++i) result.r[i] = DoubleRegister{} + a;
        return result;
    }
    TEORELL_INLINE static Mask from_bits(unsigned b) {
        IntRegister lane_bit;
        for (int l = 0; l < register_width; ++l) lane_bit[l] = std::int64_t{1} << l;
        Mask m;
        for (int i = 0; i < Mask::count; ++i) {
            const IntRegister all =
                IntRegister{} + static_cast<std::int64_t>(b >> (i * register_width));
            m.r[i] = (IntRegister)((all & lane_bit) != 0);
        }
        return m;
    }
};

#define TEORELL_ELEMENTWISE(signature, expression) \
    template <int W> \
    TEORELL_INLINE Lanes<W> signature { \
        Lanes<W> result; \
        for (int i = 0; i < Lanes<W>::count; ++i) result.r[i] = (DoubleRegister)(expression); \
        return result; \
    }
#define TEORELL_COMPARISON(signature, expression) \
    template <int W> \
    TEORELL_INLINE Mask<W> signature { \
        Mask<W> result; \
        for (int i = 0; i < Mask<W>::count; ++i) result.r[i] = (IntRegister)(expression); \
        return result; \
    }

TEORELL_ELEMENTWISE(operator+(const Lanes<W>& a, const Lanes<W>& b), a.r[i] + b.r[i])
TEORELL_ELEMENTWISE(operator-(const Lanes<W>& a, const Lanes<W>& b), a.r[i] - b.r[i])
TEORELL_ELEMENTWISE(operator-(const Lanes<W>& a), -a.r[i])
TEORELL_ELEMENTWISE(operator*(const Lanes<W>& a, const Lanes<W>& b), a.r[i] * b.r[i])
TEORELL_ELEMENTWISE(operator/(const Lanes<W>& a, const Lanes<W>& b), a.r[i] / b.r[i])
TEORELL_ELEMENTWISE(fma(const Lanes<W>& a, const Lanes<W>& b, const Lanes<W>& c),
                    fma((Register)a.r[i], (Register)b.r[i], (Register)c.r[i]))
TEORELL_ELEMENTWISE(sqrt(const Lanes<W>& a), sqrt((Register)a.r[i]))
TEORELL_ELEMENTWISE(abs(const Lanes<W>& a),
                    (IntRegister)a.r[i] & (IntRegister{} + 0x7FFFFFFFFFFFFFFF))
TEORELL_ELEMENTWISE(select(const Mask<W>& m, const Lanes<W>& a, const Lanes<W>& b),
                    m.r[i] ? a.r[i] : b.r[i])
TEORELL_ELEMENTWISE(min(const Lanes<W>& a, const Lanes<W>& b), a.r[i] < b.r[i] ? a.r[i] : b.r[i])
TEORELL_ELEMENTWISE(max(const Lanes<W>& a, const Lanes<W>& b), a.r[i] > b.r[i] ? a.r[i] : b.r[i])
TEORELL_ELEMENTWISE(round_to_integer(const Lanes<W>& a), (a.r[i] + round_magic) - round_magic)
TEORELL_ELEMENTWISE(exp2_integer(const Lanes<W>& a), ((WordRegister)(a.r[i] + round_magic) + 1023)
                                                         << 52)
TEORELL_ELEMENTWISE(exponent(const Lanes<W>& a),
                    (DoubleRegister)(((WordRegister)a.r[i] >> 52) |
                                     (WordRegister)(IntRegister{} + exponent_field_of_2_to_52)) -
                        (4503599627370496.0 + 1023.0))
TEORELL_ELEMENTWISE(mantissa(const Lanes<W>& a), ((IntRegister)a.r[i] & mantissa_field) | one_bits)
TEORELL_COMPARISON(operator<(const Lanes<W>& a, const Lanes<W>& b), a.r[i] < b.r[i])
TEORELL_COMPARISON(operator<=(const Lanes<W>& a, const Lanes<W>& b), a.r[i] <= b.r[i])
TEORELL_COMPARISON(operator>(const Lanes<W>& a, const Lanes<W>& b), a.r[i] > b.r[i])
TEORELL_COMPARISON(operator>=(const Lanes<W>& a, const Lanes<W>& b), a.r[i] >= b.r[i])
TEORELL_COMPARISON(operator!=(const Lanes<W>& a, const Lanes<W>& b), a.r[i] != b.r[i])
TEORELL_COMPARISON(operator==(const Lanes<W>& a, const Lanes<W>& b), a.r[i] == b.r[i])
TEORELL_COMPARISON(operator&(const Mask<W>& a, const Mask<W>& b), a.r[i] & b.r[i])
TEORELL_COMPARISON(operator|(const Mask<W>& a, const Mask<W>& b), a.r[i] | b.r[i])
TEORELL_COMPARISON(operator!(const Mask<W>& a), ~a.r[i])
#undef TEORELL_ELEMENTWISE
#undef TEORELL_COMPARISON

template <int W>
TEORELL_INLINE unsigned bits(const Mask<W>& m) {
    unsigned result = 0;
    for (int i = 0; i < Mask<W>::count; ++i) {
#if defined(__AVX512F__)
        result |=
            static_cast<unsigned>(_mm512_cmpneq_epi64_mask((__m512i)m.r[i], _mm512_setzero_si512()))
            << (i * register_width);
#elif defined(__AVX2__)
        result |= static_cast<unsigned>(_mm256_movemask_pd((__m256d)m.r[i]))
                  << (i * register_width);
#elif defined(__SSE2__)
        result |= static_cast<unsigned>(_mm_movemask_pd((__m128d)m.r[i])) << (i * register_width);
#else
        for (int l = 0; l < register_width; ++l)
            result |= (m.r[i][l] ? 1u : 0u) << (i * register_width + l);
#endif
    }
    return result;
}
template <int W>
TEORELL_INLINE bool any(const Mask<W>& m) {
    return bits(m) != 0;
}

#endif  // TEORELL_ON_HOST

TEORELL_END
