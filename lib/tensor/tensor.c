/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <string.h>

#include "tensor/kquant.h"

/* ORDER dtype */
static const struct { const char *name; size_t size; } dtypes[LLS_N_DTYPES] = {
    { "float32", 4 }, { "float16", 2 }, { "bfloat16", 2 }, { "float8_e4m3", 1 },
    { "int8", 1 },    { "int32", 4 },   { "uint32", 4 },   { "uint8", 1 },
};

/* ORDER scheme */
static const struct scheme { const char *name; uint32_t block, bytes; } schemes[LLS_N_SCHEMES] = {
    { "F32", 1, 4 },    { "F16", 1, 2 },    { "BF16", 1, 2 },   { "Q4_0", 32, 18 },
    { "Q4_1", 32, 20 }, { "Q5_0", 32, 22 }, { "Q5_1", 32, 24 }, { "Q8_0", 32, 34 },
    { "IQ4_NL", 32, 18 },
    { "Q2_K", LLS_K_BLOCK, 84 },  { "Q3_K", LLS_K_BLOCK, 110 }, { "Q4_K", LLS_K_BLOCK, 144 },
    { "Q5_K", LLS_K_BLOCK, 176 }, { "Q6_K", LLS_K_BLOCK, 210 }, { "IQ4_XS", LLS_K_BLOCK, 136 },
    { "INT4_G128", 128, 68 },
};

static const struct scheme *scheme_of(uint32_t scheme)
{
    lls_assert(scheme < LLS_N_SCHEMES);
    return &schemes[scheme < LLS_N_SCHEMES ? scheme : 0];
}

size_t lls_dtype_size(uint32_t dtype)
{
    lls_assert(dtype < LLS_N_DTYPES);
    return dtypes[dtype < LLS_N_DTYPES ? dtype : 0].size;
}

const char *lls_dtype_name(uint32_t dtype)
{
    return dtype < LLS_N_DTYPES ? dtypes[dtype].name : "?";
}

const char *lls_scheme_name(uint32_t scheme)
{
    return scheme < LLS_N_SCHEMES ? schemes[scheme].name : "?";
}

uint32_t lls_scheme_block(uint32_t scheme) { return scheme_of(scheme)->block; }

uint32_t lls_scheme_block_bytes(uint32_t scheme) { return scheme_of(scheme)->bytes; }

uint64_t lls_scheme_row_bytes(uint32_t scheme, uint64_t n)
{
    const struct scheme *s = scheme_of(scheme);

    lls_assert(n % s->block == 0);
    return n / s->block * s->bytes;
}

float lls_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31, frac = h & 0x3ffu;

    if (exp == 31)
        return lls_float_of(sign | 0x7f800000u | frac << 13);
    if (exp == 0) {
        float f = (float)frac * 0x1p-24f;       /* exact: ten bits */
        return sign != 0 ? -f : f;
    }
    return lls_float_of(sign | (exp + 112) << 23 | frac << 13);
}

/* |f| below 2^-14, as a multiple of 2^-24; u is its bits. */
static uint32_t round_to_subnormal(uint32_t u)
{
    uint32_t shift = 126 - (u >> 23), frac = (u & 0x7fffffu) | 0x800000u, q, rest, half;

    if (shift > 24)
        return 0;
    q = frac >> shift;
    rest = frac & ((1u << shift) - 1);
    half = 1u << (shift - 1);
    return q + (rest > half || (rest == half && (q & 1) != 0));
}

uint16_t lls_f32_to_f16(float f)
{
    uint32_t bits = lls_bits_of(f), sign = bits >> 16 & 0x8000u, u = bits & 0x7fffffffu;

    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x47800000u)                       /* 65536 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (u < 0x38800000u)
        return (uint16_t)(sign | round_to_subnormal(u));
    u -= 112u << 23;                            /* the carry of rounding may reach infinity */
    return (uint16_t)(sign | (u + 0xfffu + (u >> 13 & 1)) >> 13);
}

static uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float load_f16(const uint8_t *p) { return lls_f16_to_f32(load_u16(p)); }

