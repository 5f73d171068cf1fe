// Eigenvalues of a small matrix: balanced (Parlett & Reinsch, Numer. Math. 13, 1969, 293), brought
// to Hessenberg form, and that deflated by double-shift QR steps (Francis, Comput. J. 4, 1961, 265;
// Golub & Van Loan, Matrix Computations, 4th ed., 7.5). One order of operations, as in dense.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace teorell::dense {

class Eigenvalues {
  public:
    // a: (n, n), used up; real, imaginary: (n,), in conjugate pairs.
    Eigenvalues(std::ptrdiff_t n, double* a, double* real, double* imaginary)
        : n(n), a(a), real(real), imaginary(imaginary) {}

    // False: none were found, as where an entry is not finite.
    bool find() {
        balance();
        to_hessenberg();
        for (int last = n - 1, tries = 0; last >= 0;) {
            const int first = start_of_block(last);
            if (first == last) {
                real[last] = at(last, last), imaginary[last] = 0.0;
                --last, tries = 0;
            } else if (first == last - 1) {
                two_by_two(first);
                last -= 2, tries = 0;
            } else if (++tries > most_tries) {
                return false;
            } else {
                step(first, last, tries);
            }
        }
        for (int i = 0; i < n; ++i)
            if (!std::isfinite(real[i]) || !std::isfinite(imaginary[i])) return false;
        return true;
    }

  private:
    static constexpr int most_tries = 60;  // for one eigenvalue
    static constexpr double epsilon = std::numeric_limits<double>::epsilon();
    std::ptrdiff_t n;
    double *a, *real, *imaginary;

    double& at(int i, int j) const { return a[i * n + j]; }

    // Rows and columns times powers of two, until both are about as large.
    void balance() {
        bool moved = true;
        for (int sweep = 0; sweep < 100 && moved; ++sweep) {
            moved = false;
            for (int i = 0; i < n; ++i) {
                double row = 0.0, column = 0.0;
                for (int j = 0; j < n; ++j) {
                    if (j == i) continue;
                    row += std::fabs(at(i, j));
                    column += std::fabs(at(j, i));
                }
                if (!(row > 0.0 && column > 0.0 && std::isfinite(row + column))) continue;
                int exponent = 0;
                std::frexp(std::sqrt(row / column), &exponent);
                const double factor = std::ldexp(1.0, exponent - 1);
                if (!(column * factor + row / factor < 0.95 * (column + row))) continue;
                for (int j = 0; j < n; ++j) at(i, j) /= factor;
                for (int j = 0; j < n; ++j) at(j, i) *= factor;
                moved = true;
            }
        }
    }

    // By elimination with pivots.
    void to_hessenberg() {
        for (int k = 1; k < n - 1; ++k) {
            int best = k;
            for (int i = k + 1; i < n; ++i)
                if (std::fabs(at(i, k - 1)) > std::fabs(at(best, k - 1))) best = i;
            const double pivot = at(best, k - 1);
            if (pivot == 0.0) continue;
            if (best != k) {
                for (int j = 0; j < n; ++j) std::swap(at(k, j), at(best, j));
                for (int j = 0; j < n; ++j) std::swap(at(j, k), at(j, best));
            }
            for (int i = k + 1; i < n; ++i) {
                const double factor = at(i, k - 1) / pivot;
                for (int j = 0; j < n; ++j) at(i, j) -= factor * at(k, j);
                at(i, k - 1) = 0.0;
                for (int j = 0; j < n; ++j) at(j, k) += factor * at(j, i);
            }
        }
    }

    // The first row of the block that ends at `last` and does not fall apart.
    int start_of_block(int last) const {
        int first = last;
        for (; first > 0; --first) {
            const double beside = std::fabs(at(first - 1, first - 1)) + std::fabs(at(first, first));
            if (!(std::fabs(at(first, first - 1)) >
                  epsilon * (beside > 0.0 ? beside : std::fabs(at(last, last)))))
                break;
        }
        if (first > 0) at(first, first - 1) = 0.0;
        return first;
    }

    void two_by_two(int k) {
        const double middle = 0.5 * (at(k, k) + at(k + 1, k + 1)),
                     half = 0.5 * (at(k, k) - at(k + 1, k + 1)),
                     under = half * half + at(k, k + 1) * at(k + 1, k),
                     root = std::sqrt(std::fabs(under));
        real[k] = real[k + 1] = middle;
        imaginary[k] = imaginary[k + 1] = 0.0;
        if (under < 0.0) {
            imaginary[k] = root, imaginary[k + 1] = -root;
        } else {  // the larger first, the other by the product of both
            const double larger = half + std::copysign(root, half);
            real[k] = at(k + 1, k + 1) + larger;
            real[k + 1] =
                larger == 0.0 ? real[k] : at(k + 1, k + 1) - at(k, k + 1) * at(k + 1, k) / larger;
        }
    }

    // One double-shift step on rows first to last, three at least.
    void step(int first, int last, int tries) {
        double sum = at(last - 1, last - 1) + at(last, last),
               product = at(last - 1, last - 1) * at(last, last) -
                         at(last - 1, last) * at(last, last - 1);
        if (tries % 10 == 0) {  // another shift, where these go round in a circle
            const double size = std::fabs(at(last, last - 1)) + std::fabs(at(last - 1, last - 2));
            sum = 1.5 * size, product = size * size;
        }
        const double top = at(first, first), below = at(first + 1, first);
        double x = top * top + at(first, first + 1) * below - sum * top + product,
               y = below * (top + at(first + 1, first + 1) - sum),
               z = below * at(first + 2, first + 1);
        for (int k = first; k < last; ++k) {
            const int height = k + 2 <= last ? 3 : 2;
            if (height == 2) z = 0.0;
            reflect(k, height, k > first ? k - 1 : first, k + 3 < last ? k + 3 : last, first, last,
                    x, y, z);
            if (k > first) at(k + 1, k - 1) = 0.0;
            if (k > first && height == 3) at(k + 2, k - 1) = 0.0;
            x = at(k + 1, k);
            y = k + 2 <= last ? at(k + 2, k) : 0.0;
            z = k + 3 <= last ? at(k + 3, k) : 0.0;
        }
    }

    // Householder's reflection that makes (x, y, z) a multiple of the first: of `height` rows from
    // column `left` on, and as many columns down to row `bottom`, inside the block.
    void reflect(int k, int height, int left, int bottom, int first, int last, double x, double y,
                 double z) {
        const double size = std::fabs(x) + std::fabs(y) + std::fabs(z);
        if (!(size > 0.0)) return;
        double v[3] = {x / size, y / size, z / size};
        v[0] += std::copysign(std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), v[0]);
        const double factor = 2.0 / (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        for (int j = left; j <= last; ++j) {
            double along = 0.0;
            for (int i = 0; i < height; ++i) along += v[i] * at(k + i, j);
            for (int i = 0; i < height; ++i) at(k + i, j) -= factor * along * v[i];
        }
        for (int i = first; i <= bottom; ++i) {
            double along = 0.0;
            for (int j = 0; j < height; ++j) along += at(i, k + j) * v[j];
            for (int j = 0; j < height; ++j) at(i, k + j) -= factor * along * v[j];
        }
    }
};

}  // namespace teorell::dense
