// The forward solve alone records nothing.
#pragma once

#include "host_device.hpp"

TEORELL_BEGIN

struct NoTape {
    using Row = double*;
    template <class Lane>
    TEORELL_HD void arrive(std::int64_t, std::int64_t, std::int32_t, std::int32_t, Lane) {}
    template <class Lane>
    TEORELL_HD void leave(std::int64_t, std::int64_t, std::int64_t, Lane) {}
    template <class Lane>
    TEORELL_HD double* step(std::int64_t, double, std::int64_t, std::int64_t, std::int64_t, Lane) {
        return nullptr;
    }
    template <int W>
    TEORELL_HD void states(const double*, double* const*) const {}
    TEORELL_HD void end(std::int64_t, bool) {}
    TEORELL_HD void piece(std::int64_t, double, double) {}
    TEORELL_HD void extremum(std::int64_t, int, double, double) {}
    TEORELL_HD void crossing(std::int64_t, int, double, double) {}
};

TEORELL_END
