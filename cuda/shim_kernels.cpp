// The kernels by their names, run on the host: what a driver's launch does, for the driver that the
// tests have in place of one (tests/cases/fake_driver.py).
#include <cstring>
#include <string>
#include <utility>

#include "column_check.cuh"
#include "kernel.cuh"

namespace {

using namespace teorell;

// False where the name is that of no method's kernel.
template <int... number>
bool solve_by_a_method(const std::string& name, unsigned blocks, unsigned threads, void** arguments,
                       std::integer_sequence<int, number...>) {
    const auto kernel = [](int method) {
        return "teorell::solve_patients<teorell::Interpreted<teorell::MethodAt<" +
               std::to_string(method) + ">>>";
    };
    return (
        (name == kernel(number) && (launch_by_address(solve_patients<Interpreted<MethodAt<number>>>,
                                                      blocks, threads, arguments),
                                    true)) ||
        ...);
}

}  // namespace

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    if (std::strcmp(name, "teorell::check_columns") == 0) {
        launch_by_address(check_columns, blocks, threads, arguments);
        return true;
    }
    return solve_by_a_method(name, blocks, threads, arguments,
                             std::make_integer_sequence<int, Methods::count>{});
}
