// A library of the name and the functions of NVIDIA's driver, whose device is the host: it runs the
// kernels of cuda/ behind the shim. What tests/device/test_driver.py puts in the driver's place, so
// that every call that goes through cuda-bindings is made with the arguments that it is declared
// with (cuda.h of CUDA 13). A call that the rules of the driver forbid fails, or ends the process.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "shim_kernels.cpp"

namespace {

enum Result {
    fine = 0,
    invalid_value = 1,
    out_of_memory = 2,
    invalid_context = 201,
    not_found = 500
};
constexpr std::size_t all_memory = std::size_t{1} << 28;

struct Fake {
    bool ready = false;
    std::vector<void*> contexts;
    std::map<std::uint64_t, std::size_t> memory;
    std::set<void*> streams, events, locked;
    std::map<void*, std::string> functions;
    std::size_t used = 0;
    int launches = 0;
} fake;

void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "the driver's rules: %s\n", what);
    std::abort();
}

bool inside(std::uint64_t address, std::size_t size) {
    for (const auto& [start, length] : fake.memory)
        if (start <= address && address + size <= start + length) return true;
    return false;
}

bool known(void* stream) {
    return reinterpret_cast<std::uintptr_t>(stream) <= 2 || fake.streams.count(stream) > 0;
}

}  // namespace

extern "C" {

int cuInit(unsigned flags) {
    fake.ready = flags == 0;
    return fake.ready ? fine : invalid_value;
}
int cuDriverGetVersion(int* version) { return *version = 13050, fine; }
int cuDeviceGetCount(int* count) { return *count = 1, fine; }
int cuDeviceGet(int* device, int ordinal) {
    demand(fake.ready, "cuInit comes first");
    return *device = ordinal, ordinal == 0 ? fine : invalid_value;
}
int cuDeviceGetName(char* name, int length, int) {
    return std::snprintf(name, static_cast<std::size_t>(length), "Fake H0"), fine;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
    case 16: *value = 3; return fine;  // multiprocessors
    case 81: *value = 233472; return fine;  // shared memory of one
    case 75: *value = 9; return fine;  // compute capability
    case 76: *value = 0; return fine;
    default: return invalid_value;
    }
}
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &fake, fine; }
int cuCtxPushCurrent_v2(void* context) {
    demand(context == &fake, "a context that was retained");
    return fake.contexts.push_back(context), fine;
}
int cuCtxPopCurrent_v2(void** context) {
    demand(!fake.contexts.empty(), "a context was pushed");
    if (context != nullptr) *context = fake.contexts.back();
    return fake.contexts.pop_back(), fine;
}
int cuCtxGetDevice(int* device) {
    return *device = 0, fake.contexts.empty() ? invalid_context : fine;
}
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    return *total = all_memory, *free = all_memory - fake.used,
           fake.contexts.empty() ? invalid_context : fine;
}
int cuMemAlloc_v2(std::uint64_t* address, std::size_t size) {
    if (fake.contexts.empty()) return invalid_context;
    if (size == 0) return invalid_value;
    if (size > all_memory - fake.used) return out_of_memory;
    void* made = std::aligned_alloc(256, (size + 255) / 256 * 256);
    std::memset(made, 0xCD, size);
    *address = reinterpret_cast<std::uint64_t>(made);
    fake.memory[*address] = size, fake.used += size;
    return fine;
}
int cuMemFree_v2(std::uint64_t address) {
    if (fake.contexts.empty()) return invalid_context;
    const auto found = fake.memory.find(address);
    demand(found != fake.memory.end(), "memory that was allocated, once");
    fake.used -= found->second;
    fake.memory.erase(found);
    std::free(reinterpret_cast<void*>(address));
    return fine;
}
int cuMemHostAlloc(void** place, std::size_t size, unsigned flags) {
    if (fake.contexts.empty()) return invalid_context;
    if (size == 0 || flags > 7) return invalid_value;
    return *place = std::malloc(size), fake.locked.insert(*place), fine;
}
int cuMemFreeHost(void* place) {
    demand(fake.locked.erase(place) == 1, "memory of the host that was allocated, once");
    return std::free(place), fine;
}
int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void* from, std::size_t size, void* stream) {
    if (!inside(to, size) || !known(stream)) return invalid_value;
    return std::memcpy(reinterpret_cast<void*>(to), from, size), fine;
}
int cuMemcpyDtoHAsync_v2(void* to, std::uint64_t from, std::size_t size, void* stream) {
    if (!inside(from, size) || !known(stream)) return invalid_value;
    return std::memcpy(to, reinterpret_cast<const void*>(from), size), fine;
}
int cuMemsetD8Async(std::uint64_t to, unsigned char value, std::size_t size, void* stream) {
    if (!inside(to, size) || !known(stream)) return invalid_value;
    return std::memset(reinterpret_cast<void*>(to), value, size), fine;
}
int cuPointerGetAttribute(void* data, int attribute, std::uint64_t address) {
    if (!inside(address, 1)) return invalid_value;
    if (attribute == 2) return *static_cast<unsigned*>(data) = 2, fine;  // type: device
    if (attribute == 9) return *static_cast<int*>(data) = 0, fine;       // ordinal
    return invalid_value;
}
int cuModuleLoadData(void** module, const void* image) {
    demand(!fake.contexts.empty() && std::memcmp(image, "fake", 4) == 0, "code, and a context");
    return *module = &fake, fine;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
    demand(module == &fake, "a module that was loaded");
    if (std::strncmp(name, "teorell::", 9) != 0) return not_found;
    auto* made = new std::string(name);
    return fake.functions[made] = name, *function = made, fine;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads,
                                                std::size_t shared) {
    demand(fake.functions.count(function) > 0 && shared == 0, "a function");
    return *blocks = threads <= 128 ? 2 : 1, fine;
}
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads_x,
                   unsigned threads_y, unsigned threads_z, unsigned shared, void* stream,
                   void** arguments, void** extra) {
    if (!known(stream) || fake.contexts.empty()) return invalid_value;
    demand(y == 1 && z == 1 && threads_y == 1 && threads_z == 1 && shared == 0 && extra == nullptr,
           "a grid of one dimension");
    ++fake.launches;
    const std::string& name = fake.functions.at(function);
    return teorell_launch(name.c_str(), x, threads_x, arguments) ? fine : not_found;
}
int cuStreamSynchronize(void* stream) { return known(stream) ? fine : invalid_value; }
int cuStreamQuery(void* stream) { return known(stream) ? fine : invalid_value; }
int cuStreamCreate(void** stream, unsigned flags) {
    demand(flags == 1, "a stream that does not wait for the legacy one");
    return *stream = new char, fake.streams.insert(*stream), fine;
}
int cuStreamDestroy_v2(void* stream) { return fake.streams.erase(stream) ? fine : invalid_value; }
int cuEventCreate(void** event, unsigned flags) {
    demand(flags == 2, "an event without timing");
    return *event = new char, fake.events.insert(*event), fine;
}
int cuEventRecord(void* event, void* stream) {
    return fake.events.count(event) > 0 && known(stream) ? fine : invalid_value;
}
int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
    return fake.events.count(event) > 0 && known(stream) && flags == 0 ? fine : invalid_value;
}
int cuEventDestroy_v2(void* event) { return fake.events.erase(event) ? fine : invalid_value; }

