// What a warp that decodes one stream needs: a window on the input, copies within the output.
//
// The walk over a stream is the same for all lanes, so that every branch is; each step of it
// consumes input, so that it ends whatever the input is.
#pragma once
#include "gpuzarr.cuh"

// 128 bytes of input in registers, 4 a lane.
struct Window {
    const u8* input;
    u32 size, start, word;

    __device__ __forceinline__ void fill(u32 at) {
        const u32 lane = threadIdx.x % 32, mine = at + 4 * lane;
        start = at;
        word = 0;
        if (mine + 4 <= size)
            word = load_u32(input + mine, input, input + size);
        else
            for (u32 k = mine; k < size; k++) word |= (u32)input[k] << (8 * (k - mine));
    }

    // The byte at a position below size, the same for all lanes.
    __device__ __forceinline__ u32 byte(u32 at) {
        if (at - start >= 128) fill(at);
        const u32 k = at - start;
        return __shfl_sync(GZ_ALL_LANES, word, k / 4) >> (8 * (k % 4)) & 255;
    }

    // Adds to `length` the bytes from `at` on, up to and with the first that is not 255; false
    // where the input ends before.
    __device__ __forceinline__ bool extend(u32& at, u32& length) {
        for (;;) {
            const u32 mine = at + threadIdx.x % 32;
            const u32 value = mine < size ? input[mine] : 0;
            const u32 ends = __ballot_sync(GZ_ALL_LANES, value != 255);
            if (ends) {
                const u32 last = __ffs((int)ends) - 1;
                if (at + last >= size) return false;
                length += 255 * last + __shfl_sync(GZ_ALL_LANES, value, last);
                at += last + 1;
                return length < 0x80000000u;
            }
            length += 255 * 32;
            at += 32;
            if (length >= 0x80000000u) return false;
        }
    }
};

GZ_INLINE void copy_by_warp(const u8* source, u8* target, u32 count, const u8* first,
                            const u8* last) {
    const u32 lane = threadIdx.x % 32;
    u32 lead = 0, words = 0;
    if (count >= 64) {
        lead = (u32)(4 - ((u64)target & 3)) & 3;
        words = (count - lead) / 4;
    }
    for (u32 i = lane; i < lead; i += 32) target[i] = source[i];
    for (u32 w = lane; w < words; w += 32)
        *(u32*)(target + lead + 4 * w) = load_u32(source + lead + 4 * w, first, last);
    for (u32 i = lead + 4 * words + lane; i < count; i += 32) target[i] = source[i];
}

// `count` bytes at `at` from `distance` before, where they may overlap; at >= distance > 0.
GZ_INLINE void copy_match(u8* output, u32 at, u32 distance, u32 count) {
    const u32 lane = threadIdx.x % 32;
    const u8* match = output + at - distance;
    __syncwarp();                     // what the match refers to is written
    if (distance >= count) {
        copy_by_warp(match, output + at, count, output, output + at);
    } else {
        u32 from = lane % distance;   // i % distance, kept without a division
        const u32 step = 32 % distance;
        for (u32 i = lane; i < count; i += 32) {
            output[at + i] = match[from];
            from += step;
            if (from >= distance) from -= distance;
        }
    }
}
