// Checksums of two sums, of words and of words times their distance from the end: the common
// part of adler32.cu and fletcher32.cu.
#pragma once
#include "gpuzarr.cuh"

// Sum over a block, for all its threads.
GZ_INLINE u64 block_sum(u64 value, u64* found) {
    for (u32 o = 16; o; o /= 2) value += __shfl_xor_sync(GZ_ALL_LANES, value, o);
    if (threadIdx.x % 32 == 0) found[threadIdx.x / 32] = value;
    __syncthreads();
    u64 sum = 0;
    for (u32 w = 0; w < GZ_THREADS / 32; w++) sum += found[w];
    __syncthreads();
    return sum;
}

// Words of WIDTH bytes, big-endian; a last byte alone is the upper half of a word.
template <u32 WIDTH>
GZ_INLINE void sums_of_tiles(const u64* sources, const u64* sizes, const u32* first_tile,
                             u32 count, u64* sums, u64* found) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        const u64 size = sizes[tile.stream], start = (u64)tile.index * GZ_TILE;
        const u8 *first = source + start, *last = source + size;
        const u32 bytes = (u32)lesser(size - start, (u64)GZ_TILE);
        const u32 words = (bytes + WIDTH - 1) / WIDTH, whole = bytes & ~15u;
        u64 sum = 0, weighted = 0;
        for (u32 b = 16 * threadIdx.x; b < whole; b += 16 * GZ_THREADS) {
            const uint4 in = load_16(first + b, source, last);
            const u32 four[4] = {in.x, in.y, in.z, in.w};
            u32 here = 0, distances = 0;      // of the word that stands at b
#pragma unroll
            for (u32 k = 0; k < 16; k += WIDTH) {
                const u32 part = four[k / 4] >> (8 * (k % 4));
                const u32 value = WIDTH == 1 ? part & 255 : (part & 255) << 8 | (part >> 8 & 255);
                here += value;
                distances += k / WIDTH * value;
            }
            sum += here;
            weighted += (u64)(words - b / WIDTH) * here - distances;
        }
        if (threadIdx.x == 0)
            for (u32 b = whole; b < bytes; b += WIDTH) {
                u32 value = first[b];
                if (WIDTH == 2) value = value << 8 | (b + 1 < bytes ? first[b + 1] : 0);
                sum += value;
                weighted += (u64)(words - b / WIDTH) * value;
            }
        sum = block_sum(sum, found);
        weighted = block_sum(weighted, found);
        if (threadIdx.x == 0) {
            sums[2 * (u64)(tile.next - 1)] = sum;
            sums[2 * (u64)(tile.next - 1) + 1] = weighted;
        }
    }
}

struct Sums {
    u64 sum, weighted;                // modulo MODULUS
    bool any;                         // whether a word is not 0
};

// The sums of one stream, by a warp.
template <u32 WIDTH, u32 MODULUS>
GZ_INLINE Sums sums_of_stream(u64 size, const u32* first_tile, u32 stream, const u64* sums) {
    const u32 lane = threadIdx.x % 32, first = first_tile[stream];
    const u32 tiles = first_tile[stream + 1] - first;
    Sums all = {0, 0, false};
    for (u32 t = lane; t < tiles; t += 32) {
        const u64 end = lesser(size, (u64)(t + 1) * GZ_TILE);
        const u64 behind = (size - end + WIDTH - 1) / WIDTH % MODULUS;
        const u64 sum = sums[2 * (u64)(first + t)], weighted = sums[2 * (u64)(first + t) + 1];
        all.any |= sum != 0;
        all.weighted = (all.weighted + weighted % MODULUS + sum % MODULUS * behind) % MODULUS;
        all.sum = (all.sum + sum) % MODULUS;
    }
    for (u32 o = 16; o; o /= 2) {
        all.sum += __shfl_xor_sync(GZ_ALL_LANES, all.sum, o);
        all.weighted += __shfl_xor_sync(GZ_ALL_LANES, all.weighted, o);
    }
    all.any = __any_sync(GZ_ALL_LANES, all.any);
    return all;
}
