// NumPy arrays as the engine sees them. It reads and writes where they say, so each is checked
// here, once a call: type, shape, strides. What does not fit raises TypeError or ValueError.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace teorell::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Shape = std::vector<std::int64_t>;  // -1: any length

// 'problem (reason). Remedy.' as ValueError.
[[noreturn]] inline void refuse(const std::string& sentence) {
    throw std::invalid_argument(sentence);
}

// Raises ValueError unless `holds`; the sentence is made of what is wrong and why.
inline void require(bool holds, const char* name, const char* problem) {
    if (!holds)
        refuse(std::string(name) + ' ' + problem + ". Give what python/teorell/_core.pyi says.");
}

inline std::string text_of(const Shape& shape) {
    std::string text;
    for (const std::int64_t length : shape)
        text += (text.empty() ? "" : ", ") + (length < 0 ? "any" : std::to_string(length));
    return '(' + text + (shape.size() == 1 ? ",)" : ")");
}

inline bool has_shape(const py::array& array, const Shape& shape) {
    if (static_cast<std::size_t>(array.ndim()) != shape.size()) return false;
    for (std::size_t k = 0; k < shape.size(); ++k)
        if (shape[k] >= 0 && array.shape(static_cast<py::ssize_t>(k)) != shape[k]) return false;
    return true;
}

inline void check_shape(const py::array& array, const char* name, const Shape& shape) {
    if (has_shape(array, shape)) return;
    const Shape own(array.shape(), array.shape() + array.ndim());
    refuse(std::string(name) + " has shape " + text_of(own) + " (it should be " + text_of(shape) +
           "). Give an array of that shape.");
}

// Also arrays of any stride, where Kind is py::array_t<T>.
template <class Kind>
Kind checked(const py::handle& given, const char* name) {
    if (!Kind::check_(given) || !(py::reinterpret_borrow<py::array>(given).flags() &
                                  py::detail::npy_api::NPY_ARRAY_ALIGNED_))
        throw py::type_error(std::string(name) +
                             " is not an array as the core reads it (its type, or how it lies in "
                             "memory, is another). Give numpy.ascontiguousarray of that type.");
    return py::reinterpret_borrow<Kind>(given);
}

template <class T>
Array<T> array_of(const py::handle& given, const char* name, const Shape& shape) {
    auto array = checked<Array<T>>(given, name);
    check_shape(array, name, shape);
    return array;
}

// That the core writes.
template <class T>
Array<T> output_of(const py::handle& given, const char* name, const Shape& shape) {
    auto array = array_of<T>(given, name, shape);
    require(array.writeable(), name, "cannot be written (the core fills it)");
    return array;
}

// Doubles of any stride.
inline py::array_t<double> strided_of(const py::handle& given, const char* name) {
    auto array = checked<py::array_t<double>>(given, name);
    for (py::ssize_t k = 0; k < array.ndim(); ++k)
        require(array.strides(k) % static_cast<py::ssize_t>(sizeof(double)) == 0, name,
                "does not step by whole float64 numbers (it is not aligned)");
    return array;
}

// Doubles from one element to the next.
inline std::int64_t stride_of(const py::array_t<double>& array, py::ssize_t axis) {
    return array.strides(axis) / static_cast<py::ssize_t>(sizeof(double));
}

// Where columns of doubles begin, () or (patients,), and their steps from patient to patient.
struct ColumnViews {
    std::vector<const double*> starts;
    std::vector<std::int64_t> strides;
    std::vector<py::object> kept;

    ColumnViews(const py::list& columns, const char* name, std::int64_t count,
                std::int64_t patients) {
        require(static_cast<std::int64_t>(columns.size()) == count, name,
                "are not as many as there should be (one an input)");
        for (const py::handle& each : columns) {
            const auto column = strided_of(each, name);
            if (column.ndim() > 0) check_shape(column, name, {patients});
            kept.push_back(column);
            starts.push_back(column.data());
            strides.push_back(column.ndim() == 0 ? 0 : stride_of(column, 0));
        }
    }
};

// The entries of a dict, checked; arrays stay alive with it.
class Given {
  public:
    Given(const py::object& given, const char* name) {
        if (!py::isinstance<py::dict>(given))
            throw py::type_error(std::string(name) +
                                 " is no dict (it has arrays by their names). Give one.");
        dict_ = py::reinterpret_borrow<py::dict>(given);
    }

    py::object operator[](const char* name) const {
        require(dict_.contains(name), name, "is missing (the core needs it)");
        return dict_[name];
    }
    bool has(const char* name) const { return !(*this)[name].is_none(); }
    template <class T>
    T number(const char* name) const {
        return number_of<T>((*this)[name], name);
    }
    template <class T>
    Array<T> array(const char* name, const Shape& shape) {
        return keep(array_of<T>((*this)[name], name, shape));
    }
    template <class T>
    Array<T> array(const char* name) {
        return keep(checked<Array<T>>((*this)[name], name));
    }
    template <class T>
    T* output(const char* name, const Shape& shape) {
        return keep(output_of<T>((*this)[name], name, shape)).mutable_data();
    }
    py::array_t<double> strided(const char* name) { return keep(strided_of((*this)[name], name)); }

    template <class T>
    static T number_of(const py::handle& given, const char* name) {
        try {
            return given.cast<T>();
        } catch (const py::cast_error&) {
            throw py::type_error(std::string(name) + " is no number of the core's type (" +
                                 std::string(py::str(py::type::of(given))) +
                                 ", or too large). Give a number.");
        }
    }

  private:
    py::dict dict_;
    std::vector<py::object> kept_;

    template <class Kind>
    Kind keep(Kind array) {
        kept_.push_back(array);
        return array;
    }
};

// Every value lies in [0, end).
template <class T>
void check_range(const Array<T>& numbers, const char* name, std::int64_t end) {
    bool inside = true;
    for (py::ssize_t i = 0; i < numbers.size(); ++i)
        inside = inside && numbers.data()[i] >= 0 && numbers.data()[i] < end;
    require(inside, name, "has a number of something that is not there (it counts from 0)");
}

// Places that do not go back, from 0 to `end`.
template <class T>
void check_offsets(const Array<T>& offsets, const char* name, std::int64_t end) {
    const T* at = offsets.data();
    bool rising = offsets.size() > 0 && at[0] == 0 && at[offsets.size() - 1] == end;
    for (py::ssize_t i = 1; i < offsets.size(); ++i) rising = rising && at[i - 1] <= at[i];
    require(rising, name, "does not rise from 0 to the number of rows (rows would be misread)");
}

}  // namespace teorell::bindings
