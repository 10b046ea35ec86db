// place: parts of decoded chunks into a result; with source and target exchanged it is gather.
//
// A unit is 1, 2, 4, 8 or 16 bytes: the largest that divides the element's size and all
// addresses and strides; a run that is contiguous on both sides is made of larger units than its
// elements. An element that is no unit (12 bytes) gets a further axis, so elements of any size are
// placed. All strides and offsets are bytes, and may be negative or, on the source, zero (fill).
//
// layout     An axis of `count` is four words {count | magic << 32, shift, source stride,
//            target stride}, where i / count == (i + umulhi(i, magic)) >> shift for i < 2^31.
//            place_boxes: a box is {source, target, columns, source stride, target stride, rows}
//            and `axes` axes, the outermost first; columns are the units of the innermost axis,
//            worked on by groups of 2^log_group lanes; the last of the axes counts the groups
//            along the columns, and its strides are those of a whole group; rows is the product
//            of the counts. first_tile: prefix sum of ceil(rows << log_group, 1024).
//            place_rows: for long contiguous rows whose ends are aligned differently: a box is
//            {source, target, bytes of a row, 0, 0, rows} and `axes` axes, of which the last
//            counts groups of 2^log_group windows of 16 bytes that are aligned in the target, its
//            strides 0: a row has bytes / 16 + 2 windows. first_tile: as place_boxes.
//            place_transposed: for boxes whose innermost axes differ in source and target: a box
//            is {source, target, count of B, source stride, target stride, count of A, source
//            stride, target stride} and `axes` axes, whose last two count tiles of 32 units
//            along B (innermost in the source) and A (innermost in the target), with the strides
//            of 32 units. first_tile: prefix sum of the product of the counts.
//            place_lists: an outer product of index lists: a row is {source, target, elements}
//            and `axes` axes {count | magic << 32, shift, first, 0}: position i of an axis stands
//            at source_offset[first + i] and target_offset[first + i]. first_tile: prefix sum of
//            ceil(elements / 1024).
//            place_points: units[i] of `units` consecutive units each, at source_offset[i] and
//            target_offset[i].
// alignment  all addresses, strides and offsets are multiples of the unit; place_rows: any
// limits     up to 12 axes; rows << log_group < 2^31; fewer than 2^32 tiles; parts of targets
//            do not overlap (of indexes that repeat in a target, the caller keeps the last)
// reference  place, gather
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200, if the innermost rows fill
//            sectors of 32 bytes; place_lists and place_points read 8 to 16 bytes of offsets more
//            per element, and a sector each where neighbours are far apart
#include "gpuzarr.cuh"

#define SLOTS 1024u
#define PER_THREAD (SLOTS / GZ_THREADS)

GZ_INLINE u32 divided(u32 value, u64 count_magic, u32 shift) {
    return (value + __umulhi(value, (u32)(count_magic >> 32))) >> shift;
}

// Where the slots of a thread are: of each its row's offsets, and its group along the row.
struct Slots {
    u32 row[PER_THREAD], group[PER_THREAD];
    i64 from[PER_THREAD], to[PER_THREAD];
};

GZ_INLINE void find(Slots& slots, const u64* axes_of_box, u32 axes, u32 slot, u32 log_group) {
#pragma unroll
    for (u32 k = 0; k < PER_THREAD; k++) {
        slots.row[k] = (slot + k * GZ_THREADS) >> log_group;
        slots.group[k] = 0;
        slots.from[k] = slots.to[k] = 0;
    }
    // an axis is read once for all slots of the thread
    for (u32 a = axes; a-- > 0;) {
        const u64* axis = axes_of_box + 4 * a;
        const u64 magic = axis[0];
        const u32 shift = (u32)axis[1];
        const i64 source_stride = (i64)axis[2], target_stride = (i64)axis[3];
#pragma unroll
        for (u32 k = 0; k < PER_THREAD; k++) {
            const u32 quotient = divided(slots.row[k], magic, shift);
            const u32 index = slots.row[k] - quotient * (u32)magic;
            if (a == axes - 1) slots.group[k] = index;
            slots.from[k] += index * source_stride;
            slots.to[k] += index * target_stride;
            slots.row[k] = quotient;
        }
    }
}

