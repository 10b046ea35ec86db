// Integers and doubles that live on while other threads run: more than a call preserves.
template <class T>
__device__ T mixed(T value) {
    T live[32], sum = 0;
#pragma GCC unroll 32
    for (int k = 0; k < 32; k++) live[k] = value * (k + 3) + k;
    const unsigned next = __shfl_down_sync(0xffffffffu, threadIdx.x, 1);
    __syncthreads();
#pragma GCC unroll 32
    for (int k = 0; k < 32; k++) sum = sum * 3 + live[k];
    return sum + (T)next;
}
extern "C" __global__ void registers(const unsigned* a, unsigned long long* integers,
                                     double* doubles) {
    integers[threadIdx.x] = mixed((unsigned long long)a[threadIdx.x]);
    doubles[threadIdx.x] = mixed((double)a[threadIdx.x]);
}
