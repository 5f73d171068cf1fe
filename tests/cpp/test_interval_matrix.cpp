// What is known of the matrix of an interval: Broyden's condition, the few terms against the dense
// form, totals that stay, modes that die out or do not.
#include "teorell/interval_matrix.hpp"

#include <algorithm>

#include "check.hpp"

namespace tl = teorell;
namespace dense = teorell::dense;

namespace {

using Numbers = std::vector<double>;

double random_number(std::uint64_t& state) {  // Knuth's MMIX constants
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state >> 11) * 0x1p-52 - 1.0;
}

Numbers random_numbers(int count, std::uint64_t& state) {
    Numbers result(static_cast<std::size_t>(count));
    for (double& each : result) each = random_number(state);
    return result;
}

double distance(const Numbers& a, const Numbers& b) {
    double most = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
    return most;
}

// One of m states with its memory.
struct Known {
    int m;
    Numbers memory, projection, work;
    tl::IntervalMatrix matrix;

    explicit Known(int m)
        : m(m),
          memory(static_cast<std::size_t>(tl::IntervalMatrix::memory(m))),
          projection(static_cast<std::size_t>(m * m)),
          work(static_cast<std::size_t>(tl::IntervalMatrix::work_memory(m))),
          matrix(m, memory.data(), projection.data()) {}

    Numbers solve(const Numbers& right) const {
        Numbers result(right.size());
        matrix.solve(right.data(), result.data());
        return result;
    }
    Numbers solve(const Numbers& right, double h) {
        Numbers result(right.size());
        matrix.solve(right.data(), h, result.data(), work.data());
        return result;
    }
};

// (1/h + I - M) x
Numbers applied(int m, const Numbers& matrix, double h, const Numbers& x) {
    Numbers result(x.size());
    dense::multiply(m, m, matrix.data(), x.data(), result.data());
    for (std::size_t i = 0; i < x.size(); ++i) result[i] = x[i] / h + x[i] - result[i];
    return result;
}

void test_all_of_it(std::uint64_t& state) {
    for (const int m : {1, 2, 5, 14}) {
        Known known(m);
        Numbers matrix = random_numbers(m * m, state), right = random_numbers(m, state);
        for (double& each : matrix) each *= 0.9 / m;
        known.matrix.set(matrix.data(), known.work.data());
        CHECK(distance(applied(m, matrix, 1e300, known.solve(right)), right) < 1e-14);
        for (const double h : {4.0, 256.0})
            CHECK(distance(applied(m, matrix, h, known.solve(right, h)), right) < 1e-14);
        CHECK(!known.matrix.known_in_part() && !known.matrix.keeps_totals());
    }
}

// M along a few directions, and zero beside them: the sum of few terms is the dense inverse, also
// after more steps than there are terms. After each step the inverse turns what the residual has
// changed by into the step (Broyden's condition).
void test_in_part(std::uint64_t& state, BitHash& bits) {
    constexpr int m = 14, d = tl::most_directions;
    Known few(m), whole(m);
    Numbers moves = random_numbers(d * m, state), directions(moves.size()),
            seen = random_numbers(d * m, state), size(m), matrix(m * m);
    for (std::size_t i = 0; i < size.size(); ++i)
        size[i] = std::ldexp(1.0, static_cast<int>(i) - 7);
    for (double& each : seen) each *= 0.2;
    dense::orthonormal_rows(d, m, moves.data(), directions.data());
    dense::multiply_transposed(m, d, m, seen.data(), directions.data(), matrix.data());
    for (std::size_t i = 0; i < size.size(); ++i)
        for (std::size_t j = 0; j < size.size(); ++j) matrix[i * m + j] *= size[i] / size[j];
    few.matrix.set_along(directions.data(), seen.data(), size.data());
    whole.matrix.set(matrix.data(), whole.work.data());
    CHECK(few.matrix.known_in_part());
    for (int step = 0; step < 2 * d + 8; ++step) {
        Numbers right = random_numbers(m, state), move = random_numbers(m, state),
                before = random_numbers(m, state), after(m), changed(m);
        for (std::size_t i = 0; i < size.size(); ++i) right[i] *= size[i], move[i] *= size[i];
        const auto same = [&](const Numbers& a, const Numbers& b) {
            for (std::size_t i = 0; i < size.size(); ++i)
                CHECK(std::fabs(a[i] - b[i]) < 1e-11 * size[i]);
        };
        same(few.solve(right), whole.solve(right));
        same(few.solve(right, 30.0), whole.solve(right, 30.0));
        // A residual that changes nearly as M says.
        changed = applied(m, matrix, 1e300, move);
        for (std::size_t i = 0; i < size.size(); ++i) {
            before[i] *= size[i];
            changed[i] += 0.05 * random_number(state) * size[i];
            after[i] = before[i] - changed[i];
            changed[i] = before[i] - after[i];
        }
        for (Known* one : {&few, &whole}) {
            one->matrix.learn(move.data(), before.data(), after.data(), size.data(),
                              one->work.data());
            same(one->solve(changed), move);
        }
        for (const double each : few.solve(right)) bits.add(each);
    }
}

