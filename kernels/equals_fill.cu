// equals_fill: which streams hold nothing but one value.
//
// layout     pattern: `period` bytes, the value repeated up to a multiple of 16; equal: one word
//            per stream, 1 before the launch, set to 0 where an element differs. `kind` says
//            what is equal: 0 the same bytes; 1, 2, 3 any NaN of 2, 4 or 8 bytes for each of
//            `parts` consecutive numbers (2 for complex: one NaN is enough); 4, 5, 6 numbers of
//            2, 4 or 8 bytes that compare equal, -0 and 0 included, none of them NaN in the pattern. first_tile: prefix sum of
//            ceil(size / 16384)
// alignment  pattern 16; source any, 16-byte loads where it is 16-aligned
// limits     period a multiple of 16 up to 2^31; size a multiple of the element for kinds 1 to 6;
//            parts 1 or 2, and parts * width at most 16; fewer than 2^32 tiles
// reference  equals_fill
// bytes      reads 1 per byte: 0.24 ms per GB on an H200
#include "gpuzarr.cuh"

GZ_INLINE bool is_nan(u64 bits, u32 width) {
    if (width == 2) return (bits & 0x7fff) > 0x7c00;
    if (width == 4) return (bits & 0x7fffffff) > 0x7f800000;
    return (bits & 0x7fffffffffffffffull) > 0x7ff0000000000000ull;
}

// Neither is NaN: equal bits, or both zero.
GZ_INLINE bool same_number(u64 a, u64 b, u32 width) {
    const u64 magnitude = width == 2 ? 0x7fff : width == 4 ? 0x7fffffff : 0x7fffffffffffffffull;
    return a == b || ((a | b) & magnitude) == 0;
}

// Sixteen bytes, the first in the lowest bits.
struct Pair {
    u64 low, high;
};

GZ_INLINE u64 number(Pair pair, u32 at, u32 width) {
    const u64 bits = (at < 8 ? pair.low : pair.high) >> (8 * (at % 8));
    return width == 8 ? bits : bits & ((1ull << (8 * width)) - 1);
}

// Whether 16 bytes, or the first `bytes` of them, are as wanted.
GZ_INLINE bool same(Pair found, Pair wanted, u32 bytes, u32 kind, u32 parts) {
    if (kind == 0) return found.low == wanted.low && found.high == wanted.high;
    const u32 width = kind <= 3 ? 1u << kind : 1u << (kind - 3);
    bool good = true;
    for (u32 at = 0; at < bytes; at += parts * width) {
        bool any_nan = false;
        for (u32 k = 0; k < parts; k++) {
            const u64 a = number(found, at + k * width, width);
            any_nan |= is_nan(a, width);
            good &= kind <= 3 || same_number(a, number(wanted, at + k * width, width), width);
        }
        good &= kind > 3 || any_nan;
    }
    return good;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
equals_fill(const u64* sources, const u64* sizes, const u32* first_tile, u32 count,
            const uint4* pattern, u32 period, u32 kind, u32 parts, u32* equal) {
    const u32 words = period / 16, step = blockDim.x % words;
    const u8* bytes = (const u8*)pattern;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        const u64 size = sizes[tile.stream], start = (u64)tile.index * GZ_TILE;
        const u64 stop = lesser(size, start + GZ_TILE), whole = stop / 16 * 16;
        bool good = true;
        u32 w = (u32)((start / 16 + threadIdx.x) % words);
#pragma unroll 4
        for (u64 b = start + 16 * threadIdx.x; b < whole; b += 16 * blockDim.x) {
            const uint4 found = load_16(source + b, source, source + size), wanted = pattern[w];
            const Pair a = {found.x | (u64)found.y << 32, found.z | (u64)found.w << 32};
            const Pair c = {wanted.x | (u64)wanted.y << 32, wanted.z | (u64)wanted.w << 32};
            good &= same(a, c, 16, kind, parts);
            w += step;
            if (w >= words) w -= words;
        }
        if (threadIdx.x == 0 && whole < stop) {
            const u32 left = (u32)(stop - whole), from = (u32)(whole % period);
            Pair a = {0, 0}, c = {0, 0};
            for (u32 k = 0; k < left; k++) {
                const u64 found = source[whole + k], wanted = bytes[from + k];
                (k < 8 ? a.low : a.high) |= found << (8 * (k % 8));
                (k < 8 ? c.low : c.high) |= wanted << (8 * (k % 8));
            }
            good &= same(a, c, left, kind, parts);
        }
        if (!good) atomicAnd(&equal[tile.stream], 0u);
    }
}
