// Words read and written byte by byte, at any address; a compiler may make words of them again.
extern "C" __global__ void bytes(const unsigned char* a, unsigned char* b) {
    const unsigned char* at = a + threadIdx.x;
    const unsigned v = at[0] | (unsigned)at[1] << 8 | (unsigned)at[2] << 16 | (unsigned)at[3] << 24;
    unsigned char* out = b + 4 * threadIdx.x;
    out[0] = (unsigned char)v;
    out[1] = (unsigned char)(v >> 8);
    out[2] = (unsigned char)(v >> 16);
    out[3] = (unsigned char)(v >> 24);
}
