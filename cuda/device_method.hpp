// The coefficients of a method where device code can reach them: nvcc lets a kernel use the values
// of a host constexpr array, not the array. These tables are empty objects that give the values;
// they are indexed as the arrays of tableau.hpp.
#pragma once

#include "teorell/host_device.hpp"

TEORELL_BEGIN

template <int rows, int columns>
struct Table {
    double value[rows][columns];
};

template <int columns>
constexpr Table<1, columns> copy_of(const double (&row)[columns]) {
    Table<1, columns> copy{};
    for (int j = 0; j < columns; ++j) copy.value[0][j] = row[j];
    return copy;
}

template <int rows, int columns>
constexpr Table<rows, columns> copy_of(const double (&table)[rows][columns]) {
    Table<rows, columns> copy{};
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) copy.value[i][j] = table[i][j];
    return copy;
}

// Values: a type whose `table()` is the Table.
template <class Values>
struct DeviceTable {
    struct Row {
        int i;
        TEORELL_HD constexpr double operator[](int j) const {
            constexpr auto table = Values::table();
            return table.value[i][j];
        }
    };
    TEORELL_HD constexpr Row operator[](int i) const { return {i}; }
};

template <class Values>
struct DeviceRow {
    TEORELL_HD constexpr double operator[](int j) const {
        constexpr auto table = Values::table();
        return table.value[0][j];
    }
};

template <class Method>
struct OnDevice : Method {
    struct A {
        static constexpr auto table() { return copy_of(Method::a); }
    };
    struct G {
        static constexpr auto table() { return copy_of(Method::C); }
    };
    struct D {
        static constexpr auto table() { return copy_of(Method::H); }
    };
    struct Nodes {
        static constexpr auto table() { return copy_of(Method::c); }
    };
    struct Slopes {
        static constexpr auto table() { return copy_of(Method::d); }
    };
    static constexpr DeviceTable<A> a{};
    static constexpr DeviceTable<G> C{};
    static constexpr DeviceTable<D> H{};
    static constexpr DeviceRow<Nodes> c{};
    static constexpr DeviceRow<Slopes> d{};
};

TEORELL_END
