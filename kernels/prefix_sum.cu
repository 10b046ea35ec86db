// prefix_sum: running sums of each stream: what delta decodes.
//
// layout     size: elements of each stream; types as in numbers.cuh. Integers take three
//            launches: prefix_sum_tiles leaves the sum of each tile in sums[], prefix_sum_carries,
//            a warp per stream, what stands before each tile in carries[], and prefix_sum writes
//            integers of target_width bytes; all wrap. first_tile: prefix sum of
//            ceil(size / 4096), the same for all three. Floats are added one after the other, in
//            the target's type, as NumPy's cumsum does: prefix_sum_float, a warp per stream
// alignment  elements are aligned to their types
// limits     256 threads a block for prefix_sum_tiles and prefix_sum, a multiple of 32 for the
//            others; not for floats to narrower floats or integers, nor for complex numbers, nor
//            between u8 and signed integers, which NumPy adds as doubles; fewer than 2^32 tiles
// reference  prefix_sum
// bytes      reads 2 (the second time from the cache, up to 60 MB) and writes 1 per byte: 0.47 to
//            0.7 ms per GB on an H200; floats: 4 cycles an element and stream, that is 600 M
//            elements/s a stream, bound by memory from about 1,000 streams on
#include "numbers.cuh"

GZ_INLINE u64 integer_at(const u8* source, u64 i, u32 kind, u32 width) {
    return (u64)extended(load_bits(source, i, width), kind);
}

GZ_INLINE u64 scanned(u64 value) {    // inclusive, over a warp
    const u32 lane = threadIdx.x % 32;
    for (u32 o = 1; o < 32; o *= 2) {
        const u64 below = __shfl_up_sync(GZ_ALL_LANES, value, o);
        if (lane >= o) value += below;
    }
    return value;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
prefix_sum_tiles(const u64* sources, const u64* sizes, const u32* first_tile, u32 count,
                 u32 kind, u64* sums) {
    __shared__ u64 found[GZ_THREADS / 32];
    const u32 width = width_of(kind);
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        u64 sum = 0;
#pragma unroll 4
        for (u64 i = start + threadIdx.x; i < stop; i += GZ_THREADS)
            sum += integer_at(source, i, kind, width);
        for (u32 o = 16; o; o /= 2) sum += __shfl_xor_sync(GZ_ALL_LANES, sum, o);
        if (threadIdx.x % 32 == 0) found[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            for (u32 w = 1; w < GZ_THREADS / 32; w++) sum += found[w];
            sums[tile.next - 1] = sum;
        }
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
prefix_sum_carries(const u32* first_tile, u32 count, const u64* sums, u64* carries) {
    const u32 lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        const u32 last = first_tile[s + 1];
        u64 carry = 0;
        for (u32 first = first_tile[s]; first < last; first += 32) {
            const bool mine = first + lane < last;
            const u64 sum = mine ? sums[first + lane] : 0, upto = scanned(sum);
            if (mine) carries[first + lane] = carry + upto - sum;
            carry += __shfl_sync(GZ_ALL_LANES, upto, 31);
        }
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
prefix_sum(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
           u32 count, u32 kind, u32 target_width, const u64* carries) {
    __shared__ u64 found[GZ_THREADS / 32];
    const u32 width = width_of(kind), warp = threadIdx.x / 32;
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 start = (u64)tile.index * ELEMENTS;
        const u64 stop = lesser(sizes[tile.stream], start + ELEMENTS);
        u64 carry = carries[tile.next - 1];
        for (u64 row = start; row < stop; row += 4 * GZ_THREADS) {
            const u64 mine = row + 4 * threadIdx.x;
            u64 value[4], sum = 0;
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                if (mine + k < stop) sum += integer_at(source, mine + k, kind, width);
                value[k] = sum;
            }
            const u64 upto = scanned(sum);
            if (threadIdx.x % 32 == 31) found[warp] = upto;
            __syncthreads();
            u64 before = carry + upto - sum;
            for (u32 w = 0; w < GZ_THREADS / 32; w++) {
                if (w < warp) before += found[w];
                carry += found[w];
            }
#pragma unroll
            for (u32 k = 0; k < 4; k++)
                if (mine + k < stop) store_bits(target, mine + k, target_width, before + value[k]);
            __syncthreads();
        }
    }
}

// The sum of two floats of one type; of two NaN one stays, as NumPy has it on x86-64.
GZ_INLINE u64 added(u64 a, u64 b, u32 kind) {
    if (kind == KIND_F64)
        return bits_of(settled(double_of(a) + double_of(b), double_of(a), double_of(b)));
    if (kind == KIND_F32) {
        const float x = single_of((u32)a), y = single_of((u32)b);
        return bits_of(settled(x + y, x, y));
    }
    const float x = float_of_half((u32)a), y = float_of_half((u32)b);
    return half_of(settled(x + y, y, x));  // rounded once to 24 bits and once to 11: as at once
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
prefix_sum_float(const u64* sources, const u64* targets, const u64* sizes, u32 count, u32 from,
                 u32 to) {
    const u32 lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32);
    const u32 width = width_of(from), target_width = width_of(to);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        const u8* source = (const u8*)sources[s];
        u8* target = (u8*)targets[s];
        const u64 size = sizes[s];
        u64 sum = 0;
        for (u64 row = 0; row < size; row += 32) {
            u64 mine = row + lane < size ? load_bits(source, row + lane, width) : 0;
            u32 ignored = 0;
            if (from != to)
                mine = float_of(unpacked(mine, from), to, NEAREST_EVEN, CLAMP, ignored);
            u64 result = 0;
            for (u32 k = 0; k < 32; k++) {
                const u64 value = __shfl_sync(GZ_ALL_LANES, mine, k);
                sum = row + k == 0 ? value : added(sum, value, to);
                if (lane == k) result = sum;
            }
            if (row + lane < size) store_bits(target, row + lane, target_width, result);
        }
    }
}
