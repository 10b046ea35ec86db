// Integer and floating-point intrinsics of CUDA in plain C++. Included by dialect.hpp.
#pragma once

GZEMU_INLINE int __ffs(int x) { return __builtin_ffs(x); }
GZEMU_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
GZEMU_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
GZEMU_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
GZEMU_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
GZEMU_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }

inline unsigned long long __brevll(unsigned long long x) {
    x = (x >> 1 & 0x5555555555555555ull) | (x & 0x5555555555555555ull) << 1;
    x = (x >> 2 & 0x3333333333333333ull) | (x & 0x3333333333333333ull) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0full) | (x & 0x0f0f0f0f0f0f0f0full) << 4;
    return __builtin_bswap64(x);
}
GZEMU_INLINE unsigned __brev(unsigned x) { return (unsigned)(__brevll(x) >> 32); }

inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t pool = a | (uint64_t)b << 32;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned nibble = selector >> (4 * i) & 15;
        unsigned byte = (unsigned)(pool >> (8 * (nibble & 7))) & 255;
        if (nibble & 8) byte = byte & 128 ? 255 : 0;  // the sign, over the whole byte
        result |= byte << (8 * i);
    }
    return result;
}

GZEMU_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}
GZEMU_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
GZEMU_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
GZEMU_INLINE int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
GZEMU_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

template <class A, class B>
GZEMU_INLINE constexpr std::common_type_t<A, B> min(A a, B b) {
    using C = std::common_type_t<A, B>;
    return (C)b < (C)a ? (C)b : (C)a;
}
template <class A, class B>
GZEMU_INLINE constexpr std::common_type_t<A, B> max(A a, B b) {
    using C = std::common_type_t<A, B>;
    return (C)a < (C)b ? (C)b : (C)a;
}

#define GZEMU_REINTERPRET(name, To, From)            \
    GZEMU_INLINE To name(From value) {               \
        To result;                                   \
        __builtin_memcpy(&result, &value, sizeof result); \
        return result;                               \
    }
GZEMU_REINTERPRET(__float_as_uint, unsigned, float)
GZEMU_REINTERPRET(__float_as_int, int, float)
GZEMU_REINTERPRET(__uint_as_float, float, unsigned)
GZEMU_REINTERPRET(__int_as_float, float, int)
GZEMU_REINTERPRET(__double_as_longlong, long long, double)
GZEMU_REINTERPRET(__longlong_as_double, double, long long)

// Rounded to nearest and never fused, which here every operation is (-ffp-contract=off).
GZEMU_INLINE float __fadd_rn(float a, float b) { return a + b; }
GZEMU_INLINE float __fsub_rn(float a, float b) { return a - b; }
GZEMU_INLINE float __fmul_rn(float a, float b) { return a * b; }
GZEMU_INLINE float __fdiv_rn(float a, float b) { return a / b; }
GZEMU_INLINE double __dadd_rn(double a, double b) { return a + b; }
GZEMU_INLINE double __dsub_rn(double a, double b) { return a - b; }
GZEMU_INLINE double __dmul_rn(double a, double b) { return a * b; }
GZEMU_INLINE double __ddiv_rn(double a, double b) { return a / b; }
GZEMU_INLINE float __double2float_rn(double a) { return (float)a; }

// Hints about caches.
#define GZEMU_LOAD(name)              \
    template <class T>                \
    GZEMU_INLINE T name(const T* p) { \
        return *p;                    \
    }
GZEMU_LOAD(__ldg)
GZEMU_LOAD(__ldca)
GZEMU_LOAD(__ldcg)
GZEMU_LOAD(__ldcs)
GZEMU_LOAD(__ldlu)
#define GZEMU_STORE(name)                  \
    template <class T>                     \
    GZEMU_INLINE void name(T* p, T value) { \
        *p = value;                        \
    }
GZEMU_STORE(__stcg)
GZEMU_STORE(__stcs)
GZEMU_STORE(__stwb)
GZEMU_STORE(__stwt)
