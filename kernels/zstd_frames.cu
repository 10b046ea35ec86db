// zstd_frames: which streams are one plain Zstandard frame, as the host checks it where it has them.
//
// layout     a thread per stream. plain[s] is not 0 where the stream is exactly one frame (RFC
//            8878, 3.1.1) that declares expected[s] decoded bytes, needs no dictionary, has no
//            reserved bit or block, whose blocks have at most 128 KiB and, as far as they are not
//            compressed, no more than expected[s] bytes together, and ends where the stream ends:
//            1 for one that its last block ends, 2 for one with a checksum, 4 bytes, behind it
// alignment  any
// limits     none
// reference  zstd_frame
// bytes      reads up to 18 per stream and 3 per block of 128 KiB: microseconds
#include "gpuzarr.cuh"

#define ZSTD_LARGEST_BLOCK (128u << 10)
#define ZSTD_RLE 1
#define ZSTD_COMPRESSED 2

GZ_INLINE u64 little_endian(const u8* at, u32 bytes) {
    u64 value = 0;
    for (u32 k = 0; k < bytes; k++) value |= (u64)at[k] << (8 * k);
    return value;
}

GZ_INLINE u32 plainness(const u8* data, u64 size, u64 expected) {
    if (size < 9 || load_u32_bytes(data) != 0xfd2fb528u) return 0;
    const u32 descriptor = data[4], flag = descriptor >> 6;
    const bool single_segment = descriptor & 0x20;
    if (descriptor & 0x0b) return 0;        // a dictionary, or what is reserved
    const u32 checksum = descriptor & 4;
    const u32 bytes = flag ? 1u << flag : single_segment;
    u64 at = single_segment ? 5 : 6;
    if (bytes == 0 || at + bytes > size) return 0;
    if (little_endian(data + at, bytes) + (bytes == 2 ? 256 : 0) != expected) return 0;
    at += bytes;
    u64 plain_bytes = 0;
    for (;;) {                              // each step takes three bytes or more
        if (at + 3 > size) return 0;
        const u32 header = (u32)little_endian(data + at, 3), kind = header >> 1 & 3;
        const u32 length = header >> 3;
        if (kind > ZSTD_COMPRESSED || length > ZSTD_LARGEST_BLOCK) return 0;
        if (kind != ZSTD_COMPRESSED) plain_bytes += length;
        if (plain_bytes > expected) return 0;
        at += 3 + (kind == ZSTD_RLE ? 1 : length);
        if (at > size) return 0;
        if (header & 1) return at + checksum != size ? 0 : checksum ? 2 : 1;
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
zstd_frames(const u64* source, const u64* size, const u64* expected, u32 count, u32* plain) {
    for (u32 s = blockIdx.x * blockDim.x + threadIdx.x; s < count; s += gridDim.x * blockDim.x)
        plain[s] = plainness((const u8*)source[s], size[s], expected[s]);
}
