/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor - element types, the formats in which checkpoints store matrices, and views of data.
 */
#ifndef LLS_TENSOR_TENSOR_H
#define LLS_TENSOR_TENSOR_H

#include "base/num.h"
#include "base/status.h"

/* ORDER dtype */
enum lls_dtype {
    LLS_F32, LLS_F16, LLS_BF16, LLS_F8_E4M3, LLS_I8, LLS_I32, LLS_U32, LLS_U8, LLS_N_DTYPES
};

/* ORDER scheme: how a matrix is stored.  The block formats are GGUF's: rows of blocks of 32 values,
 * or from Q2_K on of 256 (tensor/kquant.h); the last is made while loading only. */
enum lls_scheme {
    LLS_W_F32, LLS_W_F16, LLS_W_BF16,
    LLS_W_Q4_0,     /* f16 d, 16 bytes of nibbles: w = d * (q - 8); low nibbles are values 0-15 */
    LLS_W_Q4_1,     /* f16 d, f16 m, 16 bytes of nibbles: w = d * q + m */
    LLS_W_Q5_0,     /* f16 d, 4 bytes of fifth bits, 16 bytes of nibbles: w = d * (q - 16) */
    LLS_W_Q5_1,     /* f16 d, f16 m, 4 bytes of fifth bits, 16 bytes of nibbles: w = d * q + m */
    LLS_W_Q8_0,     /* f16 d, 32 int8: w = d * q */
    LLS_W_IQ4_NL,   /* f16 d, 16 bytes of nibbles: w = d * table[q] */
    LLS_W_Q2_K, LLS_W_Q3_K, LLS_W_Q4_K, LLS_W_Q5_K, LLS_W_Q6_K, LLS_W_IQ4_XS,
    LLS_N_GGUF_SCHEMES,
    LLS_W_INT4_G128 = LLS_N_GGUF_SCHEMES,   /* 128 values: f16 d, f16 m, 4 times 16 bytes as Q4_1 */
    LLS_N_SCHEMES
};

typedef struct lls_tensor {         /* row-major, last axis contiguous */
    void    *data;                  /* where exec's backend keeps data; an offset while planning */
    uint32_t dtype, n_dims;         /* enum lls_dtype */
    uint32_t shape[4];
    uint64_t stride[3];             /* in elements, of all axes but the last */
} lls_tensor_t;

size_t      lls_dtype_size(uint32_t dtype);
const char *lls_dtype_name(uint32_t dtype);         /* "float32", "bfloat16", ...; static */
const char *lls_scheme_name(uint32_t scheme);       /* "F32", "Q4_1", ...; static */
uint32_t    lls_scheme_block(uint32_t scheme);      /* values in a block: 1, 32, 128, 256 */
uint32_t    lls_scheme_block_bytes(uint32_t scheme);
/* Bytes of a row of n values; n must be a multiple of the block. */
uint64_t    lls_scheme_row_bytes(uint32_t scheme, uint64_t n);
/* Values [first, first + n) of a row to float32; both multiples of the block. */
void        lls_dequantise(uint32_t scheme, const void *row, uint32_t first, uint32_t n,
                           float *out);

float    lls_f16_to_f32(uint16_t h);
uint16_t lls_f32_to_f16(float f);   /* to nearest, ties to even */
static inline float lls_bf16_to_f32(uint16_t h)
{
    return lls_float_of((uint32_t)h << 16);
}

/* To nearest, ties to even; a NaN stays one. */
static inline uint16_t lls_f32_to_bf16(float f)
{
    uint32_t u = lls_bits_of(f);

    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

#endif
