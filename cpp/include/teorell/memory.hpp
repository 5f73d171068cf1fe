// Memory of the derivatives, which grows while they are computed. Where there is none left, null
// says so: a thread that throws for the first time would need some, and the process would end.
#pragma once

#include <cstdlib>

#include "host_device.hpp"

TEORELL_BEGIN

// An array that grows and keeps its memory when it is emptied.
template <class T>
struct Growing {
    T* data = nullptr;
    std::int64_t size = 0, room = 0;

    // The first of `count` more, or null.
    T* extend(std::int64_t count) {
        if (size + count > room && !grow(count)) return nullptr;
        size += count;
        return data + size - count;
    }
    void release() {
        std::free(data);
        data = nullptr;
        size = room = 0;
    }
    std::int64_t bytes() const { return room * static_cast<std::int64_t>(sizeof(T)); }

  private:
    bool grow(std::int64_t count) {
        const std::int64_t wanted = 2 * room > size + count ? 2 * room : size + count;
        void* larger = std::realloc(data, static_cast<std::size_t>(wanted) * sizeof(T));
        if (larger == nullptr) return false;
        data = static_cast<T*>(larger);
        room = wanted;
        return true;
    }
};

// Some doubles, aligned to 64 bytes; null where there is no memory for them.
struct Doubles {
    double* data = nullptr;

    explicit Doubles(std::int64_t count)
        : data(static_cast<double*>(
              std::aligned_alloc(64, static_cast<std::size_t>((count + 8) / 8 * 64)))) {}
    Doubles(const Doubles&) = delete;
    Doubles& operator=(const Doubles&) = delete;
    ~Doubles() { std::free(data); }
};

TEORELL_END
