// The kernels by their names, run on the host: what a driver's launch does, for the driver that the
// tests have in place of one (tests/cases/fake_driver.py).
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "column_check.cuh"
#include "constraints.cuh"
#include "kernel.cuh"

namespace {

using namespace teorell;

// arguments: the address of each parameter.
template <class... Parameters, std::size_t... number>
void launch_with(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, void** arguments,
                 std::index_sequence<number...>) {
    thread_local std::mt19937 shuffle(1);
    launch(1, shuffle, kernel, blocks, threads,
           *static_cast<const std::decay_t<Parameters>*>(arguments[number])...);
}

template <class... Parameters>
void launch_by_address(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                       void** arguments) {
    launch_with(kernel, blocks, threads, arguments, std::index_sequence_for<Parameters...>{});
}

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

// False where the name is none of columns and constraints.
bool of_columns(const std::string& name, unsigned blocks, unsigned threads, void** arguments) {
    const auto run = [&](auto kernel) {
        launch_by_address(kernel, blocks, threads, arguments);
        return true;
    };
    if (name == "teorell::check_columns") return run(check_columns);
    if (name == "teorell::map_patients<teorell::ColumnInterpreter>")
        return run(map_patients<ColumnInterpreter>);
    if (name == "teorell::project_patients<teorell::ColumnInterpreter>")
        return run(project_patients<ColumnInterpreter>);
    if (name == "teorell::judge_patients") return run(judge_patients);
    if (name == "teorell::describe_projection") return run(describe_projection);
    return false;
}

}  // namespace

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    if (of_columns(name, blocks, threads, arguments)) return true;
    return solve_by_a_method(name, blocks, threads, arguments,
                             std::make_integer_sequence<int, Methods::count>{});
}
