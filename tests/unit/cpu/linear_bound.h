/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear_bound - how far a linear op may be from float64, for the tests of the linear ops.  Include
 * unit/test.h first.
 */
#ifndef LLS_LINEAR_BOUND_H
#define LLS_LINEAR_BOUND_H

#include <math.h>

#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"

/* How far a kernel may be from the exact product with the weights it was given. */
typedef struct bound {
    double relative;                /* of sum |x| |w|: rounding of sums and by the form */
    double step;                    /* and of the largest of 32 for each activation */
} bound_t;

/* Of pairs of bfloat16. */
static inline bool has_dots(uint32_t isa)
{
    return isa == LLS_ISA_AVX512BF16 || lls_isa_has_tiles(isa);
}

static inline bound_t bound_of(uint32_t isa, uint32_t scheme, uint32_t dtype)
{
    bound_t b = { .relative = 1e-6 };

    if (dtype == LLS_F32 && scheme != LLS_W_F32 && scheme != LLS_W_F16 && scheme != LLS_W_BF16)
        return b;
    if (isa == LLS_ISA_AMX && scheme >= LLS_W_Q4_0)     /* both are rounded to 8 bits */
        b = (bound_t){ .relative = 8.5e-3 };
    else if (scheme == LLS_W_Q2_K || scheme == LLS_W_Q3_K)  /* half a step of 15 bits */
        b.step = 1 / 254.0 / 250;
    else if (scheme >= LLS_W_Q4_0)                      /* of int8 */
        b.step = 1 / 254.0;
    else if (dtype == LLS_BF16)         /* weights to 8 bits, and activations if the CPU has dots */
        b.relative = (scheme == LLS_W_BF16 ? 1e-6 : 4e-3) + (has_dots(isa) ? 4e-3 : 0);
    else if (dtype == LLS_F16 && scheme != LLS_W_F16)   /* to 11 bits */
        b.relative = 5e-4;
    return b;
}

static inline double exact(const float *x, const float *w, uint32_t n, bound_t b, double *allowed)
{
    double sum = 0, magnitude = 0;
    float  max = 0;

    *allowed = 0;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = k; k % 32 == 0 && b.step > 0 && i < k + 32; i++)
            max = i == k ? fabsf(x[i]) : fmaxf(max, fabsf(x[i]));
        sum += (double)x[k] * w[k];
        magnitude += fabs((double)x[k] * w[k]);
        *allowed += max * b.step * fabs((double)w[k]);
    }
    *allowed += b.relative * magnitude + 1e-30;
    return sum;
}

static inline void check_rows(const lls_tensor_t *out, const lls_tensor_t *in,
                              const float *values, bound_t b)
{
    for (uint32_t r = 0; r < out->shape[0]; r++)
        for (uint32_t c = 0; c < out->shape[1]; c++) {
            uint32_t n = in->shape[1];
            double   allowed, want, got = lls_row_f32(out, r)[c];

            want = exact(lls_row_f32(in, r), values + (size_t)c * n, n, b, &allowed);
            if (!(fabs(got - want) <= allowed))
                fail_msg("row %u column %u of %u x %u: %.9g, not %.9g +- %.3g", r, c, n,
                         out->shape[1], got, want, allowed);
        }
}

#endif
