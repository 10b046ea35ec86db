// unshuffle_place: blocks of byte planes to their elements' places in a result, in one pass.
//
// layout     A stream is a block of Blosc, or a whole chunk: size / typesize elements as in
//            unshuffle.cu, of which the first is element `first[s]` of chunk `chunk[s]`. A chunk
//            is C-ordered; its words are {target} and `axes` axes {count | magic << 32, shift,
//            start | stop << 32, target stride}: index i of an axis lands at
//            target + (i - start) * stride if start <= i < stop, and nowhere else. With `swap` the
//            bytes of each element are reversed. first_tile: prefix sum of ceil(size / 16384)
// alignment  targets and strides are multiples of the typesize; whole words of planes where
//            size / typesize is a multiple of 4 and the source 16-aligned; 16-byte stores where
//            rows are contiguous and 16-aligned
// limits     typesize 2, 4 or 8, of which size is a multiple; up to 12 axes, at least 1; fewer
//            than 2^31 elements a chunk; targets do not overlap each other or sources
// reference  unshuffle_place
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200, half of unshuffle and
//            place
#include "gpuzarr.cuh"

GZ_INLINE u32 divided(u32 value, u64 count_magic, u32 shift) {
    return (value + __umulhi(value, (u32)(count_magic >> 32))) >> shift;
}

// Where an element lands.
struct Spot {
    u8* target;                       // of the element, if it is inside
    bool inside_row;                  // on all axes but the last
    u32 index, count, start, stop;    // on the last axis
};

GZ_INLINE Spot spot_of(const u64* chunk, u32 axes, u32 element) {
    Spot spot;
    i64 offset = 0;
    spot.inside_row = true;
    for (u32 a = axes; a-- > 0;) {
        const u64* axis = chunk + 1 + 4 * a;
        const u32 quotient = divided(element, axis[0], (u32)axis[1]);
        const u32 index = element - quotient * (u32)axis[0];
        const u32 start = (u32)axis[2], stop = (u32)(axis[2] >> 32);
        offset += ((i64)index - (i64)start) * (i64)axis[3];
        if (a == axes - 1) {
            spot.index = index;
            spot.count = (u32)axis[0];
            spot.start = start;
            spot.stop = stop;
        } else {
            spot.inside_row &= index >= start && index < stop;
        }
        element = quotient;
    }
    spot.target = (u8*)(chunk[0] + (u64)offset);
    return spot;
}

template <u32 TYPESIZE>
GZ_INLINE void store_element(u8* target, u32 low, u32 high) {
    if (TYPESIZE == 2) {
        *(u16*)target = (u16)low;
    } else if (TYPESIZE == 4) {
        *(u32*)target = low;
    } else {
        const uint2 both = {low, high};
        *(uint2*)target = both;
    }
}

// The elements of a thread: 8 of 2 bytes, or 4; words in memory order.
template <u32 TYPESIZE>
GZ_INLINE void load_group(u32* word, const u8* source, u64 n, u64 element, const u8* last,
                          bool swap) {
    if constexpr (TYPESIZE == 2) {
        const u8 *low = source + (swap ? n : 0) + element, *high = source + (swap ? 0 : n) + element;
        const u32 a = load_u32(low, source, last), b = load_u32(low + 4, source, last);
        const u32 c = load_u32(high, source, last), d = load_u32(high + 4, source, last);
        word[0] = __byte_perm(a, c, 0x5140);
        word[1] = __byte_perm(a, c, 0x7362);
        word[2] = __byte_perm(b, d, 0x5140);
        word[3] = __byte_perm(b, d, 0x7362);
    } else {
        u32 plane[TYPESIZE];
#pragma unroll
        for (u32 j = 0; j < TYPESIZE; j++) {
            const u64 row = swap ? TYPESIZE - 1 - j : j;
            plane[j] = load_u32(source + row * n + element, source, last);
        }
#pragma unroll
        for (u32 q = 0; q < TYPESIZE; q += 4) {
            transpose_4x4(plane[q], plane[q + 1], plane[q + 2], plane[q + 3]);
#pragma unroll
            for (u32 k = 0; k < 4; k++) word[TYPESIZE / 4 * k + q / 4] = plane[q + k];
        }
    }
}

