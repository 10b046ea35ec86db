// byte_swap: the other byte order, of elements of one width or of the fields of structs.
//
// layout     byte_swap_2, _4, _8, _16: each `width` bytes of a stream are reversed; the
//            size % width bytes behind are copied. first_tile: prefix sum of ceil(size / 16384).
//            byte_swap_struct: byte order[j] of each item becomes its byte j; the
//            size % itemsize bytes behind are copied. first_tile: prefix sum of
//            ceil(size / tile) with tile = itemsize * max(1, 16384 / itemsize)
// alignment  any; 16-byte accesses where both are 16-aligned, and then byte_swap_2 to _16 may
//            work in place; else target and source do not overlap
// limits     itemsize up to 65535 and not 0, each order[j] < itemsize; fewer than 2^32 tiles
// reference  byte_swap, permute
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200 (byte_swap_struct goes
//            byte by byte: about 2 ms)
#include "gpuzarr.cuh"

template <u32 WIDTH>
GZ_INLINE uint4 swapped(uint4 in) {
    uint4 out;
    if (WIDTH == 2) {
        out.x = __byte_perm(in.x, 0, 0x2301);
        out.y = __byte_perm(in.y, 0, 0x2301);
        out.z = __byte_perm(in.z, 0, 0x2301);
        out.w = __byte_perm(in.w, 0, 0x2301);
        return out;
    }
    in.x = __byte_perm(in.x, 0, 0x0123);
    in.y = __byte_perm(in.y, 0, 0x0123);
    in.z = __byte_perm(in.z, 0, 0x0123);
    in.w = __byte_perm(in.w, 0, 0x0123);
    if (WIDTH == 4) return in;
    if (WIDTH == 8) {
        out.x = in.y; out.y = in.x; out.z = in.w; out.w = in.z;
    } else {
        out.x = in.w; out.y = in.z; out.z = in.y; out.w = in.x;
    }
    return out;
}

template <u32 WIDTH>
GZ_INLINE void byte_swap(const u64* sources, const u64* targets, const u64* sizes,
                         const u32* first_tile, u32 count) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], start = (u64)tile.index * GZ_TILE;
        const u64 stop = lesser(size, start + GZ_TILE), whole = stop / 16 * 16;
#pragma unroll 4
        for (u64 b = start + 16 * threadIdx.x; b < whole; b += 16 * blockDim.x)
            store_16(target + b, swapped<WIDTH>(load_16(source + b, source, source + size)));
        for (u64 b = whole + WIDTH * threadIdx.x; b < stop; b += WIDTH * blockDim.x) {
            const bool whole_element = b + WIDTH <= stop;
            for (u32 j = 0; j < WIDTH / 2; j++) {
                if (whole_element) {
                    const u8 low = source[b + j], high = source[b + WIDTH - 1 - j];
                    target[b + j] = high;
                    target[b + WIDTH - 1 - j] = low;
                }
            }
            if (!whole_element)
                for (u64 j = b; j < stop; j++) target[j] = source[j];
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
byte_swap_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    byte_swap<2>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
byte_swap_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    byte_swap<4>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
byte_swap_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    byte_swap<8>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
byte_swap_16(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    byte_swap<16>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
byte_swap_struct(const u64* sources, const u64* targets, const u64* sizes,
                 const u32* first_tile, u32 count, const u16* order, u32 itemsize) {
    const u32 items = itemsize < GZ_TILE ? GZ_TILE / itemsize : 1, per_tile = items * itemsize;
    const u32 first = threadIdx.x % itemsize, step = blockDim.x % itemsize;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], whole = size - size % itemsize;
        const u64 start = (u64)tile.index * per_tile, stop = lesser(size, start + per_tile);
        u32 j = first;                // of byte b within its item, kept without a division
        for (u64 b = start + threadIdx.x; b < stop; b += blockDim.x) {
            target[b] = b < whole ? source[b - j + order[j]] : source[b];
            j += step;
            if (j >= itemsize) j -= itemsize;
        }
    }
}
