// blosclz_decode: streams of Blosc's own codec, one warp per stream, every step checked.
//
// layout     streams whose route[s] is `wanted` are decoded, the others left alone; a stream must
//            fill target_size[s] bytes exactly. status[s] is STATUS_OK or what is wrong, and then
//            the target's content is undefined
// alignment  any
// limits     sizes below 2^31, else STATUS_BAD_SIZE; a block is a multiple of 32 threads
// reference  blosclz_decode; the verdict is c-blosc's (1.21), and the size as expected
// bytes      reads its input and writes 1 per byte, and reads again what matches copy, from
//            caches; bound by the latency of sequences: expected 50 to 200 GB/s on an H200
#include "decoding.cuh"

GZ_INLINE u32 decode_blosclz(const u8* input, u32 size, u8* output, u32 capacity) {
    Window window = {input, size, 0, 0};
    window.fill(0);
    if (size == 0) return STATUS_INPUT_ENDS;
    u32 in = 1, out = 0, control = window.byte(0) & 31;
    for (;;) {
        if (control < 32) {
            const u32 literals = control + 1;
            if (literals > capacity - out) return STATUS_OUTPUT_FULL;
            if (literals > size - in) return STATUS_INPUT_ENDS;
            copy_by_warp(input + in, output + out, literals, input, input + size);
            in += literals;
            out += literals;
            if (in == size) return out == capacity ? STATUS_OK : STATUS_OUTPUT_SHORT;
            control = window.byte(in++);
            continue;
        }
        u32 length = (control >> 5) - 1, distance = (control & 31) << 8;
        if (length == 6 && !window.extend(in, length)) return STATUS_INPUT_ENDS;
        if (in >= size) return STATUS_INPUT_ENDS;
        const u32 low = window.byte(in++);
        length += 3;
        if (low == 255 && distance == 31 << 8) {
            if (size - in < 2) return STATUS_INPUT_ENDS;
            const u32 high = window.byte(in);
            distance = (high << 8 | window.byte(in + 1)) + 8192;
            in += 2;
        } else {
            distance += low + 1;
        }
        if (length > capacity - out) return STATUS_OUTPUT_FULL;
        if (distance > out) return STATUS_BAD_OFFSET;
        if (in == size) return STATUS_INPUT_ENDS;     // a match is never the last
        control = window.byte(in++);
        copy_match(output, out, distance, length);
        out += length;
    }
}

extern "C" __global__ void __launch_bounds__(128)
blosclz_decode(const u64* source, const u64* source_size, const u64* target,
               const u64* target_size, const u32* route, u32 wanted, u32 count, u32* status) {
    const u32 warps = gridDim.x * (blockDim.x / 32);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        if (route[s] != wanted) continue;
        u32 verdict = STATUS_BAD_SIZE;
        if ((source_size[s] | target_size[s]) < 0x80000000u)
            verdict = decode_blosclz((const u8*)source[s], (u32)source_size[s], (u8*)target[s],
                                     (u32)target_size[s]);
        if (threadIdx.x % 32 == 0) status[s] = verdict;
        __syncwarp();
    }
}
