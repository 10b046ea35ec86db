// launch: grid 2, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    unsigned char* bytes = (unsigned char*)b;
    bytes[blockIdx.x * 31 + threadIdx.x] = (unsigned char)a[threadIdx.x];  // here: race
}
