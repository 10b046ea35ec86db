// CUDA C++ as g++ understands it: the names that a kernel may use, given to the runtime.
// Compiled in front of every .cu file (-include); the file itself stands in a namespace without
// a name, so that what its templates instantiate is its own, __shared__ variables included.
#pragma once
#include <math.h>
#include <string.h>
#include <type_traits>
#include <utility>

#include "interface.hpp"

#define GZ_EMU 1
#define __CUDA_ARCH__ 900

#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict

// All threads of a block run on one thread of the host, so that a static variable is shared by the
// block. Shared variables have no initial value, and nothing else in a module has none: they are
// its .bss (a section of their own is ignored by g++ in templates).
#define __shared__ static __attribute__((used))

#ifndef GZEMU_SCAN  // the loader looks for these words in the preprocessed text
#define __global__
#define __launch_bounds__(...)
#endif

// Constant for the compiler, since no thread sees its own change; so the check build does not
// instrument it.
extern const gzemu::Coordinates gzemu_here asm("gzemu_here");
#define threadIdx (gzemu_here.thread)
#define blockIdx (gzemu_here.block)
#define blockDim (gzemu_here.block_size)
#define gridDim (gzemu_here.grid_size)
#define warpSize 32

#define GZEMU_INLINE inline __attribute__((always_inline))

#include "intrinsics.hpp"
#include "vectors.hpp"