template <class Unit>
GZ_INLINE void boxes_of(const u64* boxes, const u32* first_tile, u32 count, u32 axes,
                        u32 log_group) {
    const u32 words = 6 + 4 * axes, lanes = 1u << log_group;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64* box = boxes + (u64)tile.stream * words;
        const u32 rows = (u32)box[5], columns = (u32)box[2];
        const u32 slot = tile.index * SLOTS + threadIdx.x, lane = slot & (lanes - 1);
        const u8* source = (const u8*)box[0] + lane * (i64)box[3];
        u8* target = (u8*)box[1] + lane * (i64)box[4];
        Slots slots;
        find(slots, box + 6, axes, slot, log_group);
#pragma unroll
        for (u32 k = 0; k < PER_THREAD; k++) {
            const bool inside = (slot + k * GZ_THREADS) >> log_group < rows
                                && (slots.group[k] << log_group) + lane < columns;
            if (inside) *(Unit*)(target + slots.to[k]) = *(const Unit*)(source + slots.from[k]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_rows(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    const u32 words = 6 + 4 * axes, lanes = 1u << log_group;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64* box = boxes + (u64)tile.stream * words;
        const u32 rows = (u32)box[5];
        const i64 bytes = (i64)box[2];
        const u32 slot = tile.index * SLOTS + threadIdx.x, lane = slot & (lanes - 1);
        Slots slots;
        find(slots, box + 6, axes, slot, log_group);
#pragma unroll
        for (u32 k = 0; k < PER_THREAD; k++) {
            if ((slot + k * GZ_THREADS) >> log_group >= rows) continue;
            const u8* source = (const u8*)box[0] + slots.from[k];
            u8* target = (u8*)box[1] + slots.to[k];
            const i64 window = (slots.group[k] << log_group) + lane;
            const i64 start = 16 * window - (i64)((u64)target & 15);
            if (start >= 0 && start + 16 <= bytes) {
                *(uint4*)(target + start) = load_16(source + start, source, source + bytes);
            } else {
                const i64 stop = start + 16 < bytes ? start + 16 : bytes;
                for (i64 b = start > 0 ? start : 0; b < stop; b++) target[b] = source[b];
            }
        }
    }
}

template <class Unit>
GZ_INLINE void transposed_of(const u64* boxes, const u32* first_tile, u32 count, u32 axes,
                             Unit* staged) {
    const u32 words = 8 + 4 * axes, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64* box = boxes + (u64)tile.stream * words;
        const u8* source = (const u8*)box[0];
        u8* target = (u8*)box[1];
        u32 left = tile.index, b0 = 0, a0 = 0;
        for (u32 a = axes; a-- > 0;) {
            const u64* axis = box + 8 + 4 * a;
            const u32 quotient = divided(left, axis[0], (u32)axis[1]);
            const u32 index = left - quotient * (u32)axis[0];
            if (a == axes - 1) a0 = 32 * index;
            if (a == axes - 2) b0 = 32 * index;
            source += index * (i64)axis[2];
            target += index * (i64)axis[3];
            left = quotient;
        }
        const u32 along_b = lesser(32, (u32)box[2] - b0), along_a = lesser(32, (u32)box[5] - a0);
#pragma unroll 4
        for (u32 i = warp; i < along_a; i += GZ_THREADS / 32)
            if (lane < along_b)
                staged[i * 33 + lane] =
                    *(const Unit*)(source + i * (i64)box[6] + lane * (i64)box[3]);
        __syncthreads();
#pragma unroll 4
        for (u32 i = warp; i < along_b; i += GZ_THREADS / 32)
            if (lane < along_a)
                *(Unit*)(target + i * (i64)box[4] + lane * (i64)box[7]) = staged[lane * 33 + i];
        __syncthreads();
    }
}

template <class Unit>
GZ_INLINE void lists_of(const u64* rows, const u32* first_tile, u32 count, u32 axes,
                        const i64* source_offset, const i64* target_offset) {
    const u32 words = 3 + 4 * axes;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64* row = rows + (u64)tile.stream * words;
        const u8* source = (const u8*)row[0];
        u8* target = (u8*)row[1];
        const u32 elements = (u32)row[2], start = tile.index * SLOTS + threadIdx.x;
        const u32 stop = lesser(elements, tile.index * SLOTS + SLOTS);
        for (u32 i = start; i < stop; i += GZ_THREADS) {
            u32 left = i;
            i64 from = 0, to = 0;
            for (u32 a = axes; a-- > 0;) {
                const u64* axis = row + 3 + 4 * a;
                const u32 quotient = divided(left, axis[0], (u32)axis[1]);
                const u64 at = axis[2] + (left - quotient * (u32)axis[0]);
                from += source_offset[at];
                to += target_offset[at];
                left = quotient;
            }
            *(Unit*)(target + to) = *(const Unit*)(source + from);
        }
    }
}

