// unshuffle: byte planes to elements, for each stream (a block of Blosc, or a whole chunk).
//
// layout     n = size / typesize elements; byte j of element i stands at source[j * n + i]. The
//            size % typesize bytes behind stay where they are: Blosc's rule for a block and
//            HDF5's for a chunk. A stream shorter than one element is copied.
//            first_tile: prefix sum of ceil(size / tile) with tile = 16384 bytes in
//            unshuffle_1, _2, _4, _8, _16, and typesize * max(16, 16384 / typesize & ~15) in
//            unshuffle_any
// alignment  any; whole words where n is a multiple of 4 and source and target are 16-aligned
// limits     typesize of unshuffle_any up to 1024; fewer than 2^32 tiles; target and source
//            do not overlap
// reference  unshuffle
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200 (unshuffle_any passes
//            through shared memory byte by byte: about 1 ms)
#include "gpuzarr.cuh"

// Typesize 4, 8 or 16: a thread takes 4 elements, which are a word of each plane.
template <u32 TYPESIZE>
GZ_INLINE void elements_by_4(const u8* source, u8* target, u64 n, u64 element, u64 size) {
    const u32 quads = TYPESIZE / 4;
    u32 word[TYPESIZE];
#pragma unroll
    for (u32 j = 0; j < TYPESIZE; j++)
        word[j] = load_u32(source + j * n + element, source, source + size);
#pragma unroll
    for (u32 q = 0; q < quads; q++)
        transpose_4x4(word[4 * q], word[4 * q + 1], word[4 * q + 2], word[4 * q + 3]);
    // now word[4 * q + k] is quad q of element k
#pragma unroll
    for (u32 w = 0; w < TYPESIZE; w += 4) {
        uint4 out;
        out.x = word[4 * (w % quads) + w / quads];
        out.y = word[4 * ((w + 1) % quads) + (w + 1) / quads];
        out.z = word[4 * ((w + 2) % quads) + (w + 2) / quads];
        out.w = word[4 * ((w + 3) % quads) + (w + 3) / quads];
        store_16(target + element * TYPESIZE + 4 * w, out);
    }
}

// Typesize 2: a thread takes 8 elements, which are two words of each plane.
GZ_INLINE void elements_by_8(const u8* source, u8* target, u64 n, u64 element, u64 size) {
    const u8 *low = source + element, *high = low + n, *last = source + size;
    const u32 a = load_u32(low, source, last), b = load_u32(low + 4, source, last);
    const u32 c = load_u32(high, source, last), d = load_u32(high + 4, source, last);
    uint4 out;
    out.x = __byte_perm(a, c, 0x5140);
    out.y = __byte_perm(a, c, 0x7362);
    out.z = __byte_perm(b, d, 0x5140);
    out.w = __byte_perm(b, d, 0x7362);
    store_16(target + 2 * element, out);
}

template <u32 TYPESIZE>
GZ_INLINE void unshuffle(const u64* sources, const u64* targets, const u64* sizes,
                         const u32* first_tile, u32 count) {
    const u32 group = TYPESIZE == 2 ? 8 : 4;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], n = size / TYPESIZE;
        const u64 start = lesser(n, (u64)tile.index * (GZ_TILE / TYPESIZE));
        const u64 stop = lesser(n, start + GZ_TILE / TYPESIZE);
        const u64 grouped = start + (stop - start) / group * group;
#pragma unroll (TYPESIZE < 8 ? 4 : 2)
        for (u64 i = start + threadIdx.x * group; i < grouped; i += blockDim.x * group) {
            if constexpr (TYPESIZE == 2) elements_by_8(source, target, n, i, size);
            else elements_by_4<TYPESIZE>(source, target, n, i, size);
        }
        for (u64 b = grouped * TYPESIZE + threadIdx.x; b < stop * TYPESIZE; b += blockDim.x)
            target[b] = source[b % TYPESIZE * n + b / TYPESIZE];
        if (is_last(tile, first_tile))
            for (u64 b = n * TYPESIZE + threadIdx.x; b < size; b += blockDim.x)
                target[b] = source[b];
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_1(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64 bytes = size[tile.stream], start = (u64)tile.index * GZ_TILE;
        copy_bytes((const u8*)source[tile.stream], (u8*)target[tile.stream], start,
                   lesser(bytes, start + GZ_TILE), bytes);
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    unshuffle<2>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    unshuffle<4>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
            u32 count) {
    unshuffle<8>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_16(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    unshuffle<16>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
unshuffle_any(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
              u32 count, u32 typesize) {
    __shared__ uint4 shared[GZ_TILE / 16];
    u8* staged = (u8*)shared;
    const u32 fit = GZ_TILE / typesize & ~15u, per_tile = fit ? fit : 16;
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], n = size / typesize;
        const u64 start = lesser(n, (u64)tile.index * per_tile);
        const u32 elements = (u32)lesser(n - start, (u64)per_tile);
        for (u32 j = warp; j < typesize; j += blockDim.x / 32) {
            const u8* plane = source + j * n + start;
            for (u32 i = 4 * lane; i < elements; i += 128) {
                if (i + 4 <= elements) {
                    const u32 word = load_u32(plane + i, source, source + size);
                    for (u32 k = 0; k < 4; k++)
                        staged[(i + k) * typesize + j] = (u8)(word >> (8 * k));
                } else {
                    for (u32 k = i; k < elements; k++) staged[k * typesize + j] = plane[k];
                }
            }
        }
        __syncthreads();
        u8* out = target + start * typesize;
        const u32 bytes = elements * typesize;
        for (u32 w = threadIdx.x; w < bytes / 16; w += blockDim.x)
            store_16(out + 16 * w, shared[w]);
        for (u32 b = (bytes & ~15u) + threadIdx.x; b < bytes; b += blockDim.x)
            out[b] = staged[b];
        if (is_last(tile, first_tile))
            for (u64 b = n * typesize + threadIdx.x; b < size; b += blockDim.x)
                target[b] = source[b];
        __syncthreads();
    }
}
