// lz4_decode: raw LZ4 blocks, one warp per stream, every step checked.
//
// layout     streams whose route[s] is `wanted` are decoded, the others left alone; a stream must
//            fill target_size[s] bytes exactly. status[s] is STATUS_OK or what is wrong, and then
//            the target's content is undefined
// alignment  any
// limits     sizes below 2^31, else STATUS_BAD_SIZE; a block is a multiple of 32 threads
// reference  lz4_decode; the verdict is liblz4's (LZ4_decompress_safe, and the size as
//            expected), but for an offset of 0, which is an error here
// bytes      reads its input and writes 1 per byte, and reads again what matches copy, from
//            caches; bound by the latency of sequences: 4 warps on each of 4 schedulers hide it
//            from about 2,000 streams on; expected 100 to 300 GB/s on an H200
#include "decoding.cuh"

GZ_INLINE u32 decode_lz4(const u8* input, u32 size, u8* output, u32 capacity) {
    Window window = {input, size, 0, 0};
    window.fill(0);
    if (capacity == 0)
        return size == 1 && window.byte(0) == 0 ? STATUS_OK
               : size == 0                      ? STATUS_INPUT_ENDS
                                                : STATUS_OUTPUT_FULL;
    u32 in = 0, out = 0;
    for (;;) {
        if (in >= size) return STATUS_INPUT_ENDS;
        const u32 token = window.byte(in++);
        u32 literals = token >> 4;
        if (literals == 15 && !window.extend(in, literals)) return STATUS_INPUT_ENDS;
        if (literals > size - in) return STATUS_INPUT_ENDS;
        if (literals > capacity - out) return STATUS_OUTPUT_FULL;
        copy_by_warp(input + in, output + out, literals, input, input + size);
        in += literals;
        out += literals;
        if (in == size) return out == capacity ? STATUS_OK : STATUS_OUTPUT_SHORT;
        // a match starts 12 bytes before the end at the latest, 8 before that of the input
        if (capacity - out < 12 || size - in < 8) return STATUS_BAD_END;
        const u32 low = window.byte(in), distance = low | window.byte(in + 1) << 8;
        in += 2;
        u32 length = token & 15;
        if (length == 15 && !window.extend(in, length)) return STATUS_INPUT_ENDS;
        length += 4;
        if (distance == 0 || distance > out) return STATUS_BAD_OFFSET;
        if (length > capacity - out) return STATUS_OUTPUT_FULL;
        if (capacity - out - length < 5) return STATUS_BAD_END;
        copy_match(output, out, distance, length);
        out += length;
    }
}

extern "C" __global__ void __launch_bounds__(128)
lz4_decode(const u64* source, const u64* source_size, const u64* target, const u64* target_size,
           const u32* route, u32 wanted, u32 count, u32* status) {
    const u32 warps = gridDim.x * (blockDim.x / 32);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        if (route[s] != wanted) continue;
        u32 verdict = STATUS_BAD_SIZE;
        if ((source_size[s] | target_size[s]) < 0x80000000u)
            verdict = decode_lz4((const u8*)source[s], (u32)source_size[s], (u8*)target[s],
                                 (u32)target_size[s]);
        if (threadIdx.x % 32 == 0) status[s] = verdict;
        __syncwarp();
    }
}
