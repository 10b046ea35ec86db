// The emulator's C interface for a test on another machine: commands on stdin, answers on stdout.
// A command is a letter; numbers have 8 bytes, and blocks of bytes their length in front.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "scheduler.hpp"

using Bytes = std::vector<char>;

static void take(void* to, size_t size) {
    if (size && fread(to, size, 1, stdin) != 1) exit(0);
}
static uint64_t number() {
    uint64_t value;
    take(&value, sizeof value);
    return value;
}
static Bytes block() {
    Bytes bytes(number());
    take(bytes.data(), bytes.size());
    return bytes;
}
static void answer(uint64_t value) { fwrite(&value, sizeof value, 1, stdout); }
static void answer(const void* bytes, size_t size) {
    answer(size);
    fwrite(bytes, 1, size, stdout);
}

static void* opened(const char* path) {
    void* library = dlopen(path, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return library;
}

static void load() {
    Bytes path = block();
    path.push_back(0);
    const auto* found = (const gzemu::Module*)dlsym(opened(path.data()), "gzemu_module");
    answer((uint64_t)found);
    answer(found->kernel_count);
    for (uint32_t k = 0; k < found->kernel_count; k++) {
        const gzemu::Kernel& kernel = found->kernels[k];
        answer(kernel.name, strlen(kernel.name));
        answer(kernel.most_threads);
        answer(kernel.parameters, kernel.parameter_count * sizeof *kernel.parameters);
    }
}

int main(int, char** arguments) {
    void* runtime = opened(arguments[1]);
    auto allocate = (void* (*)(size_t))dlsym(runtime, "gzemu_allocate");
    auto release = (void (*)(void*))dlsym(runtime, "gzemu_free");
    auto written = (void (*)(void*, size_t))dlsym(runtime, "gzemu_written");
    auto launch = (int (*)(const void*, uint32_t, const void*, void**, gzemu::Failure*))dlsym(
        runtime, "gzemu_launch");
    for (;;) {
        char command;
        take(&command, 1);
        switch (command) {
        case 'a': answer((uint64_t)allocate(number())); break;
        case 'f': release((void*)number()); break;
        case 'p': {  // bytes, which count as written or not
            void* to = (void*)number();
            const Bytes bytes = block();
            memcpy(to, bytes.data(), bytes.size());
            if (number()) written(to, bytes.size());
            break;
        }
        case 'g': {
            const void* from = (const void*)number();
            answer(from, number());
            break;
        }
        case 'm': load(); break;
        case 'l': {
            const void* module = (const void*)number();
            const uint32_t kernel = (uint32_t)number();
            const Bytes options = block();
            std::vector<Bytes> values(number());
            std::vector<void*> pointers;
            for (Bytes& value : values) {
                value = block();
                pointers.push_back(value.data());
            }
            gzemu::Failure failure;
            answer((uint64_t)launch(module, kernel, options.data(), pointers.data(), &failure));
            answer(&failure, sizeof failure);
            break;
        }
        default: exit(2);
        }
        fflush(stdout);
    }
}
