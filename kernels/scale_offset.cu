// scale_offset: x / scale + offset, as fixedscaleoffset and scale_offset decode.
//
// layout     size: elements of each stream; types as in numbers.cuh. first_tile: prefix sum of
//            ceil(size / 4096). scale_offset: floats are computed in their own type (2 bytes:
//            rounded after each step), integers in doubles; the result is converted to the target
//            type as NumPy's astype does on x86-64. scale_offset_exact: for
//            integers in their own type; status[s], 0 before the launch, is STATUS_NOT_EXACT
//            where a division leaves a remainder, STATUS_OUT_OF_RANGE where the type is left
// alignment  elements are aligned to their types
// limits     scale is not 0 in scale_offset_exact; fewer than 2^32 tiles
// reference  scale_offset
// bytes      reads and writes an element each, 0.47 ms per GB of both together on an H200;
//            doubles, and divisions of 8-byte integers, are bound by arithmetic: about 2 ms
#include "numbers.cuh"

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
scale_offset(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
             u32 count, u32 from, u32 to, double scale, double offset) {
    const u32 width = width_of(from), target_width = width_of(to);
    const u32 between = is_float(from) ? from : KIND_F64;
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
                const u16 ratio = half_of(settled(value / single_scale, value, value));
                const float x = float_of_half(ratio);
                bits = half_of(settled(x + single_offset, x, x));
            } else if (from == KIND_F32) {
                const float value = single_of((u32)bits);
                bits = bits_of(settled(value / single_scale + single_offset, value, value));
            } else {
                const double value =
                    from == KIND_F64 ? double_of(bits) : double_of_integer(bits, from);
                bits = bits_of(settled(value / scale + offset, value, value));
            }
            bits = as_type(bits, between, to);
            store_bits(target, i, target_width, bits);
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
scale_offset_exact(const u64* sources, const u64* targets, const u64* sizes,
                   const u32* first_tile, u32 count, u32 kind, i64 scale, i64 offset,
                   u32* status) {
    const u32 width = width_of(kind), bits_of_kind = 8 * width;
    const bool is_signed = kind % 2 == 0;
    const i64 top = (i64)((1ull << (bits_of_kind - 1)) - 1);
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        u32 verdict = STATUS_OK;
        for (u64 i = start + threadIdx.x; i < stop; i += blockDim.x) {
            const u64 bits = load_bits(source, i, width);
            u64 result;
            bool exact = true, inside = true;
            if (kind == KIND_U64) {   // scale and offset are bits of the same type
                exact = bits % (u64)scale == 0;
                result = bits / (u64)scale + (u64)offset;
                inside = result >= (u64)offset;
            } else {
                const i64 value = extended(bits, kind);
                if (scale == -1) {    // the quotient of the smallest number is none
                    result = (u64)offset - (u64)value;
                    inside = value > 0 ? (i64)result < offset : (i64)result >= offset;
                } else {
                    exact = value % scale == 0;
                    const i64 ratio = value / scale;
                    result = (u64)ratio + (u64)offset;
                    inside = offset < 0 ? (i64)result < ratio : (i64)result >= ratio;
                }
                const i64 sum = (i64)result;
                if (is_signed) inside &= sum >= -top - 1 && sum <= top;
                else inside &= sum >= 0 && (u64)sum <= 2 * (u64)top + 1;
            }
            if (!exact) verdict = STATUS_NOT_EXACT;
            else if (!inside && verdict == STATUS_OK) verdict = STATUS_OUT_OF_RANGE;
            store_bits(target, i, width, result);
        }
        if (verdict != STATUS_OK) atomicMax(&status[tile.stream], verdict);
    }
}
