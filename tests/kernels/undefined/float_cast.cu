extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const float value = 3e9f * (float)a[threadIdx.x];
    b[threadIdx.x] = (unsigned)value;  // here: undefined behaviour
}
