// Numbers of any type in one form, and exact conversions between the types.
#pragma once
#include "gpuzarr.cuh"

// Types as arguments of kernels; gpuzarr/device/reference/numbers.py has the same order.
enum Kind : u32 {
    KIND_I8, KIND_U8, KIND_I16, KIND_U16, KIND_I32, KIND_U32, KIND_I64, KIND_U64,
    KIND_F16, KIND_F32, KIND_F64, KIND_BOOL
};

enum Rounding : u32 { NEAREST_EVEN, TOWARDS_ZERO, TOWARDS_POSITIVE, TOWARDS_NEGATIVE, NEAREST_AWAY };

// What happens to a value that the target cannot hold: a float becomes infinite but with FAIL.
// AS_X86 is for floats to integers: what the processor gives, and so NumPy's astype there.
enum Range : u32 { FAIL, CLAMP, WRAP, AS_X86 };

// mantissa * 2^exponent, unless special.
struct Number {
    u64 mantissa;
    i32 exponent;
    u32 special;                      // 0 finite, 1 infinite, 2 NaN (its payload top-aligned)
    bool negative;
};

GZ_INLINE u32 width_of(u32 kind) {
    if (kind == KIND_BOOL) return 1;
    return kind < KIND_F16 ? 1u << kind / 2 : 2u << (kind - KIND_F16);
}

GZ_INLINE bool is_float(u32 kind) { return kind >= KIND_F16 && kind <= KIND_F64; }
GZ_INLINE u32 mantissa_bits(u32 kind) { return kind == KIND_F16 ? 10 : kind == KIND_F32 ? 23 : 52; }
GZ_INLINE i32 bias_of(u32 kind) { return kind == KIND_F16 ? 15 : kind == KIND_F32 ? 127 : 1023; }

GZ_INLINE u64 load_bits(const u8* source, u64 i, u32 width) {
    if (width == 1) return source[i];
    if (width == 2) return ((const u16*)source)[i];
    if (width == 4) return ((const u32*)source)[i];
    return ((const u64*)source)[i];
}

GZ_INLINE void store_bits(u8* target, u64 i, u32 width, u64 bits) {
    if (width == 1) target[i] = (u8)bits;
    else if (width == 2) ((u16*)target)[i] = (u16)bits;
    else if (width == 4) ((u32*)target)[i] = (u32)bits;
    else ((u64*)target)[i] = bits;
}

// Elements that one tile of an op on numbers covers.
#define ELEMENTS 4096u

GZ_INLINE i64 extended(u64 bits, u32 kind) {
    if (kind == KIND_I8) return (i8)bits;
    if (kind == KIND_I16) return (i16)bits;
    if (kind == KIND_I32) return (i32)bits;
    return (i64)bits;
}

// An integer of any 64 bits as one of its type, which are extended again.
GZ_INLINE u64 wrapped(u64 bits, u32 kind) {
    const u32 width = width_of(kind);
    if (kind % 2 && width < 8) return bits & ((1ull << (8 * width)) - 1);
    return (u64)extended(bits, kind);
}

GZ_INLINE double double_of_integer(u64 bits, u32 kind) {
    return kind == KIND_U64 ? (double)bits : (double)extended(bits, kind);
}

GZ_INLINE Number unpacked(u64 bits, u32 kind) {
    Number n = {bits, 0, 0, false};
    if (is_float(kind)) {
        const u32 m = mantissa_bits(kind), width = 8 * width_of(kind);
        const u32 field = (u32)(bits << (64 - width) << 1 >> (m + 65 - width));
        const u32 largest = (1u << (width - 1 - m)) - 1;
        n.negative = bits >> (width - 1) & 1;
        n.mantissa = bits & ((1ull << m) - 1);
        n.exponent = (field ? (i32)field : 1) - bias_of(kind) - (i32)m;
        if (field == largest) {
            n.special = n.mantissa ? 2 : 1;
            n.mantissa <<= 64 - m;
        } else if (field) {
            n.mantissa |= 1ull << m;
        }
    } else if (kind < KIND_F16 && kind % 2 == 0) {
        const i64 value = extended(bits, kind);
        n.negative = value < 0;
        n.mantissa = n.negative ? 0 - (u64)value : (u64)value;
    } else if (kind == KIND_BOOL) {
        n.mantissa = bits != 0;
    }
    return n;
}

// mantissa / 2^drop, rounded; drop > 0.
GZ_INLINE u64 shifted(u64 mantissa, u32 drop, bool negative, u32 rounding) {
    const u64 whole = drop < 64 ? mantissa >> drop : 0;
    const u64 rest = drop < 64 ? mantissa & ((1ull << drop) - 1) : mantissa;
    if (rest == 0) return whole;
    const u64 half = drop <= 64 ? 1ull << (drop - 1) : 0;
    const bool above = half && rest > half, tie = half && rest == half;
    bool up = false;
    if (rounding == NEAREST_EVEN) up = above || (tie && whole & 1);
    else if (rounding == NEAREST_AWAY) up = above || tie;
    else if (rounding == TOWARDS_POSITIVE) up = !negative;
    else if (rounding == TOWARDS_NEGATIVE) up = negative;
    return whole + up;
}

