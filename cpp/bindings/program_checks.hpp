// Programs and layouts, checked before anything runs by them: known operations on slots of the
// workspace, regions that hold what the core puts there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "arrays.hpp"
#include "teorell/program.hpp"
#include "teorell/quartic.hpp"
#include "teorell/tableau.hpp"

namespace teorell::bindings {

using Code = Array<std::int32_t>;

constexpr std::int64_t most_patients = std::int64_t{1} << 40;
constexpr std::int64_t most_slots = std::int64_t{1} << 26;  // times lanes, an int

// Words of the instruction at `code`, of which `words` are left; 0 where it is none.
inline std::int64_t known_length(const std::int32_t* code, std::int64_t words) {
    if (words < 1 || code[0] < 0 || code[0] > static_cast<std::int32_t>(last_op)) return 0;
    if (static_cast<Op>(code[0]) == Op::sum) {
        if (words < 5 || code[3] < 0 || code[4] < 0 || code[3] > words || code[4] > words) return 0;
        if (code[2] < 0 && code[3] + code[4] == 0) return 0;
    }
    const std::int64_t length = instruction_length(code);
    return length <= words ? length : 0;
}

inline void check_program(const Code& program, const char* name, std::int64_t slots) {
    const std::int32_t* code = program.data();
    for (std::int64_t i = 0;;) {
        const std::int64_t length = known_length(code + i, program.size() - i);
        require(length > 0, name, "is no program (an instruction is unknown, or cut off)");
        if (static_cast<Op>(code[i]) == Op::end) return;
        const bool sum = static_cast<Op>(code[i]) == Op::sum;
        for (std::int64_t k = 1; k < length; ++k) {
            if (sum && (k == 3 || k == 4)) continue;  // counts
            const bool none = sum && k == 2 && code[i + k] < 0;
            require(none || (code[i + k] >= 0 && code[i + k] < slots), name,
                    "has a slot that the workspace has not (memory of others)");
        }
        i += length;
    }
}

// Is there room for `count` slots from `from` to `to`?
inline bool has_room(std::int64_t from, std::int64_t to, std::int64_t count) {
    return to - from >= count;
}

inline bool rises(const Layout& at) {
    std::int32_t fields[sizeof(Layout) / sizeof(std::int32_t)];
    std::memcpy(fields, &at, sizeof(Layout));
    const auto* end = fields + (offsetof(Layout, slots) / sizeof(std::int32_t)) + 1;
    return *std::min_element(std::begin(fields), std::end(fields)) >= 0 &&
           std::is_sorted(static_cast<const std::int32_t*>(fields), end);
}

inline void check_layout(const Layout& at) {
    const bool fits =
        rises(at) && at.slots <= most_slots && at.stages <= max_stages &&
        has_room(at.constants, at.coef, at.n_const) && has_room(at.coef, at.scalar, at.n_coef) &&
        has_room(at.scalar, at.y, n_scalars) && has_room(at.y, at.f, at.n) &&
        has_room(at.f, at.lu, at.n) && has_room(at.yn, at.ynew, at.n) &&
        has_room(at.ynew, at.top, at.n) && has_room(at.top, at.atol, at.n) &&
        has_room(at.atol, at.u, at.n) && has_room(at.u, at.ft, std::int64_t{at.stages} * at.n) &&
        has_room(at.ft, at.temp, at.n_ft) && has_room(at.out, at.params, at.n_out) &&
        has_room(at.params, at.block, std::int64_t{at.n_params} + at.n_switches) &&
        at.n_switches >= at.n_surfaces && has_room(at.g, at.gnodes, at.n_surfaces) &&
        has_room(at.gnodes, at.grate, std::int64_t{n_nodes} * at.n_surfaces) &&
        has_room(at.grate, at.gtol, at.n_surfaces) && has_room(at.gtol, at.band, at.n_surfaces) &&
        has_room(at.band, at.gside, at.n_surfaces) && has_room(at.gside, at.gf, at.n_surfaces) &&
        has_room(at.gf, at.gbar, at.n_surfaces > 0 ? at.n : 0) &&
        has_room(at.when, at.was, at.n_events) && has_room(at.was, at.act, at.n_events) &&
        has_room(at.act, at.actrate, at.n_actions) &&
        has_room(at.actrate, at.actbar, at.n_actions) && at.rates >= at.coef &&
        has_room(at.rates, std::int64_t{at.coef} + at.n_coef, at.n_rates);
    require(fits, "layout", "is none of this core (its regions do not hold what they should)");
}

// Of Method::H: moments of the samples' cotangents.
constexpr std::int64_t most_moments = 3;

inline bool has_entries(const Layout& at) {
    return has_room(at.entries, at.entries_ft, at.n_entries) &&
           has_room(at.entries_ft, at.g, at.n_ft);
}

// Are there the regions of the adjoint? columns: of the entries, one more than the last number.
inline bool has_adjoint(const Layout& at, std::int64_t output_states, std::int64_t columns) {
    const std::int64_t n = at.n, stages = at.stages,
                       all = std::int64_t{at.n_params} + at.n_switches;
    return has_room(at.block, at.ukept, 3 * n * stages) &&
           has_room(at.ukept, at.ubar, columns * stages) &&
           has_room(at.ubar, at.lam, most_moments * output_states) &&
           has_room(at.lam, at.ynbar, n) && has_room(at.ynbar, at.coefbar, n) &&
           has_room(at.coefbar, at.paramsbar, at.n_coef) &&
           has_room(at.paramsbar, at.outbar, all) && has_room(at.outbar, at.ysbar, at.n_out) &&
           has_room(at.ysbar, at.outcoef, n) && has_room(at.outcoef, at.z, at.n_outcoef) &&
           (at.n_surfaces == 0 ||
            (has_room(at.gbar, at.gybar, at.n_surfaces) && has_room(at.gybar, at.gcoefbar, n) &&
             has_room(at.gcoefbar, at.gdot, at.n_coef))) &&
           (at.n_actions == 0 ||
            (has_room(at.actbar, at.aybar, at.n_actions) && has_room(at.aybar, at.acoefbar, n) &&
             has_room(at.acoefbar, at.actdot, at.n_coef))) &&
           has_entries(at);
}

// Are there the regions of forward sensitivities?
inline bool has_tangents(const Layout& at) {
    const std::int64_t n = at.n, all = std::int64_t{at.n_params} + at.n_switches;
    return has_room(at.z, at.ydot, n) && has_room(at.ydot, at.yndot, n) &&
           has_room(at.yndot, at.udot, n) && has_room(at.udot, at.coefdot, n * at.stages) &&
           has_room(at.coefdot, at.paramsdot, at.n_coef) &&
           has_room(at.paramsdot, at.outdot, all) && has_room(at.outdot, at.entries, at.n_out) &&
           has_room(at.gdot, at.when, at.n_surfaces) &&
           has_room(at.actdot, at.slots, at.n_actions) && has_entries(at);
}

// Stages of a method, and moments of its dense output; 0 where it is unknown, which the engine
// says.
inline int stages_of(const std::string& method) {
    int stages = 0;
    Methods::for_method(method.c_str(), [&](auto chosen) {
        static_assert(decltype(chosen)::dense <= most_moments);
        stages = decltype(chosen)::stages;
        return true;
    });
    return stages;
}

}  // namespace teorell::bindings
