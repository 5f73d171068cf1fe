// Modes of the flow of one dosing interval: which keep what they have, and whether the others die
// out.
//
// M is the derivative of the flow. A left vector l with l' M = l is a total that nothing changes
// (an enzyme, a rhythm written as states): l' x keeps its initial value, and where the flow moves
// it there is no fixed point. Everything else must die out: the spectral radius of M without these
// modes is below 1.
#pragma once

#include <cmath>
#include <cstdint>

#include "dense.hpp"
#include "eigenvalues.hpp"

namespace teorell {

constexpr double kept_mode = 1e-7;  // what keeps what it has: 1 - M is smaller than that
constexpr double slow_mode = 1e-3;  // what dies out by less an interval is looked at twice

// Doubles that these functions need for m states.
inline std::int64_t modes_memory(std::int64_t m) { return 2 * m * m + 4 * m; }

// May a mode of M (m, m) keep what it has, or not die out? To be looked at more closely.
// size: (m,) of the states. rhythmic: states may oscillate by themselves, which a solver damps. No
// mode is suspicious where |M| v < v for a v > 0 (Berman & Plemmons, Nonnegative Matrices in the
// Mathematical Sciences, 1994, chapter 6).
inline bool suspicious(dense::Index m, const double* matrix, const double* size, bool rhythmic,
                       double* work) {
    double *system = work, *slowness = work + m * m, *imaginary = slowness + m;
    for (int i = 0; i < m; ++i) {
        for (int j = 0; j < m; ++j)
            system[i * m + j] =
                (i == j ? 1.0 : 0.0) - std::fabs(matrix[i * m + j]) * size[j] / size[i];
        slowness[i] = 1.0;
    }
    bool dying = dense::solve(m, system, 1, slowness);
    for (int i = 0; i < m; ++i) dying = dying && slowness[i] > 0.0 && slowness[i] < 1.0 / slow_mode;
    if (dying && !rhythmic) return false;
    double *copy = system, *real = slowness;
    for (int i = 0; i < m * m; ++i) copy[i] = matrix[i];
    if (!dense::Eigenvalues(m, copy, real, imaginary).find()) return true;
    const double most = rhythmic ? 0.3 : 1.0 - slow_mode;
    for (int i = 0; i < m; ++i) {
        const bool dull = imaginary[i] == 0.0 && real[i] > -0.3 && real[i] < 1.0 - slow_mode;
        if (!dull && !(real[i] * real[i] + imaginary[i] * imaginary[i] < most * most)) return true;
    }
    return false;
}

// The projection P (m, m) on the modes that keep what they have, zero where there is none: I - M +
// P is regular, and P r is what moves totals that should stay. size: (m,) of the states. The answer
// is whether there is one.
inline bool neutral_modes(dense::Index m, const double* matrix, const double* size,
                          double* projection, double* work) {
    double *scaled = work, *left = work + m * m;
    for (int i = 0; i < m * m; ++i) projection[i] = 0.0;
    if (!dense::all_finite(m * m, matrix)) return false;
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < m; ++j)
            scaled[i * m + j] = (i == j ? 1.0 : 0.0) - matrix[i * m + j] * size[j] / size[i];
    dense::orthogonalise_rows(m, m, scaled, left);
    bool any = false;
    for (int k = 0; k < m; ++k) {
        const double *row = scaled + k * m, *mode = left + k * m;
        if (!(std::sqrt(dense::dot(m, row, row)) < kept_mode)) continue;
        for (int i = 0; i < m; ++i) dense::add(m, mode[i], mode, projection + i * m);
        any = true;
    }
    for (int i = 0; i < m && any; ++i)
        for (int j = 0; j < m; ++j) projection[i * m + j] *= size[i] / size[j];
    return any;
}

// Do all modes of M (m, m), without those that keep what they have, die out? M is used up.
inline bool attracts(dense::Index m, double* matrix, double* work) {
    double *real = work, *imaginary = work + m;
    if (!dense::Eigenvalues(m, matrix, real, imaginary).find()) return false;
    constexpr double most = 1.0 - 0.1 * kept_mode;
    bool all = true;
    for (int i = 0; i < m; ++i)
        all = all && real[i] * real[i] + imaginary[i] * imaginary[i] < most * most;
    return all;
}

}  // namespace teorell