template <class Unit>
GZ_INLINE void points_of(u64 source, u64 target, const i64* source_offset,
                         const i64* target_offset, u64 count, u32 units) {
    const u64 step = (u64)gridDim.x * blockDim.x;
#pragma unroll 4
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const Unit* from = (const Unit*)(source + source_offset[i]);
        Unit* to = (Unit*)(target + target_offset[i]);
        for (u32 k = 0; k < units; k++) to[k] = from[k];
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_boxes_1(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    boxes_of<u8>(boxes, first_tile, count, axes, log_group);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_transposed_1(const u64* boxes, const u32* first_tile, u32 count, u32 axes) {
    __shared__ u8 staged[32 * 33];
    transposed_of<u8>(boxes, first_tile, count, axes, staged);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_lists_1(const u64* rows, const u32* first_tile, u32 count, u32 axes,
              const i64* source_offset, const i64* target_offset) {
    lists_of<u8>(rows, first_tile, count, axes, source_offset, target_offset);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_points_1(u64 source, u64 target, const i64* source_offset, const i64* target_offset,
               u64 count, u32 units) {
    points_of<u8>(source, target, source_offset, target_offset, count, units);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_boxes_2(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    boxes_of<u16>(boxes, first_tile, count, axes, log_group);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_transposed_2(const u64* boxes, const u32* first_tile, u32 count, u32 axes) {
    __shared__ u16 staged[32 * 33];
    transposed_of<u16>(boxes, first_tile, count, axes, staged);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_lists_2(const u64* rows, const u32* first_tile, u32 count, u32 axes,
              const i64* source_offset, const i64* target_offset) {
    lists_of<u16>(rows, first_tile, count, axes, source_offset, target_offset);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_points_2(u64 source, u64 target, const i64* source_offset, const i64* target_offset,
               u64 count, u32 units) {
    points_of<u16>(source, target, source_offset, target_offset, count, units);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_boxes_4(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    boxes_of<u32>(boxes, first_tile, count, axes, log_group);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_transposed_4(const u64* boxes, const u32* first_tile, u32 count, u32 axes) {
    __shared__ u32 staged[32 * 33];
    transposed_of<u32>(boxes, first_tile, count, axes, staged);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_lists_4(const u64* rows, const u32* first_tile, u32 count, u32 axes,
              const i64* source_offset, const i64* target_offset) {
    lists_of<u32>(rows, first_tile, count, axes, source_offset, target_offset);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_points_4(u64 source, u64 target, const i64* source_offset, const i64* target_offset,
               u64 count, u32 units) {
    points_of<u32>(source, target, source_offset, target_offset, count, units);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_boxes_8(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    boxes_of<u64>(boxes, first_tile, count, axes, log_group);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_transposed_8(const u64* boxes, const u32* first_tile, u32 count, u32 axes) {
    __shared__ u64 staged[32 * 33];
    transposed_of<u64>(boxes, first_tile, count, axes, staged);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_lists_8(const u64* rows, const u32* first_tile, u32 count, u32 axes,
              const i64* source_offset, const i64* target_offset) {
    lists_of<u64>(rows, first_tile, count, axes, source_offset, target_offset);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_points_8(u64 source, u64 target, const i64* source_offset, const i64* target_offset,
               u64 count, u32 units) {
    points_of<u64>(source, target, source_offset, target_offset, count, units);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_boxes_16(const u64* boxes, const u32* first_tile, u32 count, u32 axes, u32 log_group) {
    boxes_of<uint4>(boxes, first_tile, count, axes, log_group);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_transposed_16(const u64* boxes, const u32* first_tile, u32 count, u32 axes) {
    __shared__ uint4 staged[32 * 33];
    transposed_of<uint4>(boxes, first_tile, count, axes, staged);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_lists_16(const u64* rows, const u32* first_tile, u32 count, u32 axes,
               const i64* source_offset, const i64* target_offset) {
    lists_of<uint4>(rows, first_tile, count, axes, source_offset, target_offset);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
place_points_16(u64 source, u64 target, const i64* source_offset, const i64* target_offset,
                u64 count, u32 units) {
    points_of<uint4>(source, target, source_offset, target_offset, count, units);
}