template <u32 TYPESIZE>
GZ_INLINE void unshuffle_place(const u64* sources, const u64* sizes, const u32* chunk_of,
                               const u32* first, const u32* first_tile, u32 count,
                               const u64* chunks, u32 axes, u32 swap) {
    const u32 group = TYPESIZE == 2 ? 8 : 4, words = group * TYPESIZE / 4;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        const u64* chunk = chunks + (u64)chunk_of[tile.stream] * (1 + 4 * axes);
        const i64 stride = (i64)chunk[4 * axes];
        const u64 size = sizes[tile.stream], n = size / TYPESIZE;
        const u64 start = (u64)tile.index * (GZ_TILE / TYPESIZE);
        const u64 stop = lesser(n, start + GZ_TILE / TYPESIZE);
        const u32 origin = first[tile.stream];
        for (u64 i = start + threadIdx.x * group; i < stop; i += blockDim.x * group) {
            const Spot spot = spot_of(chunk, axes, origin + (u32)i);
            if (i + group <= stop && spot.index + group <= spot.count) {
                if (!spot.inside_row) continue;
                u32 word[words];
                load_group<TYPESIZE>(word, source, n, i, source + size, swap);
                if (spot.index >= spot.start && spot.index + group <= spot.stop
                    && stride == TYPESIZE && aligned(spot.target, 4)) {
#pragma unroll
                    for (u32 w = 0; w < words; w += 4) {
                        const uint4 out = {word[w], word[w + 1], word[w + 2], word[w + 3]};
                        store_16(spot.target + 4 * w, out);
                    }
                    continue;
                }
#pragma unroll
                for (u32 k = 0; k < group; k++) {
                    const u32 at = spot.index + k;
                    if (at < spot.start || at >= spot.stop) continue;
                    const u32 low = word[k * TYPESIZE / 4] >> (8 * (k * TYPESIZE % 4));
                    store_element<TYPESIZE>(spot.target + k * stride, low,
                                            word[TYPESIZE == 8 ? 2 * k + 1 : 0]);
                }
                continue;
            }
            for (u64 e = i; e < i + group && e < stop; e++) {   // across the end of a row
                const Spot own = spot_of(chunk, axes, origin + (u32)e);
                if (!own.inside_row || own.index < own.start || own.index >= own.stop) continue;
                u64 bits = 0;
                for (u32 j = 0; j < TYPESIZE; j++)
                    bits |= (u64)source[j * n + e] << (8 * (swap ? TYPESIZE - 1 - j : j));
                store_element<TYPESIZE>(own.target, (u32)bits, (u32)(bits >> 32));
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS, 4)
unshuffle_place_2(const u64* source, const u64* size, const u32* chunk, const u32* first,
                  const u32* first_tile, u32 count, const u64* chunks, u32 axes, u32 swap) {
    unshuffle_place<2>(source, size, chunk, first, first_tile, count, chunks, axes, swap);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS, 4)
unshuffle_place_4(const u64* source, const u64* size, const u32* chunk, const u32* first,
                  const u32* first_tile, u32 count, const u64* chunks, u32 axes, u32 swap) {
    unshuffle_place<4>(source, size, chunk, first, first_tile, count, chunks, axes, swap);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS, 4)
unshuffle_place_8(const u64* source, const u64* size, const u32* chunk, const u32* first,
                  const u32* first_tile, u32 count, const u64* chunks, u32 axes, u32 swap) {
    unshuffle_place<8>(source, size, chunk, first, first_tile, count, chunks, axes, swap);
}