int cuGetProcAddress_v2(const char* symbol, void** function, int, std::uint64_t, int* found) {
    const std::map<std::string, void*> all{
#define NAMED(name) {#name, reinterpret_cast<void*>(name)}
#define SECOND(name) {#name, reinterpret_cast<void*>(name##_v2)}
        NAMED(cuInit),
        NAMED(cuDriverGetVersion),
        NAMED(cuDeviceGetCount),
        NAMED(cuDeviceGet),
        NAMED(cuDeviceGetName),
        NAMED(cuDeviceGetAttribute),
        NAMED(cuDevicePrimaryCtxRetain),
        SECOND(cuCtxPushCurrent),
        SECOND(cuCtxPopCurrent),
        NAMED(cuCtxGetDevice),
        SECOND(cuMemGetInfo),
        SECOND(cuMemAlloc),
        SECOND(cuMemFree),
        NAMED(cuMemHostAlloc),
        NAMED(cuMemFreeHost),
        SECOND(cuMemcpyHtoDAsync),
        SECOND(cuMemcpyDtoHAsync),
        NAMED(cuMemsetD8Async),
        NAMED(cuPointerGetAttribute),
        NAMED(cuModuleLoadData),
        NAMED(cuModuleGetFunction),
        NAMED(cuOccupancyMaxActiveBlocksPerMultiprocessor),
        NAMED(cuLaunchKernel),
        NAMED(cuStreamSynchronize),
        NAMED(cuStreamQuery),
        NAMED(cuStreamCreate),
        SECOND(cuStreamDestroy),
        NAMED(cuEventCreate),
        NAMED(cuEventRecord),
        NAMED(cuStreamWaitEvent),
        SECOND(cuEventDestroy),
        SECOND(cuGetProcAddress)};
    const auto one = all.find(symbol);
    *function = one == all.end() ? nullptr : one->second;
    if (found != nullptr) *found = one == all.end() ? 1 : 0;
    return one == all.end() ? not_found : fine;
}

// What the test asks afterwards.
int fake_left() {
    return static_cast<int>(fake.memory.size() + fake.contexts.size() + fake.events.size() +
                            fake.locked.size());
}
int fake_launches() { return fake.launches; }

}  // extern "C"
