// Coefficients of the Rosenbrock-Wanner methods, in the transformed form of Hairer & Wanner,
// Solving ODEs II, eq. (IV.7.25):
//     y_i = y_n + sum_{j<i} a_ij u_j
//     (I/(h gamma) - J) u_i = f(t_n + c_i h, y_i) + sum_{j<i} (C_ij/h) u_j + h d_i f_t(t_n, y_n)
// All are stiffly accurate pairs: y_{n+1} = y_s + u_s, error estimate u_s. Dense output on theta in
// [0, 1]:
//     y(theta) = (1-theta) y_n + theta (y_{n+1} + (1-theta)(k_1 + theta (k_2 + ...)))
//     k_r = sum_j H_rj u_j, r < dense
// The order conditions are checked in tests/engine/test_tableau.py.
#pragma once

#include "host_device.hpp"

TEORELL_BEGIN

// Steinebach, Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the
// Julia Differential Equations package, BIT Numerical Mathematics 63:27 (2023): 8 stages, order
// 5(4), dense output of order 4.
struct Rodas5P {
    static constexpr const char* name = "rodas5p";
    static constexpr int stages = 8, order = 5, error_order = 4, dense = 3;
    static constexpr double gamma = 0.21193756319429014;
    static constexpr double a[8][8] = {
        {},
        {3.0},
        {2.849394379747939, 0.45842242204463923},
        {-6.954028509809101, 2.489845061869568, -10.358996098473584},
        {2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641},
        {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256,
         0.030198172008377946},
        {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256,
         0.030198172008377946, 1.0},
        {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256,
         0.030198172008377946, 1.0, 1.0}};
    static constexpr double C[8][8] = {
        {},
        {-14.155112264123755},
        {-17.97296035885952, -2.859693295451294},
        {147.12150275711716, -1.41221402718213, 71.68940251302358},
        {165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306},
        {24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125,
         -0.6610691825249471},
        {30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783,
         -19.097331116725623, -28.087943162872662},
        {37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047,
         -40.06618937091002, -54.66780262877968, -9.48861652309627}};
    static constexpr double c[8] = {0.0,
                                    0.6358126895828704,
                                    0.4095798393397535,
                                    0.9769306725060716,
                                    0.4288403609558664,
                                    1.0,
                                    1.0,
                                    1.0};
    static constexpr double d[8] = {0.21193756319429014,
                                    -0.42387512638858027,
                                    -0.3384627126235924,
                                    1.8046452872882734,
                                    2.325825639765069,
                                    0.0,
                                    0.0,
                                    0.0};
    static constexpr double H[3][8] = {
        {25.948786856663858, -2.5579724845846235, 10.433815404888879, -2.3679251022685204,
         0.524948541321073, 1.1241088310450404, 0.4272876194431874, -0.17202221070155493},
        {-9.91568850695171, -0.9689944594115154, 3.0438037242978453, -24.495224566215796,
         20.176138334709044, 15.98066361424651, -6.789040303419874, -6.710236069923372},
        {11.419903575922262, 2.8879645146136994, 72.92137995996029, 80.12511834622643,
         -52.072871366152654, -59.78993625266729, -0.15582684282751913, 4.883087185713722}};
};

// Steinebach, Improvement of Rosenbrock-Wanner Method RODASP, in: Progress in
// Differential-Algebraic Equations II, Springer (2020) 165: 6 stages, order 4(3), dense output of
// order 3, fewer stages than Rodas5P for loose tolerances.
struct Rodas4P2 {
    static constexpr const char* name = "rodas4p2";
    static constexpr int stages = 6, order = 4, error_order = 3, dense = 2;
    static constexpr double gamma = 0.25;
    static constexpr double a[6][6] = {
        {},
        {3.0},
        {0.906377755268814, -0.189707390391685},
        {3.758617027739064, 1.161741776019525, -0.849258085312803},
        {7.089566927282776, 4.573591406461604, -8.423496976860259, -0.959280113459775},
        {7.089566927282776, 4.573591406461604, -8.423496976860259, -0.959280113459775, 1.0}};
    static constexpr double C[6][6] = {
        {},
        {-12.0},
        {-6.354581592719008, 0.338972550544623},
        {-8.575016317114033, -7.606483992117508, 12.224997650124820},
        {-5.888975457523102, -8.157396617841821, 24.805546872612922, 12.790401512796979},
        {-4.408651676063871, -6.692003137674639, 24.625568527593117, 16.627521966636085,
         -5.714285714285718}};
    static constexpr double c[6] = {0.0, 0.75, 0.321448134013046, 0.519745732277726, 1.0, 1.0};
    static constexpr double d[6] = {0.25, -0.5, -0.189532918363016, 0.085612108792769, 0.0, 0.0};
    static constexpr double H[2][6] = {{-5.323528268423303, -10.042123754867493, 17.175254928256965,
                                        -5.079931171878093, -0.016185991706112, 0.0},
                                       {6.984505741529879, 6.914061169603662, -0.849178943070653,
                                        18.104410789349338, -3.516963011559032, 0.0}};
};

// The names of methods, in constants and in what users give.
TEORELL_HD constexpr bool equal(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

template <class... Method>
struct MethodList {
    // What `action(Method{})` gives for the method of that name; false where there is none.
    template <class Action>
    static bool for_method(const char* name, Action action) {
        return ((equal(name, Method::name) && action(Method{})) || ...);
    }
    // `action(Method{})` for each of them, in order.
    template <class Action>
    static void for_each(Action action) {
        (action(Method{}), ...);
    }
    static constexpr int count = sizeof...(Method);
};

template <int number, class List>
struct MethodOf;
template <int number, class First, class... Others>
struct MethodOf<number, MethodList<First, Others...>>
    : MethodOf<number - 1, MethodList<Others...>> {};
template <class First, class... Others>
struct MethodOf<0, MethodList<First, Others...>> {
    using type = First;
};

// All methods: a new one needs its struct above and its name here.
using Methods = MethodList<Rodas5P, Rodas4P2>;

// The method of a number, as teorell.METHODS counts them.
template <int number>
using MethodAt = typename MethodOf<number, Methods>::type;

TEORELL_END
