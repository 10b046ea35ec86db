// CUDA's short vectors, with its alignments. Included by dialect.hpp.
#pragma once

#define GZEMU_VECTOR1(name, T)  \
    struct name##1 {            \
        T x;                    \
    };                          \
    GZEMU_INLINE name##1 make_##name##1(T x) { return {x}; }
#define GZEMU_VECTOR2(name, T)          \
    struct alignas(2 * sizeof(T)) name##2 { \
        T x, y;                         \
    };                                  \
    GZEMU_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; }
#define GZEMU_VECTOR4(name, T)          \
    struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 { \
        T x, y, z, w;                   \
    };                                  \
    GZEMU_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define GZEMU_VECTORS(name, T) GZEMU_VECTOR1(name, T) GZEMU_VECTOR2(name, T) GZEMU_VECTOR4(name, T)

GZEMU_VECTORS(char, signed char)
GZEMU_VECTORS(uchar, unsigned char)
GZEMU_VECTORS(short, short)
GZEMU_VECTORS(ushort, unsigned short)
GZEMU_VECTORS(int, int)
GZEMU_VECTORS(uint, unsigned)
GZEMU_VECTORS(longlong, long long)
GZEMU_VECTORS(ulonglong, unsigned long long)
GZEMU_VECTORS(float, float)
GZEMU_VECTORS(double, double)
