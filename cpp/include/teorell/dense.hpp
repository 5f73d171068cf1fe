// Small dense matrices, row by row. One order of operations, no library: the same bits on every
// processor. Compiled once, for the plain processor; inner loops run along rows, without a
// reduction.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace teorell::dense {

using Index = std::ptrdiff_t;  // of rows and columns: products of two are offsets

inline bool all_finite(long count, const double* a) {
    bool finite = true;
    for (long i = 0; i < count; ++i) finite = finite && std::isfinite(a[i]);
    return finite;
}

// In four partial sums.
inline double dot(Index n, const double* a, const double* b) {
    double sums[4] = {};
    int i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
    for (; i < n; ++i) sums[i % 4] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// to += factor * row
inline void add(Index n, double factor, const double* row, double* to) {
    for (int j = 0; j < n; ++j) to[j] += factor * row[j];
}

inline void set_identity(Index n, double* a) {
    for (int i = 0; i < n * n; ++i) a[i] = 0.0;
    for (int i = 0; i < n; ++i) a[i * n + i] = 1.0;
}

// y = A x of A (rows, columns).
inline void multiply(Index rows, Index columns, const double* a, const double* x, double* y) {
    for (int i = 0; i < rows; ++i) y[i] = dot(columns, a + i * columns, x);
}

// C = A B of A (rows, inner), B (inner, columns).
inline void multiply(Index rows, Index inner, Index columns, const double* a, const double* b,
                     double* c) {
    for (int i = 0; i < rows; ++i) {
        double* row = c + i * columns;
        for (int j = 0; j < columns; ++j) row[j] = 0.0;
        for (int k = 0; k < inner; ++k) add(columns, a[i * inner + k], b + k * columns, row);
    }
}

// C = A' B of A (inner, rows), B (inner, columns).
inline void multiply_transposed(Index rows, Index inner, Index columns, const double* a,
                                const double* b, double* c) {
    for (int i = 0; i < rows * columns; ++i) c[i] = 0.0;
    for (int k = 0; k < inner; ++k)
        for (int i = 0; i < rows; ++i)
            add(columns, a[k * rows + i], b + k * columns, c + i * columns);
}

// A X = B of A (n, n), B (n, columns), which becomes X; A is used up. By elimination with row
// pivots. Where A is singular, or anything is not finite, X is NaN and the answer false.
inline bool solve(Index n, double* a, Index columns, double* b) {
    bool regular = all_finite(static_cast<long>(n) * columns, b);
    for (int k = 0; k < n && regular; ++k) {
        int best = k;
        for (int i = k + 1; i < n; ++i)
            if (std::fabs(a[i * n + k]) > std::fabs(a[best * n + k])) best = i;
        if (best != k) {
            for (int j = k; j < n; ++j) std::swap(a[k * n + j], a[best * n + j]);
            for (int j = 0; j < columns; ++j) std::swap(b[k * columns + j], b[best * columns + j]);
        }
        const double pivot = a[k * n + k];
        regular = std::isfinite(pivot) && pivot != 0.0;
        for (int i = k + 1; i < n && regular; ++i) {
            const double factor = -(a[i * n + k] / pivot);
            add(n - k - 1, factor, a + k * n + k + 1, a + i * n + k + 1);
            add(columns, factor, b + k * columns, b + i * columns);
        }
    }
    for (int k = n - 1; k >= 0 && regular; --k) {
        double* row = b + k * columns;
        for (int i = k + 1; i < n; ++i) add(columns, -a[k * n + i], b + i * columns, row);
        for (int j = 0; j < columns; ++j) row[j] /= a[k * n + k];
    }
    for (long i = 0; i < static_cast<long>(n) * columns && !regular; ++i)
        b[i] = std::numeric_limits<double>::quiet_NaN();
    return regular;
}

// The inverse of A (n, n), which is used up.
inline bool invert(Index n, double* a, double* inverse) {
    set_identity(n, inverse);
    return solve(n, a, n, inverse);
}

// Orthonormal rows q (count, n) that span those of A, which is used up; count <= n. By
// Householder's reflections, so also of rows that are zero or depend on one another.
inline void orthonormal_rows(int count, Index n, double* a, double* q) {
    const auto reflect = [=](int j, double* to, int from) {
        const double *mirror = a + j * n + j, length2 = dot(n - j, mirror, mirror);
        for (int i = from; i < count && length2 > 0.0; ++i) {
            double* row = to + i * n + j;
            add(n - j, -2.0 * dot(n - j, mirror, row) / length2, mirror, row);
        }
    };
    for (int j = 0; j < count; ++j) {
        double* first = a + j * n + j;
        *first += std::copysign(std::sqrt(dot(n - j, first, first)), *first);
        reflect(j, a, j + 1);
    }
    for (int i = 0; i < count * n; ++i) q[i] = 0.0;
    for (int j = 0; j < count; ++j) q[j * n + j] = 1.0;
    for (int j = count - 1; j >= 0; --j) reflect(j, q, 0);
}

// Rotates the rows of A (rows, columns) until they are orthogonal (one-sided Jacobi: Hestenes, J.
// SIAM 6, 1958, 51): their lengths are the singular values. u (rows, rows), or null: the rows of it
// become the left singular vectors.
inline void orthogonalise_rows(Index rows, Index columns, double* a, double* u) {
    const auto rotate = [](Index n, double c, double s, double* x, double* y) {
        for (int j = 0; j < n; ++j) {
            const double old = x[j];
            x[j] = c * old - s * y[j];
            y[j] = s * old + c * y[j];
        }
    };
    if (u != nullptr) set_identity(rows, u);
    bool moved = true;
    for (int sweep = 0; sweep < 60 && moved; ++sweep) {
        moved = false;
        for (int p = 0; p < rows; ++p)
            for (int q = p + 1; q < rows; ++q) {
                double *x = a + p * columns, *y = a + q * columns;
                const double xx = dot(columns, x, x), yy = dot(columns, y, y),
                             xy = dot(columns, x, y);
                if (!(std::fabs(xy) > 1e-15 * std::sqrt(xx) * std::sqrt(yy))) continue;
                const double zeta = (yy - xx) / (2.0 * xy),
                             t = std::copysign(
                                 1.0 / (std::fabs(zeta) + std::sqrt(1.0 + zeta * zeta)), zeta),
                             c = 1.0 / std::sqrt(1.0 + t * t);
                rotate(columns, c, c * t, x, y);
                if (u != nullptr) rotate(rows, c, c * t, u + p * rows, u + q * rows);
                moved = true;
            }
    }
}

}  // namespace teorell::dense
