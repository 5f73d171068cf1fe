// The kernels by their names, run on the host: what a driver's launch does, for the driver that the
// tests have in place of one (tests/cases/fake_driver.py).
#include <string>
#include <utility>

#include "column_check.cuh"
#include "constraints.cuh"
#include "exact_total.cuh"
#include "kernel.cuh"
#include "placed.cuh"

namespace {

using namespace teorell;

// Kernels of a method are named kernel<teorell::Interpreted<teorell::MethodAt<number>>>.
template <int number>
bool launch_of_method(const std::string& name, unsigned blocks, unsigned threads,
                      void** arguments) {
    using Executor = Interpreted<MethodAt<number>>;
    const std::string by =
        "<teorell::Interpreted<teorell::MethodAt<" + std::to_string(number) + ">>>";
    const auto named = [&](const char* kernel) { return name == kernel + by; };
    if (named("teorell::solve_patients"))
        launch_by_address(solve_patients<Executor>, blocks, threads, arguments);
    else if (named("teorell::pull_patients_back"))
        launch_by_address(pull_patients_back<Executor>, blocks, threads, arguments);
    else if (named("teorell::push_patients_forward"))
        launch_by_address(push_patients_forward<Executor>, blocks, threads, arguments);
    else
        return false;
    return true;
}

// False where the name is that of no method's kernel.
template <int... number>
bool of_any_method(const std::string& name, unsigned blocks, unsigned threads, void** arguments,
                   std::integer_sequence<int, number...>) {
    return (launch_of_method<number>(name, blocks, threads, arguments) || ...);
}

// False where the name is that of a method's kernel.
bool of_numbers(const std::string& name, unsigned blocks, unsigned threads, void** arguments) {
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
    if (name == "teorell::place_numbers") return run(place_numbers);
    if (name == "teorell::spread_nan") return run(spread_nan);
    if (name == "teorell::total_of_column") return run(total_of_column);
    if (name == "teorell::total_of_patients") return run(total_of_patients);
    return false;
}

}  // namespace

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    if (of_numbers(name, blocks, threads, arguments)) return true;
    return of_any_method(name, blocks, threads, arguments,
                         std::make_integer_sequence<int, Methods::count>{});
}
