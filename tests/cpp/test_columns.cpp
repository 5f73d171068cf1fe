// Column programs through the engine: every patient once, whatever the threads; projections onto a
// circle and a bound.
#include <cmath>

#include "../../cpp/src/engine.hpp"
#include "check.hpp"

namespace tl = teorell;

namespace {

constexpr std::size_t n = 1003;

// Slots: constants 1, -1, 2, -0.5; x, y; x^2 + y^2 - 1 and x - 0.5, then their derivatives 2x, 2y
// and 1; one temporary.
struct Circle {
    std::vector<std::int32_t> code;
    std::vector<double> constants{1.0, -1.0, 2.0, -0.5};
    tl::ColumnProgram program{};

    Circle() {
        const auto emit = [this](tl::Op op, std::initializer_list<std::int32_t> operands) {
            code.push_back(static_cast<std::int32_t>(op));
            code.insert(code.end(), operands);
        };
        emit(tl::Op::mul, {11, 4, 4});
        emit(tl::Op::fma, {11, 11, 5, 5});
        emit(tl::Op::fma, {6, 11, 1, 0});
        emit(tl::Op::fma, {7, 4, 3, 0});
        emit(tl::Op::mul, {8, 2, 4});
        emit(tl::Op::mul, {9, 2, 5});
        emit(tl::Op::mul, {10, 0, 0});
        emit(tl::Op::end, {});
        program.code = code.data(), program.constant_values = constants.data();
        program.slots = 12, program.constants = 0, program.inputs = 4, program.outputs = 6;
        program.n_constants = 4, program.n_inputs = 2, program.n_outputs = 5;
    }
};

struct Points {
    std::vector<double> x, y;
    const double* columns[2];
    std::int64_t strides[2] = {1, 1};

    Points() {
        for (std::size_t i = 0; i < n; ++i) {
            const double angle = 0.01 + 0.00625 * static_cast<double>(i),
                         radius = 0.2 + 0.01 * static_cast<double>(i % 300);
            x.push_back(radius * std::cos(angle)), y.push_back(radius * std::sin(angle));
        }
        columns[0] = x.data(), columns[1] = y.data();
    }
};

void test_map(const tl::Kernel& kernel, const Circle& circle, const Points& points) {
    std::vector<double> found[2];
    for (const int threads : {1, 3}) {
        std::vector<double>& out = found[threads == 3];
        out.assign(5 * n, -7.0);
        std::int64_t last = 0;
        tl::map(kernel, circle.program, {n, points.columns, points.strides, out.data()}, threads,
                [&](std::int64_t done) {
                    last = done;
                    return true;
                });
        CHECK(last == static_cast<std::int64_t>(n));
        for (std::size_t i = 0; i < n; ++i) {
            const double x = points.x[i], y = points.y[i];
            CHECK(std::fabs(out[i] - (x * x + y * y - 1.0)) < 1e-15 * (1.0 + x * x + y * y));
            CHECK_SAME(out[n + i], x - 0.5);
            CHECK_SAME(out[2 * n + i], 2.0 * x);
            CHECK_SAME(out[4 * n + i], 1.0);
        }
    }
    for (std::size_t i = 0; i < 5 * n; ++i) CHECK_SAME(found[0][i], found[1][i]);
}

// On the ray, or at the corner of circle and bound; z + A' lambda = 0 there.
void test_project(const tl::Kernel& kernel, const Circle& circle, const Points& points) {
    const std::int32_t free_inputs[] = {0, 1}, starts[] = {0, 2, 3}, columns[] = {0, 1, 0};
    const std::uint8_t equality[] = {1, 0};
    const tl::Constraints constraints{2, 2, free_inputs, equality, starts, columns, 1e-10, 200, 2};
    const double one = 1.0;
    const double* scales[] = {&one, &one};
    const std::int64_t still[] = {0, 0};
    std::vector<double> values[2], multipliers(2 * n);
    std::vector<std::int32_t> steps(n);
    for (const int threads : {1, 3}) {
        std::vector<double>& found = values[threads == 3];
        found.resize(2 * n);
        tl::project(kernel, circle.program, {n, points.columns, points.strides, nullptr},
                    constraints, {scales, still, found.data(), multipliers.data(), steps.data()},
                    threads, [](std::int64_t) { return true; });
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(steps[i] >= 0);
            const double x0 = points.x[i], y0 = points.y[i], radius = std::hypot(x0, y0),
                         x = found[i], y = found[n + i];
            CHECK(std::fabs(x * x + y * y - 1.0) < 1e-9 && x < 0.5 + 1e-9);
            if (x0 / radius < 0.5)
                CHECK(std::fabs(x - x0 / radius) < 1e-7 && std::fabs(y - y0 / radius) < 1e-7);
            if (x0 / radius > 0.5 && std::fabs(y0) > 1e-3)
                CHECK(std::fabs(x - 0.5) < 1e-9 &&
                      std::fabs(y - std::copysign(std::sqrt(0.75), y0)) < 1e-9);
            const double circle_part = multipliers[i], bound_part = multipliers[n + i];
            CHECK(bound_part >= 0.0);
            CHECK(std::fabs(x - x0 + circle_part * 2.0 * x + bound_part) < 1e-6 * (1.0 + radius));
            CHECK(std::fabs(y - y0 + circle_part * 2.0 * y) < 1e-6 * (1.0 + radius));
        }
    }
    for (std::size_t i = 0; i < 2 * n; ++i) CHECK_SAME(values[0][i], values[1][i]);
}

}  // namespace

int main() {
    const Circle circle;
    const Points points;
    for (const tl::Kernel* kernel : tl::kernels()) {
        test_map(*kernel, circle, points);
        test_project(*kernel, circle, points);
    }
    return 0;
}
