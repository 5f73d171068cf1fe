// The quartic of a piece of a step: against polynomials whose roots are known, and Boole's and
// Gauss's rules.
#include "teorell/quartic.hpp"

#include "check.hpp"

namespace tl = teorell;

namespace {

struct Polynomial {
    double c[5];
    double operator()(double x) const {
        return c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * c[4])));
    }
    double integral(double x) const {
        return x * (c[0] + x * (c[1] / 2 + x * (c[2] / 3 + x * (c[3] / 4 + x * c[4] / 5))));
    }
    void nodes(double* values) const {
        for (int i = 0; i < tl::n_nodes; ++i) values[i] = (*this)(0.25 * i);
    }
};

// scale (x - a) (x - b) (x - c) (x - d)
Polynomial with_roots(double scale, double a, double b, double c, double d) {
    const double p = a + b, q = a * b, r = c + d, s = c * d;
    return {{scale * q * s, -scale * (p * s + q * r), scale * (q + s + p * r), -scale * (p + r),
             scale}};
}

double random_number(std::uint64_t& state) {  // Knuth's MMIX constants
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state >> 11) * 0x1p-53;
}

void test_crossings() {
    double values[tl::n_nodes], found[4];
    for (const double scale : {1.0, -1.0, 1e9, -1e-9}) {
        with_roots(scale, 0.1, 0.4, 0.55, 0.9).nodes(values);
        const tl::Quartic all(values);
        CHECK(all.crossings(0.0, 0.0, 1.0, found) == 4);
        const double roots[] = {0.1, 0.4, 0.55, 0.9};
        for (int i = 0; i < 4; ++i) CHECK_CLOSE(found[i], roots[i], 1e-12);
        CHECK(all.crossings(0.0, 0.2, 0.6, found) == 2);
        CHECK_CLOSE(found[0], 0.4, 1e-12);
        CHECK(all.crossings(scale * 10.0, 0.0, 1.0, found) == 0);
        with_roots(scale, 0.3, 0.3, 2.0, 3.0).nodes(values);  // touches the level and turns back
        CHECK(tl::Quartic(values).crossings(-scale * 1e-3, 0.0, 1.0, found) == 0);
        CHECK(tl::Quartic(values).crossings(scale * 1e-3, 0.0, 1.0, found) == 2);
    }
    // Of lower degree.
    for (const double slope : {2.0, -3.0, 1e-6}) {
        Polynomial{{1.0, slope, 0.0, 0.0, 0.0}}.nodes(values);
        CHECK(tl::Quartic(values).crossings(1.0 + 0.3 * slope, 0.0, 1.0, found) == 1);
        CHECK_CLOSE(found[0], 0.3, 1e-8);
    }
    Polynomial{{1.0, -4.0, 4.0, 0.0, 0.0}}.nodes(values);  // (1 - 2x)^2
    CHECK(tl::Quartic(values).crossings(0.25, 0.0, 1.0, found) == 2);
    CHECK_CLOSE(found[0], 0.25, 1e-13);
    CHECK_CLOSE(found[1], 0.75, 1e-13);
}

// The largest of many values of random polynomials, and the earliest of equal ones.
void test_highest() {
    std::uint64_t state = 1;
    double values[tl::n_nodes];
    for (int n = 0; n < 500; ++n) {
        for (double& value : values) value = 2.0 * random_number(state) - 1.0;
        const double lo = n % 3 == 0 ? 0.0 : 0.4 * random_number(state),
                     hi = n % 3 == 1 ? 1.0 : 1.0 - 0.4 * random_number(state);
        const tl::Quartic curve(values);
        const double x = curve.highest(lo, hi);
        CHECK(x >= lo && x <= hi);
        for (int i = 0; i <= 1000; ++i) CHECK(curve(lo + (hi - lo) * i / 1000) <= curve(x) + 1e-13);
    }
    for (double& value : values) value = 3.0;
    CHECK_SAME(tl::Quartic(values).highest(0.25, 0.75), 0.25);
    with_roots(-1.0, 0.25, 0.25, 0.75, 0.75).nodes(values);  // two equal maxima, of 0
    CHECK_CLOSE(tl::Quartic(values).highest(0.0, 1.0), 0.25, 1e-7);
}

void test_areas() {
    const Polynomial p{{0.7, -1.3, 2.9, -4.1, 1.7}};
    double values[tl::n_nodes], weights[tl::n_nodes];
    p.nodes(values);
    for (const double lo : {0.0, 0.125, 0.6, 0.999})
        for (const double hi : {1.0, 0.9995}) {
            tl::area_weights(lo, hi, weights);
            double sum = 0.0;
            for (int i = 0; i < tl::n_nodes; ++i) sum += weights[i] * values[i];
            CHECK(std::fabs(sum - (p.integral(hi) - p.integral(lo))) < 1e-15);
        }
}

}  // namespace

int main() {
    test_crossings();
    test_highest();
    test_areas();
    return 0;
}
