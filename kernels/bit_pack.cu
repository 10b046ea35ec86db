// bit_pack: a bit for each byte, set where it is not 0: what packbits encodes.
//
// layout     size: elements, one byte each. target has ceil(size / 8) bytes, and with padding one
//            more that holds the number of unused bits: padding 0 none, 1 the first byte, 2 the
//            last. Unused bits are 0. msb: 1 if the first element is a byte's most significant
//            bit (numcodecs), 0 the least. first_tile: prefix sum of max(1, ceil(size / 16384)):
//            also an empty stream has its padding
// alignment  any; 16-byte loads where the source is 16-aligned
// limits     fewer than 2^32 tiles
// reference  bit_pack
// bytes      reads 1 and writes 1 / 8 per element: 0.26 ms per GB read on an H200
#include "gpuzarr.cuh"

// Four bits, the lowest for the lowest byte that is not 0.
GZ_INLINE u32 four_bits(u32 bytes) {
    const u32 set = (((bytes & 0x7f7f7f7fu) + 0x7f7f7f7fu) | bytes) >> 7 & 0x01010101u;
    return set * 0x01020408u >> 24;
}

GZ_INLINE u32 sixteen_bits(uint4 in) {
    return four_bits(in.x) | four_bits(in.y) << 4 | four_bits(in.z) << 8 | four_bits(in.w) << 12;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
bit_pack(const u64* sources, const u64* targets, const u64* sizes, const u32* first_tile,
         u32 count, u32 padding, u32 msb) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], bytes = (size + 7) / 8;
        const u64 start = (u64)tile.index * GZ_TILE, stop = lesser(size, start + GZ_TILE);
        if (padding && tile.index == 0 && threadIdx.x == 0)
            target[padding == 1 ? 0 : bytes] = (u8)(8 * bytes - size);
        u8* packed = target + (padding == 1 ? 1 : 0);
        for (u64 i = start + 32 * threadIdx.x; i < stop; i += 32 * GZ_THREADS) {
            const u8 *at = source + i, *last = source + size;
            u32 bits = 0;
            if (i + 32 <= stop) {
                bits = sixteen_bits(load_16(at, source, last))
                       | sixteen_bits(load_16(at + 16, source, last)) << 16;
            } else {
                for (u32 k = 0; i + k < stop; k++) bits |= (u32)(at[k] != 0) << k;
            }
            if (msb) bits = __byte_perm(__brev(bits), 0, 0x0123);
            if (i + 32 <= stop) {
                store_u32(packed + i / 8, bits);
            } else {
                for (u32 k = 0; i / 8 + k < bytes && k < 4; k++)
                    packed[i / 8 + k] = (u8)(bits >> (8 * k));
            }
        }
    }
}
