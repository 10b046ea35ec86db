// zstd_frames: which streams are one plain Zstandard frame, as the host checks it where it has them.
//
// layout     a thread per stream. plain[s] is 1 where the stream is exactly one frame (RFC 8878,
//            3.1.1) that declares expected[s] decoded bytes, needs no dictionary, has no checksum
//            and no reserved bit or block, and whose last block ends where the stream ends; else 0
// alignment  any
// limits     none
// reference  zstd_frame
// bytes      reads up to 18 per stream and 3 per block of 128 KiB: microseconds
#include "gpuzarr.cuh"

GZ_INLINE u64 little_endian(const u8* at, u32 bytes) {
    u64 value = 0;
    for (u32 k = 0; k < bytes; k++) value |= (u64)at[k] << (8 * k);
    return value;
}

GZ_INLINE bool is_plain(const u8* data, u64 size, u64 expected) {
    if (size < 9 || load_u32_bytes(data) != 0xfd2fb528u) return false;
    const u32 descriptor = data[4], flag = descriptor >> 6;
    const bool single_segment = descriptor & 0x20;
    if (descriptor & 0x0f) return false;    // a dictionary, a checksum, or what is reserved
    const u32 bytes = flag ? 1u << flag : single_segment;
    u64 at = single_segment ? 5 : 6;
    if (bytes == 0 || at + bytes > size) return false;
    if (little_endian(data + at, bytes) + (bytes == 2 ? 256 : 0) != expected) return false;
    at += bytes;
    for (;;) {                              // each step takes three bytes or more
        if (at + 3 > size) return false;
        const u32 header = (u32)little_endian(data + at, 3), kind = header >> 1 & 3;
        if (kind == 3) return false;
        at += 3 + (kind == 1 ? 1 : header >> 3);
        if (at > size) return false;
        if (header & 1) return at == size;
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
zstd_frames(const u64* source, const u64* size, const u64* expected, u32 count, u32* plain) {
    for (u32 s = blockIdx.x * blockDim.x + threadIdx.x; s < count; s += gridDim.x * blockDim.x)
        plain[s] = is_plain((const u8*)source[s], size[s], expected[s]);
}
