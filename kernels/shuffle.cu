// shuffle: elements to byte planes, for each stream: what unshuffle undoes.
//
// layout     n = size / typesize elements; byte j of element i goes to target[j * n + i]. The
//            size % typesize bytes behind stay where they are. first_tile: as in unshuffle.cu
// alignment  any; whole words where n is a multiple of 4 and source and target are 16-aligned
// limits     typesize of shuffle_any up to 1024; fewer than 2^32 tiles; target and source
//            do not overlap
// reference  shuffle
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200 (shuffle_any passes
//            through shared memory byte by byte: about 1 ms)
#include "gpuzarr.cuh"

// Typesize 4, 8 or 16: a thread takes 4 elements, which are a word of each plane.
template <u32 TYPESIZE>
GZ_INLINE void planes_by_4(const u8* source, u8* target, u64 n, u64 element, u64 size) {
    const u32 quads = TYPESIZE / 4;
    u32 word[TYPESIZE];
#pragma unroll
    for (u32 w = 0; w < TYPESIZE; w += 4) {
        const uint4 in = load_16(source + element * TYPESIZE + 4 * w, source, source + size);
        word[4 * (w % quads) + w / quads] = in.x;
        word[4 * ((w + 1) % quads) + (w + 1) / quads] = in.y;
        word[4 * ((w + 2) % quads) + (w + 2) / quads] = in.z;
        word[4 * ((w + 3) % quads) + (w + 3) / quads] = in.w;
    }
#pragma unroll
    for (u32 q = 0; q < quads; q++)
        transpose_4x4(word[4 * q], word[4 * q + 1], word[4 * q + 2], word[4 * q + 3]);
#pragma unroll
    for (u32 j = 0; j < TYPESIZE; j++) store_u32(target + j * n + element, word[j]);
}

// Typesize 2: a thread takes 8 elements, which are two words of each plane.
GZ_INLINE void planes_by_8(const u8* source, u8* target, u64 n, u64 element, u64 size) {
    const uint4 in = load_16(source + 2 * element, source, source + size);
    store_u32(target + element, __byte_perm(in.x, in.y, 0x6420));
    store_u32(target + element + 4, __byte_perm(in.z, in.w, 0x6420));
    store_u32(target + n + element, __byte_perm(in.x, in.y, 0x7531));
    store_u32(target + n + element + 4, __byte_perm(in.z, in.w, 0x7531));
}

template <u32 TYPESIZE>
GZ_INLINE void shuffle(const u64* sources, const u64* targets, const u64* sizes,
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
            if constexpr (TYPESIZE == 2) planes_by_8(source, target, n, i, size);
            else planes_by_4<TYPESIZE>(source, target, n, i, size);
        }
        for (u64 b = grouped * TYPESIZE + threadIdx.x; b < stop * TYPESIZE; b += blockDim.x)
            target[b % TYPESIZE * n + b / TYPESIZE] = source[b];
        if (is_last(tile, first_tile))
            for (u64 b = n * TYPESIZE + threadIdx.x; b < size; b += blockDim.x)
                target[b] = source[b];
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_1(const u64* source, const u64* target, const u64* size, const u32* first_tile,
          u32 count) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64 bytes = size[tile.stream], start = (u64)tile.index * GZ_TILE;
        copy_bytes((const u8*)source[tile.stream], (u8*)target[tile.stream], start,
                   lesser(bytes, start + GZ_TILE), bytes);
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
          u32 count) {
    shuffle<2>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
          u32 count) {
    shuffle<4>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
          u32 count) {
    shuffle<8>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_16(const u64* source, const u64* target, const u64* size, const u32* first_tile,
           u32 count) {
    shuffle<16>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
shuffle_any(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
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
        const u8* in = source + start * typesize;
        const u32 bytes = elements * typesize;
        for (u32 w = threadIdx.x; w < bytes / 16; w += blockDim.x)
            shared[w] = load_16(in + 16 * w, source, source + size);
        for (u32 b = (bytes & ~15u) + threadIdx.x; b < bytes; b += blockDim.x) staged[b] = in[b];
        __syncthreads();
        for (u32 j = warp; j < typesize; j += blockDim.x / 32) {
            u8* plane = target + j * n + start;
            for (u32 i = 4 * lane; i < elements; i += 128) {
                if (i + 4 <= elements) {
                    u32 word = 0;
                    for (u32 k = 0; k < 4; k++)
                        word |= (u32)staged[(i + k) * typesize + j] << (8 * k);
                    store_u32(plane + i, word);
                } else {
                    for (u32 k = i; k < elements; k++) plane[k] = staged[k * typesize + j];
                }
            }
        }
        if (is_last(tile, first_tile))
            for (u64 b = n * typesize + threadIdx.x; b < size; b += blockDim.x)
                target[b] = source[b];
        __syncthreads();
    }
}
