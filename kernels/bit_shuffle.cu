// bit_shuffle: elements to Blosc's bit planes, for each stream: what bit_unshuffle undoes.
//
// layout     n = size / typesize elements; plane 8 * b + k, n / 8 bytes, holds bit k of byte b of
//            all elements, the first element in the least significant bit of the first byte.
//            If n is no multiple of 8 the whole stream is copied; the size % typesize bytes
//            behind always stay where they are. first_tile: prefix sum of
//            ceil(size / (16384 * typesize))
// alignment  any; whole words where n / 8 is a multiple of 4 (of 8 and 16 for typesizes 2 and 1)
//            and the target is 16-aligned, else byte by byte, about 20 times slower
// limits     fewer than 2^32 tiles; target and source do not overlap
// reference  bit_shuffle
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

GZ_INLINE void load_words(const u8* at, u32* word, u32 count, const u8* first,
                          const u8* last) {
#pragma unroll
    for (u32 w = 0; w < count; w += 4) {
        const uint4 in = load_16(at + 4 * w, first, last);
        word[w] = in.x; word[w + 1] = in.y; word[w + 2] = in.z; word[w + 3] = in.w;
    }
}

// Typesize 1: 128 elements, 16 bytes of each of 8 planes.
GZ_INLINE void group_1(const u8* source, u8* target, u64 row, u64 group, const u8* last) {
    u32 word[32], in[32];
    load_words(source + 128 * group, in, 32, source, last);
    // element 32 * g + j to byte g of word[j]
#pragma unroll
    for (u32 j = 0; j < 32; j += 4) {
#pragma unroll
        for (u32 g = 0; g < 4; g++) word[j + g] = in[8 * g + j / 4];
        transpose_4x4(word[j], word[j + 1], word[j + 2], word[j + 3]);
    }
    transpose_32x32(word);
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        uint4 out;
        out.x = word[k]; out.y = word[8 + k]; out.z = word[16 + k]; out.w = word[24 + k];
        *(uint4*)(target + k * row + 16 * group) = out;
    }
}

// Typesize 2: 64 elements, 8 bytes of each of 16 planes.
GZ_INLINE void group_2(const u8* source, u8* target, u64 row, u64 group, const u8* last) {
    u32 word[32], in[32];
    load_words(source + 128 * group, in, 32, source, last);
    // element 32 * g + j to half g of word[j]
#pragma unroll
    for (u32 j = 0; j < 32; j += 2) {
        word[j] = __byte_perm(in[j / 2], in[16 + j / 2], 0x5410);
        word[j + 1] = __byte_perm(in[j / 2], in[16 + j / 2], 0x7632);
    }
    transpose_32x32(word);
#pragma unroll
    for (u32 k = 0; k < 16; k++) {
        uint2 out;
        out.x = word[k]; out.y = word[16 + k];
        *(uint2*)(target + k * row + 8 * group) = out;
    }
}

// Typesize 4: 32 elements, 4 bytes of each of 32 planes.
GZ_INLINE void group_4(const u8* source, u8* target, u64 row, u64 group, const u8* last) {
    u32 word[32];
    load_words(source + 128 * group, word, 32, source, last);
    transpose_32x32(word);
#pragma unroll
    for (u32 k = 0; k < 32; k++) *(u32*)(target + k * row + 4 * group) = word[k];
}

// Typesize 8 and 16: 32 elements, 4 bytes of each of 64 planes, one half of a 16-byte element
// after the other.
template <u32 TYPESIZE>
GZ_INLINE void group_8(const u8* source, u8* target, u64 row, u64 group, const u8* last) {
#pragma unroll 1
    for (u32 half = 0; half < TYPESIZE / 8; half++) {
        u32 low[32], high[32];
        const u8* at = source + 32 * TYPESIZE * group + 8 * half;
        if (TYPESIZE == 8) {
#pragma unroll
            for (u32 j = 0; j < 32; j += 2) {
                const uint4 in = load_16(at + 8 * j, source, last);
                low[j] = in.x; high[j] = in.y; low[j + 1] = in.z; high[j + 1] = in.w;
            }
        } else {
#pragma unroll
            for (u32 j = 0; j < 32; j++) {
                low[j] = load_u32(at + TYPESIZE * j, source, last);
                high[j] = load_u32(at + TYPESIZE * j + 4, source, last);
            }
        }
        transpose_32x32(low);
        transpose_32x32(high);
#pragma unroll
        for (u32 k = 0; k < 32; k++) {
            *(u32*)(target + (64 * half + k) * row + 4 * group) = low[k];
            *(u32*)(target + (64 * half + 32 + k) * row + 4 * group) = high[k];
        }
    }
}

// Eight elements, one byte of each plane; any typesize, any alignment.
GZ_INLINE void group_any(const u8* source, u8* target, u64 row, u64 group, u32 typesize) {
    for (u32 b = 0; b < typesize; b++) {
        u64 bits = 0;
        for (u32 i = 0; i < 8; i++)
            bits |= (u64)source[(8 * group + i) * typesize + b] << (8 * i);
        bits = transpose_8x8(bits);
        for (u32 k = 0; k < 8; k++)
            target[(8 * b + k) * row + group] = (u8)(bits >> (8 * k));
    }
}

// TYPESIZE 0 stands for any other.
template <u32 TYPESIZE>
GZ_INLINE void bit_shuffle(const u64* sources, const u64* targets, const u64* sizes,
                             const u32* first_tile, u32 count, u32 any) {
    const u32 typesize = TYPESIZE ? TYPESIZE : any;
    // elements of a thread, and bytes that it writes of each plane
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
        if (TYPESIZE && aligned(target, width) && row % width == 0) {
            grouped = start + (stop - start) / together * together;
            for (u64 g = start / together + threadIdx.x; g < grouped / together;
                 g += blockDim.x) {
                if constexpr (TYPESIZE == 1) group_1(source, target, row, g, source + size);
                if constexpr (TYPESIZE == 2) group_2(source, target, row, g, source + size);
                if constexpr (TYPESIZE == 4) group_4(source, target, row, g, source + size);
                if constexpr (TYPESIZE >= 8) group_8<TYPESIZE>(source, target, row, g, source + size);
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
bit_shuffle_1(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_shuffle<1>(source, target, size, first_tile, count, 1);
}

extern "C" __global__ void __launch_bounds__(128)
bit_shuffle_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_shuffle<2>(source, target, size, first_tile, count, 2);
}

extern "C" __global__ void __launch_bounds__(128)
bit_shuffle_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_shuffle<4>(source, target, size, first_tile, count, 4);
}

extern "C" __global__ void __launch_bounds__(128)
bit_shuffle_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                u32 count) {
    bit_shuffle<8>(source, target, size, first_tile, count, 8);
}

extern "C" __global__ void __launch_bounds__(128)
bit_shuffle_16(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                 u32 count) {
    bit_shuffle<16>(source, target, size, first_tile, count, 16);
}

extern "C" __global__ void __launch_bounds__(128)
bit_shuffle_any(const u64* source, const u64* target, const u64* size, const u32* first_tile,
                  u32 count, u32 typesize) {
    bit_shuffle<0>(source, target, size, first_tile, count, typesize);
}
