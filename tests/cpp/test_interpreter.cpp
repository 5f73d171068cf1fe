// Every instruction of the interpreter, over packs and one lane alone, against plain C++.
#include "teorell/interpreter.hpp"

#include "check.hpp"

namespace tl = teorell;

namespace {

constexpr int slots = 24, inputs = 4;

// r4.. = the instructions over the inputs in slots 0 to 3
const std::vector<std::int32_t> program{1,  4,  -1, 1,  0,  0,  1,  // r4 = a b
                                        1,  5,  2,  2,  1,  0,  1, 1, 3,
                                        0,  0,  // r5 = c + a b + b d - a a
                                        1,  6,  -1, 0,  2,  0,  1, 2, 3,  // r6 = -a b - c d
                                        1,  7,  3,  0,  0,                // r7 = d
                                        2,  8,  0,  1,                    // r8 = a / b
                                        3,  9,  2,                        // r9 = sqrt(c)
                                        4,  10, 0,  1,  5,  11, 0, 1,     // min, max
                                        6,  12, 0,  1,  7,  13, 0, 0,     // a < b, a <= a
                                        8,  14, 12, 2,  3,                // r12 ? c : d
                                        9,  15, 6,                        // abs
                                        10, 16, 5,  11, 17, 16,           // round, 2^round
                                        12, 18, 2,  13, 19, 2,  // exponent and mantissa of c
                                        0};

template <class V>
std::vector<double> run(const std::vector<std::int32_t>& code) {
    constexpr int W = tl::Pack<V>::width;
    std::vector<double> result(static_cast<std::size_t>(slots * 16));
    for (int first = 0; first < 16; first += W) {
        AlignedDoubles workspace(slots * W);
        for (int k = 0; k < inputs; ++k)
            for (int l = 0; l < W; ++l)
                workspace[static_cast<std::size_t>(k * W + l)] =
                    k == 2 ? 1.3 + first + l : 0.37 * (k + 1) - 0.21 * (first + l);
        tl::interpret<V>(code.data(), workspace.data);
        for (int k = 0; k < slots; ++k)
            for (int l = 0; l < W; ++l)
                result[static_cast<std::size_t>(k * 16 + first + l)] =
                    workspace[static_cast<std::size_t>(k * W + l)];
    }
    return result;
}

}  // namespace

int main() {
    const auto alone = run<double>(program), eight = run<tl::Lanes<8>>(program),
               sixteen = run<tl::Lanes<16>>(program);
    BitHash hash;
    for (std::size_t i = 0; i < alone.size(); ++i) {
        CHECK_SAME(eight[i], alone[i]);
        CHECK_SAME(sixteen[i], alone[i]);
        hash.add(alone[i]);
    }
    for (std::size_t l = 0; l < 16; ++l) {
        const auto r = [&](std::size_t slot) { return alone[slot * 16 + l]; };
        const double a = r(0), b = r(1), c = r(2), d = r(3);
        CHECK_SAME(r(4), a * b);
        CHECK_SAME(r(5), tl::fma(-a, a, tl::fma(b, d, tl::fma(a, b, c))));
        CHECK_SAME(r(6), tl::fma(-c, d, -(a * b)));
        CHECK_SAME(r(7), d);
        CHECK_SAME(r(8), a / b);
        CHECK_SAME(r(9), std::sqrt(c));
        CHECK_SAME(r(10), a < b ? a : b);
        CHECK_SAME(r(11), a > b ? a : b);
        CHECK(r(12) == (a < b ? 1.0 : 0.0) && r(13) == 1.0);
        CHECK_SAME(r(14), a < b ? c : d);
        CHECK_SAME(r(15), std::fabs(r(6)));
        CHECK_SAME(r(16), std::nearbyint(r(5)));
        CHECK_SAME(r(17), std::exp2(r(16)));
        CHECK_SAME(r(19) * std::exp2(r(18)), c);
    }
    if (tl::has_fma) hash.print("interpreter");

    // A relocated program does the same elsewhere: slots 4 to 6 to 20 to 22, and counts of terms
    // are not taken for slots.
    std::vector<std::int32_t> moved(program.size());
    CHECK(tl::relocate(program.data(), 4, 3, 20, moved.data()) == static_cast<int>(program.size()));
    const auto elsewhere = run<tl::Lanes<8>>(moved);
    for (std::size_t slot = 7; slot < 20; ++slot)
        for (std::size_t l = 0; l < 16; ++l)
            CHECK_SAME(elsewhere[slot * 16 + l], alone[slot * 16 + l]);
    for (std::size_t slot = 4; slot < 7; ++slot)
        for (std::size_t l = 0; l < 16; ++l) {
            CHECK_SAME(elsewhere[(slot + 16) * 16 + l], alone[slot * 16 + l]);
            CHECK(elsewhere[slot * 16 + l] == 0.0);
        }
    return 0;
}
