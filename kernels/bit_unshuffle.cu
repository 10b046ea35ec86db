// bit_unshuffle: Blosc's bit planes to elements, for each stream (a block of Blosc).
//
// layout     n = size / typesize elements; plane 8 * b + k, n / 8 bytes, holds bit k of byte b of
//            all elements, the first element in the least significant bit of the first byte.
//            If n is no multiple of 8 the whole stream is copied; the size % typesize bytes
//            behind always stay where they are. first_tile: prefix sum of
//            ceil(size / (16384 * typesize))
// alignment  any; whole words where n / 8 is a multiple of 4 (of 8 and 16 for typesizes 2 and 1)
//            and the source is 16-aligned, else byte by byte, about 20 times slower
// limits     fewer than 2^32 tiles; target and source do not overlap
// reference  bit_unshuffle
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200
#include "gpuzarr.cuh"

#define ELEMENTS 16384u

// Bit j of word i to bit i of word j, for 32 words held in registers.
GZ_INLINE void transpose_32x32(u32 (&word)[32]) {
    u32 mask = 0x0000ffffu;
#pragma unroll
    for (u32 half = 16; half; half /= 2) {
#pragma unroll
        for (u32 i = 0; i < 32; i++) {
            if (i & half) continue;
            const u32 swap = (word[i] >> half ^ word[i + half]) & mask;
            word[i] ^= swap << half;
            word[i + half] ^= swap;
        }
        mask ^= mask << (half / 2);
    }
}

// Eight bytes of bit rows to eight bytes, one per element.
GZ_INLINE u64 transpose_8x8(u64 x) {
    u64 t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000ccccull;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0ull;
    return x ^ t ^ t << 28;
}

GZ_INLINE void store_words(u8* at, const u32* word, u32 count) {
#pragma unroll
    for (u32 w = 0; w < count; w += 4) {
        uint4 out;
        out.x = word[w]; out.y = word[w + 1]; out.z = word[w + 2]; out.w = word[w + 3];
        store_16(at + 4 * w, out);
    }
}

// Typesize 1: 128 elements, 16 bytes of each of 8 planes.
GZ_INLINE void group_1(const u8* source, u8* target, u64 row, u64 group) {
    u32 word[32], out[32];
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        const uint4 in = *(const uint4*)(source + k * row + 16 * group);
        word[k] = in.x; word[8 + k] = in.y; word[16 + k] = in.z; word[24 + k] = in.w;
    }
    transpose_32x32(word);
    // byte g of word[j] is element 32 * g + j
#pragma unroll
    for (u32 j = 0; j < 32; j += 4) {
        transpose_4x4(word[j], word[j + 1], word[j + 2], word[j + 3]);
#pragma unroll
        for (u32 g = 0; g < 4; g++) out[8 * g + j / 4] = word[j + g];
    }
    store_words(target + 128 * group, out, 32);
}

// Typesize 2: 64 elements, 8 bytes of each of 16 planes.
GZ_INLINE void group_2(const u8* source, u8* target, u64 row, u64 group) {
    u32 word[32], out[32];
#pragma unroll
    for (u32 k = 0; k < 16; k++) {
        const uint2 in = *(const uint2*)(source + k * row + 8 * group);
        word[k] = in.x; word[16 + k] = in.y;
    }
    transpose_32x32(word);
    // half g of word[j] is element 32 * g + j
#pragma unroll
    for (u32 j = 0; j < 32; j += 2) {
        out[j / 2] = __byte_perm(word[j], word[j + 1], 0x5410);
        out[16 + j / 2] = __byte_perm(word[j], word[j + 1], 0x7632);
    }
    store_words(target + 128 * group, out, 32);
}

// Typesize 4: 32 elements, 4 bytes of each of 32 planes.
GZ_INLINE void group_4(const u8* source, u8* target, u64 row, u64 group) {
    u32 word[32];
#pragma unroll
    for (u32 k = 0; k < 32; k++) word[k] = *(const u32*)(source + k * row + 4 * group);
    transpose_32x32(word);
    store_words(target + 128 * group, word, 32);
}

