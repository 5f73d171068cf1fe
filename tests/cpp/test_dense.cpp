// Dense linear algebra: against what its results are defined by, on random and on awkward matrices.
#include "teorell/dense.hpp"

#include <algorithm>
#include <complex>

#include "check.hpp"
#include "teorell/eigenvalues.hpp"

namespace dense = teorell::dense;

namespace {

using Numbers = std::vector<double>;

double random_number(std::uint64_t& state) {  // Knuth's MMIX constants
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state >> 11) * 0x1p-52 - 1.0;
}

void add(BitHash& bits, const Numbers& numbers) {
    for (const double each : numbers) bits.add(each);
}

Numbers random_numbers(std::size_t count, std::uint64_t& state) {
    Numbers result(count);
    for (double& each : result) each = random_number(state);
    return result;
}

Numbers product(int rows, int inner, int columns, const Numbers& a, const Numbers& b) {
    Numbers c(static_cast<std::size_t>(rows * columns));
    dense::multiply(rows, inner, columns, a.data(), b.data(), c.data());
    return c;
}

double largest(const Numbers& a) {
    double most = 0.0;
    for (const double each : a) most = std::max(most, std::fabs(each));
    return most;
}

double distance(const Numbers& a, const Numbers& b) {
    double most = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
    return most;
}

void test_products(std::uint64_t& state) {
    for (const int n : {1, 2, 3, 4, 5, 7, 30}) {
        const std::size_t size = static_cast<std::size_t>(n);
        const Numbers a = random_numbers(size * size, state), x = random_numbers(size, state);
        Numbers y(size), z(size), back(size * size), transposed(size * size);
        dense::multiply(n, n, a.data(), x.data(), y.data());
        for (std::size_t i = 0; i < size; ++i)
            for (std::size_t j = 0; j < size; ++j) {
                z[i] += a[i * size + j] * x[j];
                transposed[j * size + i] = a[i * size + j];
            }
        CHECK(distance(y, z) < 1e-14);
        dense::multiply_transposed(n, n, n, transposed.data(), a.data(), back.data());
        CHECK(distance(back, product(n, n, n, a, a)) < 1e-13);
    }
}

void test_systems(std::uint64_t& state, BitHash& bits) {
    for (const int n : {1, 2, 3, 5, 8, 30, 61}) {
        const std::size_t size = static_cast<std::size_t>(n);
        Numbers a = random_numbers(size * size, state), x = random_numbers(size * 3, state);
        if (n > 1) a[0] = 0.0;  // a pivot must be looked for
        Numbers used = a, b = product(n, n, 3, a, x);
        CHECK(dense::solve(n, used.data(), 3, b.data()));
        Numbers residual = product(n, n, 3, a, b);
        CHECK(distance(residual, product(n, n, 3, a, x)) < 1e-13 * n * std::max(1.0, largest(b)));
        Numbers inverse(size * size), one(size * size);
        used = a;
        CHECK(dense::invert(n, used.data(), inverse.data()));
        dense::set_identity(n, one.data());
        CHECK(distance(product(n, n, n, a, inverse), one) <
              1e-14 * n * std::max(1.0, largest(inverse)));
        add(bits, inverse);
    }
    const double infinite = 1e308 * 10.0;
    for (const double bad : {0.0, infinite, infinite - infinite}) {
        Numbers a{1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 1.0, 1.0}, b{1.0, 1.0, 1.0};
        if (bad != 0.0) a[5] = bad;
        CHECK(!dense::solve(3, a.data(), 1, b.data()));
        for (const double each : b) CHECK(std::isnan(each));
        Numbers one{2.0}, right{bad};
        CHECK(dense::solve(1, one.data(), 1, right.data()) == (bad == 0.0));
    }
}

void test_bases(std::uint64_t& state, BitHash& bits) {
    for (int kind = 0; kind < 4; ++kind) {
        constexpr int count = 6, n = 13;
        Numbers a = random_numbers(count * n, state);
        for (int j = 0; j < n; ++j) {
            const auto row = [&](int i) -> double& {
                return a[static_cast<std::size_t>(i * n + j)];
            };
            if (kind == 1) row(2) = 0.0;
            if (kind == 2) row(3) = row(0) - 2.0 * row(1);
            for (int i = 0; i < count && kind == 3; ++i) row(i) = j == 4 ? 1.0 : 0.0;
        }
        Numbers used = a, q(a.size()), back(a.size());
        dense::orthonormal_rows(count, n, used.data(), q.data());
        for (int i = 0; i < count; ++i) {
            const double* one = &q[static_cast<std::size_t>(i * n)];
            for (int k = 0; k < count; ++k) {
                const double* other = &q[static_cast<std::size_t>(k * n)];
                CHECK(std::fabs(dense::dot(n, one, other) - (i == k ? 1.0 : 0.0)) < 1e-14);
                // Nothing of A is left beside the basis.
                const std::size_t at = static_cast<std::size_t>(k * n);
                dense::add(n, dense::dot(n, one, &a[at]), one, &back[at]);
            }
        }
        CHECK(distance(back, a) < 1e-14);
        add(bits, q);
    }
}

