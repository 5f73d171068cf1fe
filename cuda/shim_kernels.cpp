// The kernels by their names, run on the host: what a driver's launch does, for the driver that the
// tests have in place of one (tests/cases/fake_driver.py).
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "column_check.cuh"
#include "kernel.cuh"

namespace {

using namespace teorell;

// arguments: the address of each parameter.
template <class... Parameters, std::size_t... number>
void launch_with(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, void** arguments,
                 std::index_sequence<number...>) {
    static std::mt19937 shuffle(1);
    launch(1, shuffle, kernel, blocks, threads,
           *static_cast<const std::decay_t<Parameters>*>(arguments[number])...);
}

template <class... Parameters>
void launch_by_address(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                       void** arguments) {
    launch_with(kernel, blocks, threads, arguments, std::index_sequence_for<Parameters...>{});
}

}  // namespace

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    const auto is = [name](const char* kernel) { return std::strcmp(name, kernel) == 0; };
    if (is("teorell::solve_patients<teorell::Interpreted<teorell::Rodas5P>>"))
        launch_by_address(solve_patients<Interpreted<Rodas5P>>, blocks, threads, arguments);
    else if (is("teorell::solve_patients<teorell::Interpreted<teorell::Rodas4P2>>"))
        launch_by_address(solve_patients<Interpreted<Rodas4P2>>, blocks, threads, arguments);
    else if (is("teorell::check_columns"))
        launch_by_address(check_columns, blocks, threads, arguments);
    else
        return false;
    return true;
}
