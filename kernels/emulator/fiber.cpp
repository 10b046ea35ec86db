#include "fiber.hpp"

#ifdef GZEMU_SWITCHED_BY_HAND
#if defined(__x86_64__)

asm(R"(
.text
.globl gzemu_switch
.hidden gzemu_switch
.type gzemu_switch, @function
gzemu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size gzemu_switch, .-gzemu_switch
)");

#else  // aarch64: d8 to d15 are preserved by half, x18 belongs to the platform

asm(R"(
.text
.globl gzemu_switch
.hidden gzemu_switch
.type gzemu_switch, %function
gzemu_switch:
    stp x19, x20, [sp, #-160]!
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x19, x20, [sp], #160
    ret
.size gzemu_switch, .-gzemu_switch
)");

#endif
#endif
