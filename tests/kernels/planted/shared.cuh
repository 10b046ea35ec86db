#pragma once
#if defined(GZ_EMU)
#define DYNAMIC_SHARED(T, name) T* name = (T*)gzemu::dyn_shared()
#else
#define DYNAMIC_SHARED(T, name)           \
    extern __shared__ uint4 dynamic_[];   \
    T* name = (T*)dynamic_
#endif