namespace gzemu {

template <class T>
GZEMU_INLINE uint64_t bits_of(T value) {
    static_assert(sizeof(T) <= 8, "collectives take up to 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
GZEMU_INLINE T value_of(uint64_t bits) {
    T value;
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

template <class T>
GZEMU_INLINE T warp(Operation operation, unsigned mask, T value, int argument = 0,
                    int width = 32) {
    return value_of<T>(warp_collective(operation, mask, bits_of(value), argument, width));
}

// The checker knows an atomic access from the call before it; the access itself is not
// instrumented, and so not inlined in the check build either.
#ifdef GZEMU_CHECK
#define GZEMU_UNCHECKED static __attribute__((noinline, no_sanitize_thread))
#else
#define GZEMU_UNCHECKED static GZEMU_INLINE
#endif

template <class T, class Change>
GZEMU_UNCHECKED T exchanged(volatile T* address, Change change) {
    T old = *address;
    *address = change(old);
    return old;
}

template <class T, class Change>
GZEMU_INLINE T atomically(T* address, Change change) {
#ifdef GZEMU_CHECK
    atomic_access(address, sizeof(T));
#endif
    return exchanged(address, change);
}

}  // namespace gzemu

GZEMU_INLINE void __syncthreads() { gzemu::block_barrier(gzemu::Vote::count, false); }
GZEMU_INLINE int __syncthreads_count(int p) {
    return gzemu::block_barrier(gzemu::Vote::count, p != 0);
}
GZEMU_INLINE int __syncthreads_and(int p) { return gzemu::block_barrier(gzemu::Vote::all, p != 0); }
GZEMU_INLINE int __syncthreads_or(int p) { return gzemu::block_barrier(gzemu::Vote::any, p != 0); }
GZEMU_INLINE void __syncwarp(unsigned mask = 0xffffffffu) {
    gzemu::warp<uint32_t>(gzemu::Operation::syncwarp, mask, 0);
}

#define GZEMU_SHUFFLE(name, operation, Argument)                                              \
    template <class T>                                                                        \
    GZEMU_INLINE T name(unsigned mask, T value, Argument argument, int width = 32) {          \
        return gzemu::warp(gzemu::Operation::operation, mask, value, (int)argument, width);   \
    }
GZEMU_SHUFFLE(__shfl_sync, shfl, int)
GZEMU_SHUFFLE(__shfl_up_sync, shfl_up, unsigned)
GZEMU_SHUFFLE(__shfl_down_sync, shfl_down, unsigned)
GZEMU_SHUFFLE(__shfl_xor_sync, shfl_xor, int)

GZEMU_INLINE unsigned __ballot_sync(unsigned mask, int p) {
    return gzemu::warp<uint32_t>(gzemu::Operation::ballot, mask, p != 0);
}
GZEMU_INLINE int __any_sync(unsigned mask, int p) {
    return gzemu::warp<int>(gzemu::Operation::any, mask, p != 0);
}
GZEMU_INLINE int __all_sync(unsigned mask, int p) {
    return gzemu::warp<int>(gzemu::Operation::all, mask, p != 0);
}
template <class T>
GZEMU_INLINE unsigned __match_any_sync(unsigned mask, T value) {
    return (unsigned)gzemu::warp_collective(gzemu::Operation::match_any, mask,
                                            gzemu::bits_of(value), 0, 32);
}
#define GZEMU_REDUCE(name, operation, T)                               \
    GZEMU_INLINE T name(unsigned mask, T value) {                      \
        return gzemu::warp(gzemu::Operation::operation, mask, value);  \
    }
GZEMU_REDUCE(__reduce_add_sync, reduce_add, unsigned)
GZEMU_REDUCE(__reduce_add_sync, reduce_add, int)
GZEMU_REDUCE(__reduce_min_sync, reduce_min, unsigned)
GZEMU_REDUCE(__reduce_min_sync, reduce_min_signed, int)
GZEMU_REDUCE(__reduce_max_sync, reduce_max, unsigned)
GZEMU_REDUCE(__reduce_max_sync, reduce_max_signed, int)
GZEMU_REDUCE(__reduce_and_sync, reduce_and, unsigned)
GZEMU_REDUCE(__reduce_or_sync, reduce_or, unsigned)
GZEMU_REDUCE(__reduce_xor_sync, reduce_xor, unsigned)

GZEMU_INLINE unsigned __activemask() { return gzemu::active_mask(); }
GZEMU_INLINE void __trap() { gzemu::trap(); }
// Fences order nothing here: the checker accepts barriers alone, which order memory as well.
GZEMU_INLINE void __threadfence() {}
GZEMU_INLINE void __threadfence_block() {}

#define GZEMU_ATOMIC(name, changed)                                       \
    template <class T, class V>                                           \
    GZEMU_INLINE T name(T* address, V given) {                            \
        const T v = (T)given;                                             \
        return gzemu::atomically(address, [v](T o) -> T { return changed; }); \
    }
GZEMU_ATOMIC(atomicAdd, o + v)
GZEMU_ATOMIC(atomicSub, o - v)
GZEMU_ATOMIC(atomicMin, v < o ? v : o)
GZEMU_ATOMIC(atomicMax, o < v ? v : o)
GZEMU_ATOMIC(atomicAnd, o & v)
GZEMU_ATOMIC(atomicOr, o | v)
GZEMU_ATOMIC(atomicXor, o ^ v)
GZEMU_ATOMIC(atomicExch, v)
template <class T, class C, class V>
GZEMU_INLINE T atomicCAS(T* address, C compared, V given) {
    const T c = (T)compared, v = (T)given;
    return gzemu::atomically(address, [c, v](T o) -> T { return o == c ? v : o; });
}

#ifdef GZEMU_CHECK  // the library's copies are not instrumented
GZEMU_INLINE void* gzemu_copy(void* to, const void* from, size_t size) {
    gzemu::range_access(from, size, false);
    gzemu::range_access(to, size, true);
    return __builtin_memmove(to, from, size);
}
GZEMU_INLINE void* gzemu_set(void* to, int value, size_t size) {
    gzemu::range_access(to, size, true);
    return __builtin_memset(to, value, size);
}
#define memcpy gzemu_copy
#define memmove gzemu_copy
#define memset gzemu_set
#endif

// --- the table of a module's kernels, written behind the .cu file by the loader ---------------

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}

namespace gzemu {

template <class T>
constexpr Parameter parameter() {
    return {sizeof(T), std::is_pointer<T>::value          ? pointer
                       : std::is_floating_point<T>::value ? floating
                       : std::is_integral<T>::value       ? integer
                                                          : structure};
}

template <class... P>
struct Signature {
    static constexpr Parameter parameters[] = {parameter<std::remove_cv_t<P>>()..., {0, 0}};
    static constexpr uint32_t count = sizeof...(P);

    // the arguments lie in memory of the host, which the checker does not know
    template <void (*kernel)(P...), size_t... I>
    __attribute__((no_sanitize_thread)) static void with(void** arguments, std::index_sequence<I...>) {
        kernel(*(std::remove_cv_t<P>*)arguments[I]...);
    }
    template <void (*kernel)(P...)>
    __attribute__((no_sanitize_thread)) static void call(void** arguments) {
        with<kernel>(arguments, std::index_sequence_for<P...>{});
    }
};

template <class... P>
Signature<P...> signature_of(void (*)(P...));

constexpr uint32_t most_threads(uint32_t given = 0, ...) { return given; }

}  // namespace gzemu

// The parameters, as text, tell the kernel from device functions of its name.
#define GZEMU_KERNEL(name, bounds, ...)                                                      \
    {#name,                                                                                  \
     decltype(gzemu::signature_of((void (*)(__VA_ARGS__))nullptr))::call<                    \
         static_cast<void (*)(__VA_ARGS__)>(&name)>,                                         \
     decltype(gzemu::signature_of((void (*)(__VA_ARGS__))nullptr))::parameters,              \
     decltype(gzemu::signature_of((void (*)(__VA_ARGS__))nullptr))::count,                   \
     gzemu::most_threads bounds},

#ifdef GZEMU_CHECK
#define GZEMU_IS_CHECKED 1
#else
#define GZEMU_IS_CHECKED 0
#endif

#define GZEMU_MODULE(...)                                                                      \
    static const gzemu::Kernel gzemu_kernels[] = {__VA_ARGS__};                                \
    extern "C" GZEMU_EXPORT const gzemu::Module gzemu_module = {                               \
        gzemu_kernels, sizeof gzemu_kernels / sizeof *gzemu_kernels, GZEMU_IS_CHECKED,         \
        __bss_start,   _end,  __ehdr_start, _end};
