// xxh64: the lower 32 bits of XXH64, seed 0, of each stream: what ends a zstd frame (RFC 8878).
//
// layout     size in bytes. A warp per stream: its lanes load 8 bytes each, which are one of the
//            four accumulators' input, and all lanes follow the accumulator lane % 4
// alignment  any; 8-byte loads where the source is 8-aligned
// limits     a multiple of 32 threads a block
// reference  xxh64
// bytes      reads 1 per byte. One step of 32 bytes depends on the one before: about 2 GB/s a
//            stream, bound by memory (0.24 ms per GB on an H200) from some 2,000 streams on
#include "gpuzarr.cuh"

#define PRIME_1 0x9e3779b185ebca87ull
#define PRIME_2 0xc2b2ae3d27d4eb4full
#define PRIME_3 0x165667b19e3779f9ull
#define PRIME_4 0x85ebca77c2b2ae63ull
#define PRIME_5 0x27d4eb2f165667c5ull

#define ROWS 4u                       // 8 bytes of each lane, loaded ahead
#define BLOCK (ROWS * 256u)

GZ_INLINE u64 rotated(u64 x, u32 bits) { return x << bits | x >> (64 - bits); }

GZ_INLINE u64 merged(u64 hash, u64 accumulator) {
    hash ^= rotated(accumulator * PRIME_2, 31) * PRIME_1;
    return hash * PRIME_1 + PRIME_4;
}

GZ_INLINE u64 load_u64(const u8* at, const u8* first, const u8* last) {
    if (aligned(at, 8)) return *(const u64*)at;
    return load_u32(at, first, last) | (u64)load_u32(at + 4, first, last) << 32;
}

// A lane's words of a block, times PRIME_2; 0 behind the last whole 32 bytes.
GZ_INLINE void load_rows(u64 (&row)[ROWS], const u8* source, u64 at, u64 whole, u64 size) {
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        const u64 b = at + 256 * r + 8 * (threadIdx.x % 32);
        row[r] = b < whole ? load_u64(source + b, source, source + size) * PRIME_2 : 0;
    }
}

// The hash of what is shorter than 32 bytes added, and its bits mixed.
GZ_INLINE u64 finished(u64 hash, const u8* at, u64 left) {
    for (; left >= 8; left -= 8, at += 8) {
        hash ^= rotated(load_u64_bytes(at) * PRIME_2, 31) * PRIME_1;
        hash = rotated(hash, 27) * PRIME_1 + PRIME_4;
    }
    for (; left >= 4; left -= 4, at += 4) {
        hash ^= load_u32_bytes(at) * PRIME_1;
        hash = rotated(hash, 23) * PRIME_2 + PRIME_3;
    }
    for (; left; left--, at++) hash = rotated(hash ^ *at * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
xxh64(const u64* sources, const u64* sizes, u32 count, u32* checksum) {
    const u32 lane = threadIdx.x % 32, part = lane % 4, warps = gridDim.x * (blockDim.x / 32);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        const u8* source = (const u8*)sources[s];
        const u64 size = sizes[s], whole = size & ~31ull;
        u64 accumulator = part == 0 ? PRIME_1 + PRIME_2
                          : part == 1 ? PRIME_2
                          : part == 2 ? 0
                                      : 0 - PRIME_1;
        u64 row[ROWS], ahead[ROWS];
        load_rows(ahead, source, 0, whole, size);
        for (u64 at = 0; at < whole; at += BLOCK) {
#pragma unroll
            for (u32 r = 0; r < ROWS; r++) row[r] = ahead[r];
            load_rows(ahead, source, at + BLOCK, whole, size);
#pragma unroll
            for (u32 r = 0; r < ROWS; r++) {
#pragma unroll
                for (u32 k = 0; k < 8; k++) {
                    const u64 input = __shfl_sync(GZ_ALL_LANES, row[r], 4 * k + part);
                    if (at + 256 * r + 32 * k < whole)
                        accumulator = rotated(accumulator + input, 31) * PRIME_1;
                }
            }
        }
        u64 four[4], hash = PRIME_5;
        for (u32 k = 0; k < 4; k++) four[k] = __shfl_sync(GZ_ALL_LANES, accumulator, k);
        if (whole) {
            hash = rotated(four[0], 1) + rotated(four[1], 7) + rotated(four[2], 12)
                   + rotated(four[3], 18);
            for (u32 k = 0; k < 4; k++) hash = merged(hash, four[k]);
        }
        if (lane == 0) checksum[s] = (u32)finished(hash + size, source + whole, size - whole);
    }
}
