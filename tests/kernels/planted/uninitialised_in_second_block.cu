// launch: grid 2, block 1
// What a block left in shared memory is not the next one's to read.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s;
    if (a[blockIdx.x] == a[0]) s = 1;
    b[blockIdx.x] = s;  // here: uninitialised read
}
