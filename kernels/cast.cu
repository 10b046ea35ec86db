// cast: numbers of one type to another: astype, and cast_value with its rules.
//
// layout     size: elements of each stream; types as in numbers.cuh. rounding: 0 nearest-even,
//            1 towards-zero, 2 towards-positive, 3 towards-negative, 4 nearest-away. range: what
//            the target cannot hold is 0 an error, 1 clamped (floats: infinite), 2 wrapped
//            (floats: infinite). An element equal to map_from[k] (as numbers; NaN is NaN)
//            becomes map_to[k], before all else; both are bits of their types. status[s], 0
//            before the launch, is set to STATUS_OUT_OF_RANGE; NaN and infinities to integers
//            always are that. first_tile: prefix sum of ceil(size / 4096)
//            astype is rounding 1 to integers and 0 to floats, with range 2, and 3 for floats to
//            integers: what is out of range, and so up to the processor, is as on x86-64
// alignment  elements are aligned to their types
// limits     complex numbers and elements of other types are not for it; fewer than 2^32 tiles
// reference  cast, cast_value
// bytes      reads and writes an element each, 0.47 ms per GB of both together on an H200; about
//            80 instructions an element: twice that for 4 bytes to 4
#include "numbers.cuh"

GZ_INLINE bool same_number(u64 a, u64 b, u32 kind) {
    if (a == b) return true;
    if (!is_float(kind)) return false;
    const Number x = unpacked(a, kind), y = unpacked(b, kind);
    if (x.special == 2 && y.special == 2) return true;
    return !x.special && !y.special && x.mantissa == 0 && y.mantissa == 0;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
cast(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile, u32 count,
     u32 from, u32 to, u32 rounding, u32 range, const u64* map_from, const u64* map_to,
     u32 mapped, u32* status) {
    const u32 width = width_of(from), target_width = width_of(to);
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        u32 verdict = STATUS_OK;
#pragma unroll 2
        for (u64 i = start + threadIdx.x; i < stop; i += blockDim.x) {
            const u64 bits = load_bits(source, i, width);
            u32 k = 0;
            while (k < mapped && !same_number(bits, map_from[k], from)) k++;
            const u64 out = k < mapped ? map_to[k]
                                       : converted(unpacked(bits, from), to, rounding, range,
                                                   verdict);
            store_bits(target, i, target_width, out);
        }
        if (verdict != STATUS_OK) atomicMax(&status[tile.stream], verdict);
    }
}
