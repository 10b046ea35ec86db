// No collectives; an argument of each kind.
struct Box {
    unsigned start, step;
};
__constant__ unsigned table[4] = {10, 20, 30, 40};

extern "C" __global__ void plain(const unsigned* a, unsigned* b, unsigned long long count, Box box,
                                 float scale, bool is_negative) {
    const unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float value = scale * (float)a[box.start + i * box.step];
    b[i] = (unsigned)(is_negative ? -value + 1000.0f : value) + table[i % 4];
}
extern "C" __global__ void nothing() {}
