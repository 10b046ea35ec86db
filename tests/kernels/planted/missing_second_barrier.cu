// launch: grid 1, block 64
// A loop writes again what slower threads have not read yet.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s[64];
    const unsigned i = threadIdx.x;
    unsigned sum = 0;
    for (unsigned k = 0; k < 4; k++) {
        s[i] = a[i] + k;  // here: race
        __syncthreads();
        sum += s[63 - i];  // here: race
    }
    b[i] = sum;
}