// Typesize 8 and 16: 32 elements, 4 bytes of each of 64 planes, one half of a 16-byte element
// after the other.
template <u32 TYPESIZE>
GZ_INLINE void group_8(const u8* source, u8* target, u64 row, u64 group) {
#pragma unroll 1
    for (u32 half = 0; half < TYPESIZE / 8; half++) {
        u32 low[32], high[32];
#pragma unroll
        for (u32 k = 0; k < 32; k++) {
            low[k] = *(const u32*)(source + (64 * half + k) * row + 4 * group);
            high[k] = *(const u32*)(source + (64 * half + 32 + k) * row + 4 * group);
        }
        transpose_32x32(low);
        transpose_32x32(high);
        u8* at = target + 32 * TYPESIZE * group + 8 * half;
        if (TYPESIZE == 8) {
#pragma unroll
            for (u32 j = 0; j < 32; j += 2) {
                uint4 out;
                out.x = low[j]; out.y = high[j]; out.z = low[j + 1]; out.w = high[j + 1];
                store_16(at + 8 * j, out);
            }
        } else {
#pragma unroll
            for (u32 j = 0; j < 32; j++) {
                store_u32(at + TYPESIZE * j, low[j]);
                store_u32(at + TYPESIZE * j + 4, high[j]);
            }
        }
    }
}

// Eight elements, one byte of each plane; any typesize, any alignment.
GZ_INLINE void group_any(const u8* source, u8* target, u64 row, u64 group, u32 typesize) {
    for (u32 b = 0; b < typesize; b++) {
        u64 bits = 0;
        for (u32 k = 0; k < 8; k++) bits |= (u64)source[(8 * b + k) * row + group] << (8 * k);
        bits = transpose_8x8(bits);
        for (u32 i = 0; i < 8; i++)
            target[(8 * group + i) * typesize + b] = (u8)(bits >> (8 * i));
    }
}

// TYPESIZE 0 stands for any other.
template <u32 TYPESIZE>
GZ_INLINE void bit_unshuffle(const u64* sources, const u64* targets, const u64* sizes,
                             const u32* first_tile, u32 count, u32 any) {
    const u32 typesize = TYPESIZE ? TYPESIZE : any;
    // elements of a thread, and bytes that it reads of each plane
    const u32 together = TYPESIZE == 1 ? 128 : TYPESIZE == 2 ? 64 : 32, width = together / 8;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], n = size / typesize, row = n / 8;
        const u64 start = lesser(n, (u64)tile.index * ELEMENTS);
        const u64 stop = lesser(n, start + ELEMENTS);
        if (n % 8) {
            copy_bytes(source, target, start * typesize,
                       is_last(tile, first_tile) ? size : stop * typesize, size);
            continue;
        }
        u64 grouped = start;
        if (TYPESIZE && aligned(source, width) && row % width == 0) {
            grouped = start + (stop - start) / together * together;
            for (u64 g = start / together + threadIdx.x; g < grouped / together;
                 g += blockDim.x) {
                if constexpr (TYPESIZE == 1) group_1(source, target, row, g);
                if constexpr (TYPESIZE == 2) group_2(source, target, row, g);
                if constexpr (TYPESIZE == 4) group_4(source, target, row, g);
                if constexpr (TYPESIZE >= 8) group_8<TYPESIZE>(source, target, row, g);
            }
        }
        for (u64 g = grouped / 8 + threadIdx.x; g < stop / 8; g += blockDim.x)
            group_any(source, target, row, g, typesize);
        if (is_last(tile, first_tile))
            for (u64 b = n * typesize + threadIdx.x; b < size; b += blockDim.x)
                target[b] = source[b];
    }
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_1(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_unshuffle<1>(source, target, size, first_tile, count, 1);
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_unshuffle<2>(source, target, size, first_tile, count, 2);
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_unshuffle<4>(source, target, size, first_tile, count, 4);
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_unshuffle<8>(source, target, size, first_tile, count, 8);
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_16(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                 u32 count) {
    bit_unshuffle<16>(source, target, size, first_tile, count, 16);
}

extern "C" __global__ void __launch_bounds__(128)
bit_unshuffle_any(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                  u32 count, u32 typesize) {
    bit_unshuffle<0>(source, target, size, first_tile, count, typesize);
}
