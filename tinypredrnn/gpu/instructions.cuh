// The six instructions that convolution.cu is made of and that C++ has no words for. Written in PTX rather than with <mma.h>, which
// pip's CUDA packages for CuPy come without. (tests/gpu/emulation.hpp has the same functions for a processor without a GPU.)
//
// Where the numbers of a fragment lie is fixed by the PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16".

// Copy BYTES (4 or 16) from global to shared memory, which goes on behind the program's back; zeros instead if not `valid`.
template <int BYTES>
__device__ void copy_async(float *shared, const float *global, bool valid) {
    unsigned address = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(global), "n"(BYTES), "r"(valid ? BYTES : 0)
                 : "memory");
}

// The copies since the last commit are one group.
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until at most the last PENDING groups of this thread are still on their way.
template <int PENDING>
__device__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }

// float32 rounded to TF32: the same 8 bits of exponent, 10 of mantissa instead of 23.
__device__ unsigned tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// Two numbers as bfloat16 (8 bits of exponent, 7 of mantissa), the first in the lower half.
__device__ unsigned bf16(float first, float second) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
    return bits;
}

// c (16,8) += a (16,8) b (8,8) in TF32 by the 32 threads of a warp together, each of which holds its share.
__device__ void multiply_tf32(float *c, const unsigned *a, const unsigned *b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// c (16,8) += a (16,16) b (16,8) in bfloat16, summed in float32.
__device__ void multiply_bf16(float *c, const unsigned *a, const unsigned *b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
