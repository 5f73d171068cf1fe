// The kernels of teams by their names, run on the host: see shim_kernels.cpp.
#include <string>
#include <utility>

#include "teams.cuh"

namespace {

using namespace teorell;

// The order of lanes and blocks: a test may choose.
std::mt19937 shuffle(1);

template <class Method, bool shared>
void launch_teams(unsigned blocks, unsigned threads, void** arguments) {
    const auto code = *static_cast<const TeamWords*>(arguments[2]);
    launch_warps(shuffle, solve_patients_by_teams<Method, shared>, blocks, threads,
                 shared ? code.words[0] : 0, *static_cast<const Programs*>(arguments[0]),
                 *static_cast<const Batch*>(arguments[1]), code,
                 *static_cast<const Launch*>(arguments[3]));
}

template <int number>
bool launch_named(const std::string& name, unsigned blocks, unsigned threads, void** arguments) {
    using Method = OnDevice<MethodAt<number>>;
    const std::string start =
        "teorell::solve_patients_by_teams<teorell::OnDevice<teorell::MethodAt<" +
        std::to_string(number) + ">>, ";
    if (name == start + "true>")
        launch_teams<Method, true>(blocks, threads, arguments);
    else if (name == start + "false>")
        launch_teams<Method, false>(blocks, threads, arguments);
    else
        return false;
    return true;
}

template <int... number>
bool launch_of_some_method(const std::string& name, unsigned blocks, unsigned threads,
                           void** arguments, std::integer_sequence<int, number...>) {
    return (launch_named<number>(name, blocks, threads, arguments) || ...);
}

}  // namespace

extern "C" void teorell_shuffle(unsigned seed) { shuffle.seed(seed); }

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    return launch_of_some_method(name, blocks, threads, arguments,
                                 std::make_integer_sequence<int, Methods::count>{});
}
