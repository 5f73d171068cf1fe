// Each operation on a pack is, lane by lane and bit by bit, the operation on one double.
#include "teorell/lanes.hpp"

#include <limits>

#include "check.hpp"

namespace tl = teorell;

namespace {

std::vector<double> values() {
    const double inf = std::numeric_limits<double>::infinity(),
                 nan = std::numeric_limits<double>::quiet_NaN();
    std::vector<double> result{0.0,   -0.0,   1.0, -1.0, 0.1, -3.7, 5e-324, 2.3e-308,
                               1e308, -1e308, inf, -inf, nan, 0.5,  1.5,    2.5};
    std::uint64_t state = 1;
    // Products of a linear congruential generator (Knuth's MMIX constants), magnitudes 2^-32 to
    // 2^32.
    while (result.size() < 64) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const double mantissa = 1.0 + static_cast<double>(state >> 12) * 0x1p-52;
        const int exponent = static_cast<int>((state >> 3) % 64) - 32;
        result.push_back(std::ldexp(state & 1 ? mantissa : -mantissa, exponent));
    }
    return result;
}

// A pack's operations next to the same ones on a double; what they give goes into the hash.
template <int W>
struct Comparison {
    using V = tl::Lanes<W>;
    using P = tl::Pack<V>;
    alignas(64) double a[W], b[W], c[W], r[W];
    BitHash hash;

    template <class Scalar>
    void check(const V& pack, Scalar scalar) {
        P::store(r, pack);
        for (int l = 0; l < W; ++l) {
            const double expected = scalar(a[l], b[l], c[l]);
            CHECK_SAME(r[l], expected);
            hash.add(r[l]);
        }
    }

    void arithmetic() {
        const V va = P::load(a), vb = P::load(b), vc = P::load(c);
        check(va + vb, [](double p, double q, double) { return p + q; });
        check(va - vb, [](double p, double q, double) { return p - q; });
        check(va * vb, [](double p, double q, double) { return p * q; });
        check(va / vb, [](double p, double q, double) { return p / q; });
        check(-va, [](double p, double, double) { return -p; });
        check(fma(va, vb, vc), [](double p, double q, double s) { return tl::fma(p, q, s); });
        check(sqrt(va), [](double p, double, double) { return tl::sqrt(p); });
        check(abs(va), [](double p, double, double) { return tl::abs(p); });
        check(min(va, vb), [](double p, double q, double) { return p < q ? p : q; });
        check(max(va, vb), [](double p, double q, double) { return p > q ? p : q; });
    }

    void comparisons() {
        const V va = P::load(a), vb = P::load(b), vc = P::load(c);
        const V one = P::broadcast(1.0), zero = P::broadcast(0.0);
        check(select(va < vb, one, zero),
              [](double p, double q, double) { return p < q ? 1.0 : 0.0; });
        check(select(va <= vb, one, zero),
              [](double p, double q, double) { return p <= q ? 1.0 : 0.0; });
        check(select(va != vb, one, zero),
              [](double p, double q, double) { return p != q ? 1.0 : 0.0; });
        check(select((!(va > vb)) & (vb <= vc), va, vc),
              [](double p, double q, double s) { return !(p > q) && q <= s ? p : s; });
        unsigned expected = 0;
        for (int l = 0; l < W; ++l) expected |= (a[l] < b[l] ? 1u : 0u) << l;
        CHECK(bits(va < vb) == expected);
        CHECK(bits(P::from_bits(expected)) == expected);
        CHECK(any(va < vb) == (expected != 0));
    }

    // The operations that elementary functions are made of, where they are defined.
    void parts_of_functions() {
        const V va = P::load(a), vb = P::load(b);
        check(round_to_integer(vb), [](double, double q, double) { return std::nearbyint(q); });
        check(exp2_integer(round_to_integer(vb)),
              [](double, double q, double) { return std::exp2(std::nearbyint(q)); });
        check(exponent(va), [](double p, double, double) { return tl::exponent(p); });
        check(mantissa(va), [](double p, double, double) { return tl::mantissa(p); });
    }
};

template <int W>
void test_elementwise() {
    const auto x = values();
    const std::size_t n = x.size();
    Comparison<W> packs;
    const auto at = [&](std::size_t i, int l) { return x[(i + static_cast<std::size_t>(l)) % n]; };
    for (std::size_t shift = 0; shift < n; ++shift) {
        for (std::size_t i = 0; i < n; i += W) {
            for (int l = 0; l < W; ++l) {
                packs.a[l] = at(i, l);
                packs.b[l] = at(i + shift, l);
                packs.c[l] = at(i + 7 * shift + 3, l);
            }
            packs.arithmetic();
            packs.comparisons();
        }
    }
    for (std::size_t i = 0; i < n; i += W) {
        for (int l = 0; l < W; ++l) {
            const double v = at(i, l);
            packs.a[l] = v > 0 && v <= 1e308 ? v : 3.25;
            packs.b[l] = packs.c[l] = std::fmod(std::fabs(packs.a[l]), 1000.0);
        }
        packs.parts_of_functions();
    }
    if (tl::has_fma) packs.hash.print(W == 8 ? "lanes8" : "lanes16");
}

}  // namespace

int main() {
    CHECK(tl::exponent(8.0) == 3.0 && tl::mantissa(10.0) == 1.25 &&
          tl::exp2_integer(-1022.0) == 0x1p-1022);
    test_elementwise<8>();
    test_elementwise<16>();
    return 0;
}
