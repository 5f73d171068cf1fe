// Runs a program over a pack of lanes: the executor that is always there, and the oracle of the
// machine code.
#pragma once

#include "lanes.hpp"
#include "program.hpp"

TEORELL_BEGIN

// workspace: [slot][lane] float64, aligned to a register; or, of a lane with a stride, its first
// slot.
template <class V>
TEORELL_HD TEORELL_APART void interpret(const std::int32_t* code, double* workspace) {
    using P = Pack<V>;
    const auto at = [workspace](std::int32_t slot) {
        double* place = workspace + static_cast<std::int64_t>(slot) * P::stride;
        if constexpr (P::stride != P::width) TEORELL_IN_DEVICE_MEMORY(place);  // not a team's
        return place;
    };
    const auto get = [at](std::int32_t slot) { return P::load(at(slot)); };
    const V one = P::broadcast(1.0), zero = P::broadcast(0.0);
    for (;;) {
        switch (static_cast<Op>(code[0])) {
        case Op::end: return;
        case Op::sum: {
            std::int32_t plus = code[3], minus = code[4];
            const std::int32_t* pair = code + 5;
            V acc;
            if (code[2] >= 0) {
                acc = get(code[2]);
            } else if (plus > 0) {
                acc = get(pair[0]) * get(pair[1]);
                pair += 2, --plus;
            } else {
                acc = -(get(pair[0]) * get(pair[1]));
                pair += 2, --minus;
            }
            for (; plus > 0; --plus, pair += 2) acc = fma(get(pair[0]), get(pair[1]), acc);
            for (; minus > 0; --minus, pair += 2) acc = fma(-get(pair[0]), get(pair[1]), acc);
            P::store(at(code[1]), acc);
            code = pair;
            break;
        }
        case Op::mul:
            P::store(at(code[1]), get(code[2]) * get(code[3]));
            code += 4;
            break;
        case Op::fma:
            P::store(at(code[1]), fma(get(code[3]), get(code[4]), get(code[2])));
            code += 5;
            break;
        case Op::div:
            P::store(at(code[1]), get(code[2]) / get(code[3]));
            code += 4;
            break;
        case Op::sqrt:
            P::store(at(code[1]), sqrt(get(code[2])));
            code += 3;
            break;
        case Op::min:
            P::store(at(code[1]), min(get(code[2]), get(code[3])));
            code += 4;
            break;
        case Op::max:
            P::store(at(code[1]), max(get(code[2]), get(code[3])));
            code += 4;
            break;
        case Op::lt:
            P::store(at(code[1]), select(get(code[2]) < get(code[3]), one, zero));
            code += 4;
            break;
        case Op::le:
            P::store(at(code[1]), select(get(code[2]) <= get(code[3]), one, zero));
            code += 4;
            break;
        case Op::select:
            P::store(at(code[1]), select(get(code[2]) != zero, get(code[3]), get(code[4])));
            code += 5;
            break;
        case Op::abs:
            P::store(at(code[1]), abs(get(code[2])));
            code += 3;
            break;
        case Op::round:
            P::store(at(code[1]), round_to_integer(get(code[2])));
            code += 3;
            break;
        case Op::exp2i:
            P::store(at(code[1]), exp2_integer(get(code[2])));
            code += 3;
            break;
        case Op::exponent:
            P::store(at(code[1]), exponent(get(code[2])));
            code += 3;
            break;
        case Op::mantissa:
            P::store(at(code[1]), mantissa(get(code[2])));
            code += 3;
            break;
        }
    }
}

TEORELL_END
