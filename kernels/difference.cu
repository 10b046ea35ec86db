// difference: the first number of each stream and the differences of neighbours: delta encodes.
//
// layout     difference_1, _2, _4, _8: integers of that many bytes to others as wide, which wrap;
//            size in bytes, first_tile: prefix sum of ceil(size / 16384). difference: numbers of
//            any types (numbers.cuh), subtracted in that of the source (integers wrap, 2-byte
//            floats are rounded once) and converted as NumPy's astype does on x86-64; size in
//            elements, first_tile: prefix sum of ceil(size / 4096). With `first_fits`, of integers,
//            status[s], 0 before the launch, is STATUS_OUT_OF_RANGE where the target cannot hold
//            the first number, which NumPy assigns by itself and refuses in signed targets
// alignment  any for difference_1 to _8, 16-byte accesses where addresses are multiples of 16;
//            elements are aligned to their types for difference
// limits     not for bool and complex numbers; fewer than 2^32 tiles
// reference  difference
// bytes      reads and writes an element each: 0.47 ms per GB on an H200
#include "numbers.cuh"

// x - y of the elements of WIDTH bytes of a word.
template <u32 WIDTH>
GZ_INLINE u32 less(u32 x, u32 y) {
    if constexpr (WIDTH == 4) return x - y;
    const u32 top = WIDTH == 1 ? 0x80808080u : 0x80008000u;  // borrows stop at these bits
    return ((x | top) - (y & ~top)) ^ ((x ^ ~y) & top);
}

// A word of elements from the element before it on, given the word before.
template <u32 WIDTH>
GZ_INLINE u32 earlier(u32 before, u32 word) {
    if constexpr (WIDTH == 4) return before;
    return __funnelshift_l(before, word, 8 * WIDTH);
}

template <u32 WIDTH>
GZ_INLINE uint4 less(uint4 in, const u8* at, const u8* first, const u8* last) {
    uint4 out;
    if constexpr (WIDTH == 8) {
        u64 before = 0;
        if (at > first) before = load_u32(at - 8, first, last)
                                 | (u64)load_u32(at - 4, first, last) << 32;
        const u64 low = in.x | (u64)in.y << 32, high = in.z | (u64)in.w << 32;
        out.x = (u32)(low - before); out.y = (u32)((low - before) >> 32);
        out.z = (u32)(high - low); out.w = (u32)((high - low) >> 32);
    } else {
        const u32 before = at > first ? load_u32(at - 4, first, last) : 0;
        out.x = less<WIDTH>(in.x, earlier<WIDTH>(before, in.x));
        out.y = less<WIDTH>(in.y, earlier<WIDTH>(in.x, in.y));
        out.z = less<WIDTH>(in.z, earlier<WIDTH>(in.y, in.z));
        out.w = less<WIDTH>(in.w, earlier<WIDTH>(in.z, in.w));
    }
    return out;
}

template <u32 WIDTH>
GZ_INLINE void differences(const u64* sources, const u64* targets, const u64* sizes,
                           const u32* first_tile, u32 count) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], start = (u64)tile.index * GZ_TILE;
        const u64 stop = lesser(size, start + GZ_TILE), whole = start + ((stop - start) & ~15ull);
#pragma unroll 2
        for (u64 b = start + 16 * threadIdx.x; b < whole; b += 16 * GZ_THREADS) {
            const uint4 in = load_16(source + b, source, source + size);
            store_16(target + b, less<WIDTH>(in, source + b, source, source + size));
        }
        const u64 b = whole + WIDTH * threadIdx.x;
        if (b < stop) {
            u64 x = 0, y = 0;
            for (u32 k = 0; k < WIDTH; k++) {
                x |= (u64)source[b + k] << (8 * k);
                if (b) y |= (u64)source[b - WIDTH + k] << (8 * k);
            }
            for (u32 k = 0; k < WIDTH; k++) target[b + k] = (u8)((x - y) >> (8 * k));
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
difference_1(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    differences<1>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
difference_2(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    differences<2>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
difference_4(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    differences<4>(source, target, size, first_tile, count);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
difference_8(const u64* source, const u64* target, const u64* size, const u32* first_tile,
             u32 count) {
    differences<8>(source, target, size, first_tile, count);
}

// x - y, two numbers of one type.
GZ_INLINE u64 subtracted(u64 x, u64 y, u32 kind) {
    if (kind == KIND_F64) {
        const double a = double_of(x), b = double_of(y);
        return bits_of(settled(a - b, a, b));
    }
    if (!is_float(kind)) return wrapped(x - y, kind);
    const bool is_half = kind == KIND_F16;
    const float a = is_half ? float_of_half((u32)x) : single_of((u32)x);
    const float b = is_half ? float_of_half((u32)y) : single_of((u32)y);
    const float result = settled(a - b, a, b);
    return is_half ? half_of(result) : bits_of(result);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
difference(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
           u32 count, u32 from, u32 to, u32 first_fits, u32* status) {
    const u32 width = width_of(from), target_width = width_of(to);
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        for (u64 i = start + threadIdx.x; i < stop; i += blockDim.x) {
            u64 bits = load_bits(source, i, width);
            if (i) {
                bits = subtracted(bits, load_bits(source, i - 1, width), from);
            } else if (first_fits) {
                u32 verdict = STATUS_OK;
                integer_of(unpacked(bits, from), to, TOWARDS_ZERO, FAIL, verdict);
                status[tile.stream] = verdict;
            }
            store_bits(target, i, target_width, as_type(bits, from, to));
        }
    }
}
