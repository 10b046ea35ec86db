// What every kernel shares: fixed-width types, tiles, loads and stores at any address.
//
// Read by NVRTC, nvcc and, behind the emulator's dialect header, g++; no standard header is
// needed. Memory is little-endian.
//
// Streams. A batch is `count` streams: addresses in `source` and `target`, lengths in bytes in
// `size`. A stream is cut into tiles, and `first_tile[count + 1]` is the prefix sum of the number
// of tiles per stream, so one large stream and ten thousand small ones fill the card alike: each
// block takes an equal run of all tiles, whatever the size of the grid.
#pragma once

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef short i16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

#define GZ_INLINE static __device__ __forceinline__
#define GZ_ALL_LANES 0xffffffffu

// Bytes of the target that one tile of a byte-wise op covers, and threads that work on it.
#define GZ_TILE 16384u
#define GZ_THREADS 256u

// Status of a stream; 0 is good. gpuzarr/device/reference.py has the same table.
enum Status : u32 {
    STATUS_OK = 0,
    STATUS_INPUT_ENDS = 1,        // the stream ends within a sequence, or says more than it has
    STATUS_OUTPUT_FULL = 2,       // it holds more than the target
    STATUS_BAD_OFFSET = 3,        // a match reaches before the target's first byte
    STATUS_OUTPUT_SHORT = 4,      // it holds less than the target
    STATUS_BAD_END = 5,           // a sequence stands where LZ4 allows literals only
    STATUS_BAD_HEADER = 6,        // a field of a header is not allowed
    STATUS_BAD_VERSION = 7,       // another version of the format
    STATUS_BAD_SIZE = 8,          // a header's sizes contradict what is known
    STATUS_BAD_BLOCK = 9,         // a block or stream reaches out of its chunk
    STATUS_OUT_OF_RANGE = 10,     // a value that the target's type cannot hold
    STATUS_NOT_EXACT = 11         // a division with a remainder
};

struct Tile {
    u32 next, end;                // of all tiles, those that are left to this block
    u32 stream, index;            // of the current tile
};

GZ_INLINE Tile tiles_of_block(const u32* first_tile, u32 count) {
    const u64 total = count ? first_tile[count] : 0;
    Tile tile;
    tile.next = (u32)(total * blockIdx.x / gridDim.x);
    tile.end = (u32)(total * (blockIdx.x + 1) / gridDim.x);
    u32 low = 0, high = count;    // the last stream that starts at or before the first tile
    while (tile.next < tile.end && low + 1 < high) {
        const u32 middle = low + (high - low) / 2;
        if (first_tile[middle] <= tile.next) low = middle;
        else high = middle;
    }
    tile.stream = low;
    tile.index = 0;
    return tile;
}

// The next tile of this block, the same for all its threads; false at the end.
GZ_INLINE bool take(Tile& tile, const u32* first_tile) {
    if (tile.next >= tile.end) return false;
    while (first_tile[tile.stream + 1] <= tile.next) tile.stream++;
    tile.index = tile.next++ - first_tile[tile.stream];
    return true;
}

// Whether the current tile is the last one of its stream.
GZ_INLINE bool is_last(const Tile& tile, const u32* first_tile) {
    return first_tile[tile.stream + 1] == tile.next;
}

GZ_INLINE u64 lesser(u64 a, u64 b) { return a < b ? a : b; }
GZ_INLINE u32 lesser(u32 a, u32 b) { return a < b ? a : b; }

GZ_INLINE bool aligned(const void* address, u32 bytes) {
    return ((u64)address & (bytes - 1)) == 0;
}

// Four bytes at any address inside [first, last): no access leaves that range.
GZ_INLINE u32 load_u32(const u8* at, const u8* first, const u8* last) {
    const u32 shift = (u32)((u64)at & 3);
    if (shift == 0) return *(const u32*)at;
    const u8* low = at - shift;
    if (low >= first && low + 8 <= last)
        return __funnelshift_r(*(const u32*)low, *(const u32*)(low + 4), 8 * shift);
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

GZ_INLINE u32 load_u32_bytes(const u8* at) {
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

GZ_INLINE u64 load_u64_bytes(const u8* at) {
    return load_u32_bytes(at) | (u64)load_u32_bytes(at + 4) << 32;
}

GZ_INLINE void store_u32(u8* at, u32 value) {
    if (aligned(at, 4)) {
        *(u32*)at = value;
    } else if (aligned(at, 2)) {
        *(u16*)at = (u16)value;
        *(u16*)(at + 2) = (u16)(value >> 16);
    } else {
        for (u32 k = 0; k < 4; k++) at[k] = (u8)(value >> (8 * k));
    }
}

// Sixteen bytes at any address inside [first, last).
GZ_INLINE uint4 load_16(const u8* at, const u8* first, const u8* last) {
    if (aligned(at, 16)) return *(const uint4*)at;
    uint4 value;
    const u32 shift = (u32)((u64)at & 3);
    const u8* low = at - shift;
    if (shift == 0) {
        const u32* words = (const u32*)at;
        value.x = words[0]; value.y = words[1]; value.z = words[2]; value.w = words[3];
    } else if (low >= first && low + 20 <= last) {
        const u32* words = (const u32*)low;
        const u32 a = words[0], b = words[1], c = words[2], d = words[3], e = words[4];
        value.x = __funnelshift_r(a, b, 8 * shift);
        value.y = __funnelshift_r(b, c, 8 * shift);
        value.z = __funnelshift_r(c, d, 8 * shift);
        value.w = __funnelshift_r(d, e, 8 * shift);
    } else {
        value.x = load_u32_bytes(at); value.y = load_u32_bytes(at + 4);
        value.z = load_u32_bytes(at + 8); value.w = load_u32_bytes(at + 12);
    }
    return value;
}

GZ_INLINE void store_16(u8* at, uint4 value) {
    if (aligned(at, 16)) {
        *(uint4*)at = value;
    } else {
        store_u32(at, value.x); store_u32(at + 4, value.y);
        store_u32(at + 8, value.z); store_u32(at + 12, value.w);
    }
}

// Bytes [start, stop) of a stream, by all threads of a block; whole words where the target has
// them.
GZ_INLINE void copy_bytes(const u8* source, u8* target, u64 start, u64 stop, u64 size) {
    const u64 lead = lesser((16 - ((u64)(target + start) & 15)) & 15, stop - start);
    for (u64 b = start + threadIdx.x; b < start + lead; b += blockDim.x) target[b] = source[b];
    start += lead;
    const u64 words = (stop - start) / 16;
#pragma unroll 4
    for (u64 w = threadIdx.x; w < words; w += blockDim.x)
        *(uint4*)(target + start + 16 * w) =
            load_16(source + start + 16 * w, source, source + size);
    for (u64 b = start + 16 * words + threadIdx.x; b < stop; b += blockDim.x)
        target[b] = source[b];
}

// Four words whose byte k belongs to element k, to four elements; its own inverse.
GZ_INLINE void transpose_4x4(u32& a, u32& b, u32& c, u32& d) {
    const u32 ab_low = __byte_perm(a, b, 0x5140), ab_high = __byte_perm(a, b, 0x7362);
    const u32 cd_low = __byte_perm(c, d, 0x5140), cd_high = __byte_perm(c, d, 0x7362);
    a = __byte_perm(ab_low, cd_low, 0x5410);
    b = __byte_perm(ab_low, cd_low, 0x7632);
    c = __byte_perm(ab_high, cd_high, 0x5410);
    d = __byte_perm(ab_high, cd_high, 0x7632);
}