void test_singular_values(std::uint64_t& state, BitHash& bits) {
    for (const int n : {1, 2, 5, 12}) {
        const std::size_t size = static_cast<std::size_t>(n);
        Numbers a = random_numbers(size * size, state), u(size * size);
        if (n > 1)  // the first row a sum of the others: one singular value is 0
            for (std::size_t j = 0; j < size; ++j) {
                a[j] = 0.0;
                for (std::size_t i = 1; i < size; ++i) a[j] += a[i * size + j];
            }
        Numbers rotated = a;
        dense::orthogonalise_rows(n, n, rotated.data(), u.data());
        CHECK(distance(product(n, n, n, u, a), rotated) < 1e-14 * n);
        double least = 1.0;
        for (std::size_t i = 0; i < size; ++i) {
            const double* row = &rotated[i * size];
            least = std::min(least, std::sqrt(dense::dot(n, row, row)));
            for (std::size_t j = 0; j < size; ++j) {
                const double expected = i == j ? 1.0 : 0.0;
                CHECK(std::fabs(dense::dot(n, &u[i * size], &u[j * size]) - expected) < 1e-13);
            }
        }
        CHECK(n == 1 || least < 1e-14);
        add(bits, u);
    }
}

// p(z) = product of (z - lambda): the coefficients, highest first, and the companion matrix.
std::vector<std::complex<double>> coefficients(const Numbers& real, const Numbers& imaginary) {
    std::vector<std::complex<double>> p{1.0};
    for (std::size_t k = 0; k < real.size(); ++k) {
        p.push_back(0.0);
        for (std::size_t i = p.size() - 1; i > 0; --i)
            p[i] -= std::complex<double>(real[k], imaginary[k]) * p[i - 1];
    }
    return p;
}

bool eigenvalues(int n, Numbers a, Numbers& real, Numbers& imaginary) {
    real.assign(static_cast<std::size_t>(n), 0.0);
    imaginary = real;
    return dense::Eigenvalues(n, a.data(), real.data(), imaginary.data()).find();
}

void test_known_eigenvalues() {
    Numbers real, imaginary;
    // Of a circulant shift of n: the roots of unity, on which plain QR steps go round in a circle.
    for (const int n : {2, 3, 4, 5, 8}) {
        Numbers shift(static_cast<std::size_t>(n * n));
        for (int i = 0; i < n; ++i) shift[static_cast<std::size_t>(i * n + (i + 1) % n)] = 1.0;
        CHECK(eigenvalues(n, shift, real, imaginary));
        const auto p = coefficients(real, imaginary);
        for (std::size_t k = 1; k < p.size(); ++k)
            CHECK(std::abs(p[k] - (k + 1 == p.size() ? -1.0 : 0.0)) < 1e-13);
    }
    // Of a triangle its diagonal, however the rows are scaled.
    for (const double scale : {1.0, 1e-6, 1e9}) {
        const Numbers triangle{0.5, 3.0 * scale, -2.0 * scale, 0.0, -0.25, 7.0, 0.0, 0.0, 0.125};
        CHECK(eigenvalues(3, triangle, real, imaginary));
        std::sort(real.begin(), real.end());
        CHECK(distance(real, {-0.25, 0.125, 0.5}) < 1e-14);
        CHECK(largest(imaginary) == 0.0);
    }
    CHECK(eigenvalues(2, {0.0, -1.0, 1.0, 0.0}, real, imaginary));
    CHECK(real[0] == 0.0 && imaginary[0] == 1.0 && imaginary[1] == -1.0);
    CHECK(eigenvalues(3, Numbers(9), real, imaginary) && largest(real) == 0.0);
    CHECK(!eigenvalues(2, {1.0, 2.0, 3.0, std::nan("")}, real, imaginary));
}

// Sums of powers of the eigenvalues are traces of powers of the matrix.
void test_traces(std::uint64_t& state, BitHash& bits) {
    for (int n = 1; n <= 30; ++n) {
        const std::size_t size = static_cast<std::size_t>(n);
        Numbers a = random_numbers(size * size, state), real, imaginary;
        for (std::size_t i = 0; i < size; ++i)  // of very different units
            for (std::size_t j = 0; j < size; ++j)
                a[i * size + j] *= std::ldexp(0.5, static_cast<int>(i) - static_cast<int>(j));
        CHECK(eigenvalues(n, a, real, imaginary));
        Numbers power = a;
        for (int k = 1; k <= 4; ++k) {
            double trace = 0.0;
            std::complex<double> sum = 0.0;
            for (std::size_t i = 0; i < size; ++i) {
                trace += power[i * size + i];
                sum += std::pow(std::complex<double>(real[i], imaginary[i]), k);
            }
            CHECK(std::abs(sum - trace) < 1e-12 * std::pow(n, 0.5 * k + 1.0));
            power = product(n, n, n, power, a);
        }
        add(bits, real);
        add(bits, imaginary);
    }
}

}  // namespace

int main() {
    std::uint64_t state = 1;
    BitHash bits;
    test_products(state);
    test_systems(state, bits);
    test_bases(state, bits);
    test_singular_values(state, bits);
    test_known_eigenvalues();
    test_traces(state, bits);
    bits.print("dense");
    return 0;
}
