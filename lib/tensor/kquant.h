/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kquant - GGUF's blocks of 256 values with two levels of scales, taken apart.
 *
 * Such a block has one f16 scale, perhaps one f16 minimum, and for each group of 16 or 32 values a
 * small integer that multiplies them:
 *
 *   w = (d * scale[g]) * (q - zero) - (d_min * min[g])
 *
 * Both products in brackets are exact in float32, and so is the one with q: only the difference is
 * rounded.  The values of IQ4_XS and IQ4_NL are codes into a table of int8; they come as entries of
 * the table, plus 128.
 */
#ifndef LLS_TENSOR_KQUANT_H
#define LLS_TENSOR_KQUANT_H

#include "tensor/tensor.h"

#define LLS_K_BLOCK 256u

typedef struct lls_ktraits {
    uint32_t zero;                  /* q that stands for 0; 0 with minima */
    uint32_t group;                 /* values under one scale: 16 or 32 */
    bool     min;
} lls_ktraits_t;

typedef struct lls_kblock {
    uint16_t d, d_min;              /* f16 */
    int8_t   scales[16], mins[16];  /* of the groups; mins 0 if there are none */
    uint8_t  q[LLS_K_BLOCK];
} lls_kblock_t;

/* Entry of the table + 128, by code. */
extern const uint8_t lls_iq4_values[16];

static inline bool lls_scheme_is_k(uint32_t scheme)
{
    return scheme >= LLS_W_Q2_K && scheme <= LLS_W_IQ4_XS;
}

/* Of a scheme for which lls_scheme_is_k(). */
lls_ktraits_t lls_k_traits(uint32_t scheme);
void          lls_k_unpack(uint32_t scheme, const uint8_t *block, lls_kblock_t *out);

#endif