// The bits of a float; `status` is set where the value is out of range.
GZ_INLINE u64 float_of(Number n, u32 kind, u32 rounding, u32 range, u32& status) {
    const u32 m = mantissa_bits(kind), width = 8 * width_of(kind);
    const u64 sign = (u64)n.negative << (width - 1);
    const u64 infinite = (u64)((1u << (width - 1 - m)) - 1) << m;
    if (n.special == 1) return sign | infinite;
    if (n.special == 2) return sign | infinite | 1ull << (m - 1) | n.mantissa >> (64 - m);
    if (n.mantissa == 0) return sign;
    const u32 high = (u32)(n.mantissa >> 32);
    const u32 zeros = high ? __clz((int)high) : 32 + __clz((int)(u32)n.mantissa);
    const u64 mantissa = n.mantissa << zeros;
    const i32 exponent = n.exponent - (i32)zeros + 63, smallest = 1 - bias_of(kind);
    u32 drop = 63 - m;
    u64 bits;
    if (exponent < smallest) {
        const u32 more = (u32)(smallest - exponent);
        drop += more < 65 ? more : 65;
        bits = shifted(mantissa, drop, n.negative, rounding);
    } else {
        // the leading bit, or a carry, counts up the exponent
        bits = shifted(mantissa, drop, n.negative, rounding)
               + ((u64)(u32)(exponent - smallest) << m);
        if (bits >= infinite || exponent > bias_of(kind)) {
            if (range == FAIL) status = STATUS_OUT_OF_RANGE;
            bits = infinite;
        }
    }
    return sign | bits;
}

// A conversion of x86: 32 bits for all that fit them, else 64; too large is the smallest number.
GZ_INLINE u64 as_x86(Number n, u64 value, bool large, u32 kind) {
    const bool is_nan = n.special == 2, beyond = n.special || large;
    if (kind == KIND_U64 && !n.negative && !is_nan) return beyond ? 0 : value;
    const u64 half = 1ull << (kind < KIND_U32 ? 31 : 63);
    if (beyond || value > half - !n.negative) return half;
    return n.negative ? 0 - value : value;
}

GZ_INLINE u64 integer_of(Number n, u32 kind, u32 rounding, u32 range, u32& status) {
    const u32 width = 8 * width_of(kind);
    if (n.special && range != AS_X86) {
        status = STATUS_OUT_OF_RANGE;
        return 0;
    }
    u64 value = n.mantissa;
    bool large = false;               // 2^64 or more
    if (n.exponent < 0) {
        const u32 drop = n.exponent < -65 ? 65 : (u32)-n.exponent;
        value = shifted(value, drop, n.negative, rounding);
    } else if (value && n.exponent > 0) {
        large = n.exponent >= 64 || value >> (64 - n.exponent);
        value = n.exponent >= 64 ? 0 : value << n.exponent;
    }
    if (range == AS_X86) return as_x86(n, value, large, kind);
    const bool is_signed = kind % 2 == 0;
    const u64 half = 1ull << (width - 1), top = is_signed ? half - 1 : half - 1 + half;
    const u64 limit = !n.negative ? top : is_signed ? half : 0;
    if ((large || value > limit) && range != WRAP) {
        if (range == FAIL) status = STATUS_OUT_OF_RANGE;
        value = limit;
    }
    return n.negative ? 0 - value : value;
}

GZ_INLINE u64 converted(Number n, u32 kind, u32 rounding, u32 range, u32& status) {
    if (kind == KIND_BOOL) return n.special || n.mantissa;
    return is_float(kind) ? float_of(n, kind, rounding, range, status)
                          : integer_of(n, kind, rounding, range, status);
}

union Word {
    u64 bits;
    double value;
};

union HalfWord {
    u32 bits;
    float value;
};

GZ_INLINE double double_of(u64 bits) {
    Word word;
    word.bits = bits;
    return word.value;
}

GZ_INLINE u64 bits_of(double value) {
    Word word;
    word.value = value;
    return word.bits;
}

GZ_INLINE float single_of(u32 bits) {
    HalfWord word;
    word.bits = bits;
    return word.value;
}

GZ_INLINE u32 bits_of(float value) {
    HalfWord word;
    word.value = value;
    return word.bits;
}

// A number of 2 bytes nearest to a float.
GZ_INLINE u16 half_of(float value) {
    u32 ignored = 0;
    return (u16)float_of(unpacked(bits_of(value), KIND_F32), KIND_F16, NEAREST_EVEN, CLAMP,
                         ignored);
}

GZ_INLINE u16 half_of(double value) {
    u32 ignored = 0;
    return (u16)float_of(unpacked(bits_of(value), KIND_F64), KIND_F16, NEAREST_EVEN, CLAMP,
                         ignored);
}

GZ_INLINE float float_of_half(u32 bits) {
    u32 ignored = 0;
    return single_of((u32)float_of(unpacked(bits, KIND_F16), KIND_F32, NEAREST_EVEN, CLAMP,
                                   ignored));
}

// What arithmetic makes of two floats. A NaN among them stays, the first of two, and one that
// comes of others has the sign bit: as x86 has it, where a GPU forgets what was in a NaN.
GZ_INLINE float settled(float result, float a, float b) {
    if (result == result) return result;
    const u32 bits = a != a ? bits_of(a) : b != b ? bits_of(b) : 0xff800000u;
    return single_of(bits | 0x00400000u);
}

GZ_INLINE double settled(double result, double a, double b) {
    if (result == result) return result;
    const u64 bits = a != a ? bits_of(a) : b != b ? bits_of(b) : 0xfff0000000000000ull;
    return double_of(bits | 0x0008000000000000ull);
}

// A number as NumPy's astype has it.
GZ_INLINE u64 as_type(u64 bits, u32 from, u32 to) {
    u32 ignored = 0;
    if (from == to) return bits;
    const u32 range = is_float(from) && !is_float(to) ? AS_X86 : WRAP;
    return converted(unpacked(bits, from), to, is_float(to) ? NEAREST_EVEN : TOWARDS_ZERO, range,
                     ignored);
}
