// offset_scale: (x - offset) * scale, as fixedscaleoffset and scale_offset encode.
//
// layout     size: elements of each stream; types as in numbers.cuh. first_tile: prefix sum of
//            ceil(size / 4096). offset_scale: floats are computed in their own type (2 bytes:
//            rounded after each step). Of integers the first `whole` of the two steps are in
//            their own type, where they wrap, by whole_offset and whole_scale, the others in
//            doubles. With `rounds` floats are rounded to whole numbers, half to even; then all
//            are converted to the target type as NumPy's astype does on x86-64.
//            offset_scale_exact: for integers in their own type; status[s], 0 before the launch,
//            is STATUS_OUT_OF_RANGE where the type is left. offset and scale are bits of the
//            type, extended
// alignment  elements are aligned to their types
// limits     fewer than 2^32 tiles
// reference  offset_scale
// bytes      reads and writes an element each, 0.47 ms per GB of both together on an H200;
//            doubles are bound by arithmetic: about 1 ms
#include "numbers.cuh"

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
offset_scale(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
             u32 count, u32 from, u32 to, double scale, double offset, i64 whole_scale,
             i64 whole_offset, u32 whole, u32 rounds) {
    const u32 width = width_of(from), target_width = width_of(to);
    const u32 between = is_float(from) || whole == 2 ? from : KIND_F64;
    const float single_scale = from == KIND_F16 ? float_of_half(half_of(scale)) : (float)scale;
    const float single_offset = from == KIND_F16 ? float_of_half(half_of(offset)) : (float)offset;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        for (u64 i = start + threadIdx.x; i < stop; i += blockDim.x) {
            u64 bits = load_bits(source, i, width);
            if (from == KIND_F16) {
                const float value = float_of_half((u32)bits);
                const float x = float_of_half(half_of(settled(value - single_offset, value, value)));
                bits = half_of(settled(x * single_scale, x, x));
                const float result = float_of_half((u32)bits);
                if (rounds && result == result) bits = half_of(rintf(result));
            } else if (from == KIND_F32) {
                const float value = single_of((u32)bits);
                float result = (value - single_offset) * single_scale;
                if (rounds) result = rintf(result);
                bits = bits_of(settled(result, value, value));
            } else if (whole == 2) {
                bits = wrapped((bits - (u64)whole_offset) * (u64)whole_scale, from);
            } else {
                double value;
                if (from == KIND_F64) value = double_of(bits);
                else if (whole) value = double_of_integer(wrapped(bits - (u64)whole_offset, from),
                                                          from);
                else value = double_of_integer(bits, from);
                double result = (whole ? value : value - offset) * scale;
                if (rounds) result = rint(result);
                bits = bits_of(settled(result, value, value));
            }
            store_bits(target, i, target_width, as_type(bits, between, to));
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
offset_scale_exact(const u64* sources, const u64* targets, const u64* sizes,
                   const u32* first_tile, u32 count, u32 kind, i64 scale, i64 offset,
                   u32* status) {
    const u32 width = width_of(kind);
    const bool is_signed = kind % 2 == 0, scale_negative = is_signed && scale < 0;
    const u64 factor = scale_negative ? 0 - (u64)scale : (u64)scale;
    const u64 half = 1ull << (8 * width - 1);
    const u64 highest = is_signed ? half - 1 : half - 1 + half, lowest = is_signed ? half : 0;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        u32 verdict = STATUS_OK;
        for (u64 i = start + threadIdx.x; i < stop; i += blockDim.x) {
            const u64 bits = load_bits(source, i, width);
            const i64 value = extended(bits, kind);
            const bool below = kind == KIND_U64 ? bits < (u64)offset : value < offset;
            const u64 size = below ? (u64)offset - (u64)value : (u64)value - (u64)offset;
            const u64 product = size * factor, limit = below != scale_negative ? lowest : highest;
            if (product > limit || __umul64hi(size, factor)) verdict = STATUS_OUT_OF_RANGE;
            store_bits(target, i, width, below != scale_negative ? 0 - product : product);
        }
        if (verdict != STATUS_OK) atomicMax(&status[tile.stream], verdict);
    }
}
