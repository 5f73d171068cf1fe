// The kernels of teams by their names, run on the host: see shim_kernels.cpp.
#include <string>
#include <utility>

#include "teams.cuh"

namespace {

using namespace teorell;

// The order of lanes and blocks: a test may choose.
std::mt19937 shuffle(1);

// Views: the types of the arguments before TeamWords and Launch.
template <class... Views, std::size_t... number>
void launch_teams(void (*kernel)(Views..., TeamWords, Launch), bool shared, unsigned blocks,
                  unsigned threads, void** arguments, std::index_sequence<number...>) {
    constexpr std::size_t count = sizeof...(Views);
    const auto& code = *static_cast<const TeamWords*>(arguments[count]);
    launch_warps(shuffle, kernel, blocks, threads, shared ? code.words[0] : 0,
                 *static_cast<const Views*>(arguments[number])..., code,
                 *static_cast<const Launch*>(arguments[count + 1]));
}

// Gradients by the first method alone: for the sake of the time that this takes to compile.
template <int number, bool shared>
bool launch_named(const std::string& name, unsigned blocks, unsigned threads, void** arguments) {
    using Method = OnDevice<MethodAt<number>>;
    const std::string end = "_by_teams<teorell::OnDevice<teorell::MethodAt<" +
                            std::to_string(number) + ">>, " + (shared ? "true>" : "false>");
    if (name == "teorell::solve_patients" + end)
        launch_teams<Programs, Batch>(solve_patients_by_teams<Method, shared>, shared, blocks,
                                      threads, arguments, std::make_index_sequence<2>{});
    else if (number == 0 && name == "teorell::pull_patients_back" + end)
        launch_teams<Programs, Batch, Gradient>(
            pull_patients_back_by_teams<OnDevice<MethodAt<0>>, shared>, shared, blocks, threads,
            arguments, std::make_index_sequence<3>{});
    else
        return false;
    return true;
}

template <int... number>
bool launch_of_some_method(const std::string& name, unsigned blocks, unsigned threads,
                           void** arguments, std::integer_sequence<int, number...>) {
    return ((launch_named<number, true>(name, blocks, threads, arguments) ||
             launch_named<number, false>(name, blocks, threads, arguments)) ||
            ...);
}

}  // namespace

extern "C" void teorell_shuffle(unsigned seed) { shuffle.seed(seed); }

extern "C" bool teorell_launch(const char* name, unsigned blocks, unsigned threads,
                               void** arguments) {
    return launch_of_some_method(name, blocks, threads, arguments,
                                 std::make_integer_sequence<int, Methods::count>{});
}