// Two totals among five states, in different units: P keeps them, and takes them alone.
void test_totals(std::uint64_t& state) {
    constexpr int m = 5;
    const double unit[m] = {1.0, 1e3, 1e-2, 1.0, 10.0};
    // In units of its own the first two sums of states stay, and the rest dies out.
    const Numbers sums{1.0, 0.5, 0.0, 0.0, -1.0, 0.0, 1.0, 1.0, 0.0, 0.0};
    Numbers fading = random_numbers(m * m, state), matrix(m * m), totals(m * m), twice(m * m),
            work(static_cast<std::size_t>(tl::modes_memory(m)));
    Numbers basis = sums, rows(sums.size());
    dense::orthonormal_rows(2, m, basis.data(), rows.data());
    // M = Q'Q + (I - Q'Q) F (I - Q'Q), with small F
    Numbers keeps(m * m), rest(m * m), half(m * m);
    dense::multiply_transposed(m, 2, m, rows.data(), rows.data(), keeps.data());
    dense::set_identity(m, rest.data());
    for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= keeps[i], fading[i] *= 0.2;
    dense::multiply(m, m, m, rest.data(), fading.data(), half.data());
    dense::multiply(m, m, m, half.data(), rest.data(), matrix.data());
    for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < m; ++j) {
            matrix[i * m + j] = (matrix[i * m + j] + keeps[i * m + j]) * unit[i] / unit[j];
            keeps[i * m + j] *= unit[i] / unit[j];
        }
    CHECK(tl::suspicious(m, matrix.data(), unit, false, work.data()));
    CHECK(tl::neutral_modes(m, matrix.data(), unit, totals.data(), work.data()));
    for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < m; ++j)
            CHECK(std::fabs(totals[i * m + j] - keeps[i * m + j]) < 1e-13 * unit[i] / unit[j]);
    Known known(m);
    known.matrix.set(matrix.data(), known.work.data());
    known.matrix.keep(totals.data(), known.work.data());
    CHECK(known.matrix.keeps_totals());
    Numbers left = matrix;
    known.matrix.without_totals(left.data());
    CHECK(tl::attracts(m, left.data(), work.data()));
    left = matrix;
    CHECK(!tl::attracts(m, left.data(), work.data()));
    CHECK(!tl::neutral_modes(m, fading.data(), unit, totals.data(), work.data()));
    CHECK(std::all_of(totals.begin(), totals.end(), [](double each) { return each == 0.0; }));
}

void test_doubts() {
    Numbers work(static_cast<std::size_t>(tl::modes_memory(2)));
    const double unit[] = {1.0, 1.0}, units[] = {1e-6, 1e6};
    const auto doubt = [&](Numbers matrix, bool rhythmic) {
        const bool result = tl::suspicious(2, matrix.data(), unit, rhythmic, work.data());
        matrix[1] *= units[0] / units[1], matrix[2] *= units[1] / units[0];
        CHECK(tl::suspicious(2, matrix.data(), units, rhythmic, work.data()) == result);
        return result;
    };
    CHECK(!doubt({0.5, 0.3, 0.4, 0.2}, false));
    CHECK(!doubt({0.5, 0.3, 0.4, 0.2}, true));     // dies out without a swing
    CHECK(doubt({0.9999, 0.0, 0.0, 0.2}, false));  // slowly
    CHECK(doubt({1.5, 0.0, 0.0, 0.2}, false));     // not at all
    CHECK(doubt({0.0, -0.9999, 0.9999, 0.0}, false));
    CHECK(!doubt({0.0, -0.5, 0.5, 0.0}, false));  // a swing, which a solver may have damped
    CHECK(doubt({0.0, -0.5, 0.5, 0.0}, true));
    CHECK(!doubt({0.9, -0.7, 0.7, -0.5}, false));  // |M| does not die out, M does
    CHECK(doubt({std::nan(""), 0.0, 0.0, 0.2}, false));
    Numbers slow{1.0 - 1e-9, 0.0, 0.0, 0.5}, dying{1.0 - 1e-7, 3.0, 0.0, 0.5};
    CHECK(!tl::attracts(2, slow.data(), work.data()));
    CHECK(tl::attracts(2, dying.data(), work.data()));
}

}  // namespace

int main() {
    std::uint64_t state = 1;
    BitHash bits;
    test_all_of_it(state);
    test_in_part(state, bits);
    test_totals(state);
    test_doubts();
    bits.print("interval_matrix");
    return 0;
}
