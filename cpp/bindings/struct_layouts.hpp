// How the plain views lie in memory, and what a model's view points to: for who fills them by hand,
// with pointers of a device, as arguments of a kernel.
#pragma once

#include <cstddef>

#include "columns.hpp"
#include "model.hpp"
#include "teorell/batch.hpp"
#include "teorell/columns.hpp"
#include "teorell/device.hpp"
#include "teorell/device_lane.hpp"
#include "teorell/projection.hpp"

namespace teorell::bindings {

// {name: (size, {field: (offset, size)})}
inline py::dict struct_layouts() {
    py::dict found;
    const auto add = [&](const char* name, std::size_t size, const py::dict& fields) {
        found[name] = py::make_tuple(size, fields);
    };
#define TEORELL_FIELD(field) fields[#field] = py::make_tuple(offsetof(S, field), sizeof(S::field));
#define TEORELL_STRUCT(name, list) \
    { \
        using S = name; \
        py::dict fields; \
        list(TEORELL_FIELD) add(#name, sizeof(S), fields); \
    }
#define TEORELL_REDUCTIONS(f) \
    f(count) f(kinds) f(outputs) f(linear) f(windows) f(patients) f(values) f(times)
#define TEORELL_BATCH(f) \
    f(patients) f(columns) f(column_strides) f(event_times) f(event_kinds) f(event_targets) \
        f(event_values) f(event_offsets) f(event_offset_stride) f(times) f(n_times) f(rtol) \
            f(atol) f(max_steps) f(max_step) f(before) f(values) f(values_first) f(status) \
                f(failure_time) f(steps) f(rejected) f(condition) f(sample_offsets) \
                    f(sample_events) f(reductions)
#define TEORELL_GRADIENT(f) \
    f(cotangent) f(strides) f(loss) f(context) f(parameters) f(initial) f(event_value) \
        f(event_time) f(shared_rows) f(recorded_steps) f(reduced)
#define TEORELL_TANGENTS(f) \
    f(directions) f(parameters) f(parameter_strides) f(event_value) f(event_time) f(event_strides) \
        f(values) f(reduced)
#define TEORELL_COLUMN_PROGRAM(f) \
    f(code) f(machine) f(width) f(slots) f(constants) f(inputs) f(outputs) f(n_constants) \
        f(n_inputs) f(n_outputs) f(constant_values)
#define TEORELL_COLUMNS(f) f(patients) f(inputs) f(strides) f(outputs)
#define TEORELL_CONSTRAINTS(f) \
    f(n_free) f(n_rows) f(free_inputs) f(equality) f(row_starts) f(columns) f(tolerance) \
        f(most_steps) f(most_attempts)
#define TEORELL_PROJECTED(f) f(scales) f(scale_strides) f(values) f(multipliers) f(steps)
#define TEORELL_COUNTERS(f) f(patients) f(next) f(finished) f(unfit) f(cancel)
#define TEORELL_ROOM(f) f(steps) f(states) f(stretches) f(marks) f(pieces)
#define TEORELL_LAUNCH(f) f(memory) f(slots) f(counters) f(chosen) f(steps) f(room) f(unfit)
    TEORELL_STRUCT(Reductions, TEORELL_REDUCTIONS)
    TEORELL_STRUCT(Batch, TEORELL_BATCH)
    TEORELL_STRUCT(Gradient, TEORELL_GRADIENT)
    TEORELL_STRUCT(Tangents, TEORELL_TANGENTS)
    TEORELL_STRUCT(ColumnProgram, TEORELL_COLUMN_PROGRAM)
    TEORELL_STRUCT(Columns, TEORELL_COLUMNS)
    TEORELL_STRUCT(Constraints, TEORELL_CONSTRAINTS)
    TEORELL_STRUCT(Projected, TEORELL_PROJECTED)
    TEORELL_STRUCT(Counters, TEORELL_COUNTERS)
    TEORELL_STRUCT(Room, TEORELL_ROOM)
    TEORELL_STRUCT(Launch, TEORELL_LAUNCH)
#undef TEORELL_STRUCT
#undef TEORELL_FIELD
    return found;
}

// The bytes of a model's Programs, and (offset of a pointer in them, what it points to) for each
// of its arrays.
inline py::tuple programs_image(const Model& model) {
    const Programs& view = model.view();
    py::list arrays;
    model.each_array([&](const void* pointer, const auto* data, std::int64_t count) {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
        const auto offset =
            static_cast<const char*>(pointer) - reinterpret_cast<const char*>(&view);
        arrays.append(py::make_tuple(offset, Array<T>(count, data)));
    });
    return py::make_tuple(py::bytes(reinterpret_cast<const char*>(&view), sizeof(Programs)),
                          arrays);
}

inline Room room_of(const py::dict& given) {
    const auto number = [&](const char* name) {
        require(given.contains(name), name, "is missing (the room of a patient has five numbers)");
        const auto count = Given::number_of<std::int64_t>(given[name], name);
        require(count >= 0 && count <= most_slots, name, "is no number of records (or huge)");
        return count;
    };
    return {number("steps"), number("states"), number("stretches"), number("marks"),
            number("pieces")};
}

// Slots of one thread of a kernel: of a solve; with `room` of a gradient, with directions too of
// tangents.
inline std::int64_t device_slots(const Model& model, std::int64_t reductions,
                                 const py::object& room, std::int64_t directions) {
    const Layout& at = model.view().at;
    require(reductions >= 0 && directions >= 0 && directions <= most_slots, "reductions",
            "or directions are negative, or huge (they are counts)");
    if (room.is_none()) return solve_slots(at, reductions);
    const Room given = room_of(py::cast<py::dict>(room));
    return directions == 0 ? gradient_slots(at, reductions, given)
                           : tangent_slots(at, reductions, directions, given);
}

// The same of map; with constraints of a projection.
inline std::int64_t device_column_slots(const py::object& program, const py::object& constraints) {
    const ColumnCode code(program);
    const std::int64_t slots = map_slots(code.view());
    if (constraints.is_none()) return slots;
    Given given(constraints, "constraints");
    return slots + Projector<DeviceLane>::memory(constraints_of(given, code.view()));
}

}  // namespace teorell::bindings