/* One block of 32: d * (q - zero), low nibbles first. */
static void block_q4(float d, int zero, float m, const uint8_t *nibbles, float *out)
{
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((nibbles[j] & 15) - zero) + m;
        out[j + 16] = d * (float)((nibbles[j] >> 4) - zero) + m;
    }
}

/* As block_q4() with a fifth bit for each value: bit i of `high` belongs to value i. */
static void block_q5(float d, int zero, float m, uint32_t high, const uint8_t *nibbles, float *out)
{
    for (int j = 0; j < 16; j++) {
        int lo = (nibbles[j] & 15) | (int)(high >> j & 1) << 4;
        int hi = nibbles[j] >> 4 | (int)(high >> (j + 16) & 1) << 4;

        out[j] = d * (float)(lo - zero) + m;
        out[j + 16] = d * (float)(hi - zero) + m;
    }
}

static void block_q8(float d, const uint8_t *bytes, float *out)
{
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)(int8_t)bytes[j];
}

static void block_iq4(float d, const uint8_t *codes, float *out)
{
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((int)lls_iq4_values[codes[j] & 15] - 128);
        out[j + 16] = d * (float)((int)lls_iq4_values[codes[j] >> 4] - 128);
    }
}

static void block_k(uint32_t scheme, const uint8_t *p, float *out)
{
    lls_ktraits_t t = lls_k_traits(scheme);
    lls_kblock_t  b;

    lls_k_unpack(scheme, p, &b);
    for (uint32_t i = 0; i < LLS_K_BLOCK; i++) {
        float d = lls_f16_to_f32(b.d) * (float)b.scales[i / t.group];
        float m = t.min ? lls_f16_to_f32(b.d_min) * (float)b.mins[i / t.group] : 0.0f;

        out[i] = d * (float)((int)b.q[i] - (int)t.zero) - m;
    }
}

static void block_g128(float d, float m, const uint8_t *nibbles, float *out)
{
    for (int g = 0; g < 4; g++)
        block_q4(d, 0, m, nibbles + 16 * g, out + 32 * g);
}

/* + -0.0 leaves every value as it is, a zero of either sign too, so the formats without a minimum
 * share the code of those with one. */
static void dequantise_block(uint32_t scheme, const uint8_t *p, float *out)
{
    switch (scheme) {
    case LLS_W_Q4_0: block_q4(load_f16(p), 8, -0.0f, p + 2, out); break;
    case LLS_W_Q4_1: block_q4(load_f16(p), 0, load_f16(p + 2), p + 4, out); break;
    case LLS_W_Q5_0: block_q5(load_f16(p), 16, -0.0f, load_u32(p + 2), p + 6, out); break;
    case LLS_W_Q5_1: block_q5(load_f16(p), 0, load_f16(p + 2), load_u32(p + 4), p + 8, out); break;
    case LLS_W_Q8_0: block_q8(load_f16(p), p + 2, out); break;
    case LLS_W_IQ4_NL: block_iq4(load_f16(p), p + 2, out); break;
    case LLS_W_INT4_G128: block_g128(load_f16(p), load_f16(p + 2), p + 4, out); break;
    default: block_k(scheme, p, out);
    }
}

void lls_dequantise(uint32_t scheme, const void *row, uint32_t first, uint32_t n, float *out)
{
    const uint8_t *p = row;
    uint32_t       block = lls_scheme_block(scheme), bytes = lls_scheme_block_bytes(scheme);

    lls_assert(first % block == 0 && n % block == 0);
    p += (size_t)(first / block) * bytes;
    switch (scheme) {
    case LLS_W_F32:                             /* rows may be unaligned; hosts are little-endian */
        memcpy(out, p, (size_t)n * sizeof *out);
        break;
    case LLS_W_F16:
        for (uint32_t i = 0; i < n; i++)
            out[i] = load_f16(p + 2 * (size_t)i);
        break;
    case LLS_W_BF16:
        for (uint32_t i = 0; i < n; i++)
            out[i] = lls_bf16_to_f32(load_u16(p + 2 * (size_t)i));
        break;
    default:
        for (uint32_t i = 0; i < n; i += block, p += bytes)
            dequantise_block(scheme, p, out + i);
    }
}
