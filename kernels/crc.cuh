// CRCs of 32 bits, reflected: the common part of crc32.cu and crc32c.cu.
//
// A stream is a polynomial over GF(2). Each thread takes 128 bytes, and what it finds is
// multiplied by the power of x that the bytes behind stand for. Tiles are counted from the end of
// a stream, since zeros in front change nothing: so these powers are constants.
#pragma once
#include "gpuzarr.cuh"

#define CRC_SLICE 128u
#define CRC_TILE (CRC_SLICE * GZ_THREADS)

template <u32 POLYNOMIAL>
struct Crc {
    // Product of two polynomials modulo POLYNOMIAL; x^0 is the highest bit.
    static constexpr __host__ __device__ u32 product(u32 a, u32 b) {
        u32 result = 0;
        for (u32 i = 0; i < 32; i++) {
            result ^= (a >> (31 - i) & 1) ? b : 0;
            b = b >> 1 ^ ((b & 1) ? POLYNOMIAL : 0);
        }
        return result;
    }

    struct Tables {
        u32 bytes[4][256];            // the effect of a byte that 0 to 3 others follow
        u32 slices[GZ_THREADS];       // x^(8 * CRC_SLICE * i)
        u32 tiles[33];                // x^(8 * CRC_TILE * i)
        u32 squares[64];              // x^(8 * 2^i)
    };

    static constexpr Tables tables() {
        Tables t = {};
        for (u32 i = 0; i < 256; i++) {
            u32 value = i;
            for (u32 k = 0; k < 8; k++) value = value >> 1 ^ ((value & 1) ? POLYNOMIAL : 0);
            t.bytes[0][i] = value;
        }
        for (u32 k = 1; k < 4; k++)
            for (u32 i = 0; i < 256; i++)
                t.bytes[k][i] = t.bytes[0][t.bytes[k - 1][i] & 255] ^ t.bytes[k - 1][i] >> 8;
        t.squares[0] = 0x00800000u;
        for (u32 i = 1; i < 64; i++) t.squares[i] = product(t.squares[i - 1], t.squares[i - 1]);
        t.slices[0] = t.tiles[0] = 0x80000000u;
        const u32 slice = t.squares[7], tile = t.squares[15];
        for (u32 i = 1; i < GZ_THREADS; i++) t.slices[i] = product(t.slices[i - 1], slice);
        for (u32 i = 1; i < 33; i++) t.tiles[i] = product(t.tiles[i - 1], tile);
        return t;
    }
    static_assert(CRC_SLICE == 1u << 7 && CRC_TILE == 1u << 15, "squares of x^8");

    // The remainder of each tile, from a register of zero.
    static __device__ __forceinline__ void of_tiles(const Tables& tables, const u64* sources,
                                       const u64* sizes, const u32* first_tile, u32 count,
                                       u32* remainder, u32 (*table)[256], u32* found) {
        for (u32 i = threadIdx.x; i < 1024; i += GZ_THREADS)
            table[i / 256][i % 256] = tables.bytes[i / 256][i % 256];
        const u32 behind = GZ_THREADS - 1 - threadIdx.x, power = tables.slices[behind];
        const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        __syncthreads();
        Tile tile = tiles_of_block(first_tile, count);
        while (take(tile, first_tile)) {
            const u8* source = (const u8*)sources[tile.stream];
            const u64 tiles_behind = first_tile[tile.stream + 1] - tile.next;
            const i64 stop = (i64)(sizes[tile.stream] - tiles_behind * CRC_TILE)
                             - (i64)(behind * CRC_SLICE);
            const u8* at = source + (stop > (i64)CRC_SLICE ? stop - CRC_SLICE : 0);
            const u8* end = source + (stop > 0 ? stop : 0);
            u32 crc = 0;
            for (; at < end && !aligned(at, 16); at++)
                crc = crc >> 8 ^ table[0][(crc ^ *at) & 255];
#pragma unroll 2
            for (; at + 16 <= end; at += 16) {
                const uint4 in = *(const uint4*)at;
                crc = word(table, crc ^ in.x);
                crc = word(table, crc ^ in.y);
                crc = word(table, crc ^ in.z);
                crc = word(table, crc ^ in.w);
            }
            for (; at < end; at++) crc = crc >> 8 ^ table[0][(crc ^ *at) & 255];
            crc = product(power, crc);
            for (u32 o = 16; o; o /= 2) crc ^= __shfl_xor_sync(GZ_ALL_LANES, crc, o);
            if (lane == 0) found[warp] = crc;
            __syncthreads();
            if (threadIdx.x == 0) {
                for (u32 w = 1; w < GZ_THREADS / 32; w++) crc ^= found[w];
                remainder[tile.next - 1] = crc;
            }
            __syncthreads();
        }
    }

    static __device__ __forceinline__ u32 word(const u32 (*table)[256], u32 value) {
        return table[3][value & 255] ^ table[2][value >> 8 & 255] ^ table[1][value >> 16 & 255]
               ^ table[0][value >> 24];
    }

    // A warp per stream: remainders of its tiles to its checksum.
    static __device__ __forceinline__ void of_streams(const Tables& tables, const u64* sizes,
                                         const u32* first_tile, u32 count, const u32* remainder,
                                         u32* checksum) {
        const u32 lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32);
        for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
            const u32 first = first_tile[s], tiles = first_tile[s + 1] - first;
            u32 crc = 0;              // of the tiles that lane + 32 * i others follow
            if (lane < tiles)
                for (u32 behind = lane + (tiles - 1 - lane) / 32 * 32;; behind -= 32) {
                    crc = product(tables.tiles[32], crc) ^ remainder[first + tiles - 1 - behind];
                    if (behind < 32) break;
                }
            crc = product(tables.tiles[lane], crc);
            // the register starts with ones, as if the first 4 bytes were inverted
            u32 power = sizes[s] >> lane & 1 ? tables.squares[lane] : 0x80000000u;
            if (sizes[s] >> (32 + lane) & 1) power = product(power, tables.squares[32 + lane]);
            for (u32 o = 16; o; o /= 2) {
                crc ^= __shfl_xor_sync(GZ_ALL_LANES, crc, o);
                power = product(power, __shfl_xor_sync(GZ_ALL_LANES, power, o));
            }
            if (lane == 0) checksum[s] = ~(crc ^ product(power, 0xffffffffu));
        }
    }
};
