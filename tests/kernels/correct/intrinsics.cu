extern "C" __global__ void intrinsics(const unsigned* a, unsigned* b) {
    const unsigned x = a[0], y = a[1];
    const unsigned long long wide = (unsigned long long)x << 32 | y;
    unsigned* out = b;
    *out++ = (unsigned)__ffs((int)x);
    *out++ = (unsigned)__clz((int)x);
    *out++ = (unsigned)__clzll((long long)(wide >> 40));
    *out++ = (unsigned)__popc(x);
    *out++ = (unsigned)__popcll(wide);
    *out++ = __brev(x);
    *out++ = __byte_perm(x, y, 0x5140);
    *out++ = __byte_perm(x, y, 0xba98);
    *out++ = __funnelshift_r(x, y, 12);
    *out++ = __funnelshift_l(x, y, 12);
    *out++ = __umulhi(x, y);
    *out++ = (unsigned)(__umul64hi(wide, wide) >> 32);
    *out++ = min(x, 7u) + max(3, 4);
    *out++ = __float_as_uint(1.5f);
    *out++ = (unsigned)sizeof(uint4) + alignof(uint4) + alignof(ushort4) + alignof(double2);
}
