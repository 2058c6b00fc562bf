/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/kquant.h"

#include <string.h>

const uint8_t lls_iq4_values[16] = {
    128 - 127, 128 - 104, 128 - 83, 128 - 65, 128 - 49, 128 - 35, 128 - 22, 128 - 10,
    128 + 1,   128 + 13,  128 + 25, 128 + 38, 128 + 53, 128 + 69, 128 + 89, 128 + 113,
};

lls_ktraits_t lls_k_traits(uint32_t scheme)
{
    switch (scheme) {
    case LLS_W_Q2_K: return (lls_ktraits_t){ 0, 16, true };
    case LLS_W_Q3_K: return (lls_ktraits_t){ 4, 16, false };
    case LLS_W_Q6_K: return (lls_ktraits_t){ 32, 16, false };
    case LLS_W_IQ4_XS: return (lls_ktraits_t){ 128, 32, false };
    default:
        lls_assert(scheme == LLS_W_Q4_K || scheme == LLS_W_Q5_K);
        return (lls_ktraits_t){ 0, 32, true };
    }
}

static uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

/* 16 x 4 bits of scale, low, and of minimum; 64 bytes, each with 2 bits of four values that are 32
 * apart; d; d_min. */
static void unpack_q2(const uint8_t *b, lls_kblock_t *out)
{
    const uint8_t *qs = b + 16;

    for (uint32_t g = 0; g < 16; g++) {
        out->scales[g] = (int8_t)(b[g] & 15);
        out->mins[g] = (int8_t)(b[g] >> 4);
    }
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t l = 0; l < 32; l++)
            out->q[32 * i + l] = qs[i / 4 * 32 + l] >> 2 * (i % 4) & 3;
    out->d = load_u16(b + 80);
    out->d_min = load_u16(b + 82);
}

/* 32 bytes of third bits: bit i of byte l is of value 32 i + l; values as in Q2_K; 16 scales of 6
 * bits less 32: 8 bytes of low nibbles, then high ones, 4 bytes of upper pairs of bits; d. */
static void unpack_q3(const uint8_t *b, lls_kblock_t *out)
{
    const uint8_t *qs = b + 32, *low = b + 96, *high = b + 104;

    for (uint32_t g = 0; g < 16; g++) {
        int four = g < 8 ? low[g] & 15 : low[g - 8] >> 4;

        out->scales[g] = (int8_t)((four | (high[g % 4] >> g / 4 * 2 & 3) << 4) - 32);
    }
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t l = 0; l < 32; l++)
            out->q[32 * i + l] = (uint8_t)((qs[i / 4 * 32 + l] >> 2 * (i % 4) & 3) |
                                           (b[l] >> i & 1) << 2);
    out->d = load_u16(b + 108);
}

/* d; d_min; 8 scales and 8 minima of 6 bits in 12 bytes: the first four of each below the top two
 * bits of 8 bytes, which are the top bits of the others, whose low four bits follow. */
static void unpack_head(const uint8_t *b, lls_kblock_t *out)
{
    const uint8_t *s = b + 4;

    out->d = load_u16(b);
    out->d_min = load_u16(b + 2);
    for (uint32_t g = 0; g < 4; g++) {
        out->scales[g] = (int8_t)(s[g] & 63);
        out->mins[g] = (int8_t)(s[g + 4] & 63);
        out->scales[g + 4] = (int8_t)((s[g + 8] & 15) | s[g] >> 6 << 4);
        out->mins[g + 4] = (int8_t)(s[g + 8] >> 4 | s[g + 4] >> 6 << 4);
    }
}

/* 32 bytes for each 64 values, the low nibbles first. */
static void unpack_nibbles(const uint8_t *qs, uint8_t *q)
{
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t l = 0; l < 32; l++) {
            q[64 * i + l] = qs[32 * i + l] & 15;
            q[64 * i + 32 + l] = qs[32 * i + l] >> 4;
        }
}

static void unpack_q4(const uint8_t *b, lls_kblock_t *out)
{
    unpack_head(b, out);
    unpack_nibbles(b + 16, out->q);
}

/* As Q4_K, with 32 bytes of fifth bits before the nibbles: bit i of byte l is of value 32 i + l. */
static void unpack_q5(const uint8_t *b, lls_kblock_t *out)
{
    const uint8_t *high = b + 16;

    unpack_head(b, out);
    unpack_nibbles(b + 48, out->q);
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t l = 0; l < 32; l++)
            out->q[32 * i + l] |= (uint8_t)((high[l] >> i & 1) << 4);
}

/* For each 128 values 64 bytes of low nibbles, then high ones; for each 128 values 32 bytes, each
 * with the upper 2 bits of four values that are 32 apart; 16 int8 scales; d. */
static void unpack_q6(const uint8_t *b, lls_kblock_t *out)
{
    for (uint32_t i = 0; i < 8; i++) {
        const uint8_t *low = b + i / 4 * 64 + i % 2 * 32, *high = b + 128 + i / 4 * 32;
        uint32_t       nibble = i % 4 < 2 ? 0 : 4, pair = 2 * (i % 4);

        for (uint32_t l = 0; l < 32; l++)
            out->q[32 * i + l] = (uint8_t)((low[l] >> nibble & 15) | (high[l] >> pair & 3) << 4);
    }
    memcpy(out->scales, b + 192, 16);
    out->d = load_u16(b + 208);
}

/* d; the upper 2 bits of 8 scales of 6 bits less 32; their nibbles; 16 bytes for each 32 values, as
 * in Q4_0, that are codes. */
static void unpack_iq4_xs(const uint8_t *b, lls_kblock_t *out)
{
    uint32_t       high = load_u16(b + 2);
    const uint8_t *low = b + 4, *qs = b + 8;

    out->d = load_u16(b);
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t four = low[g / 2] >> 4 * (g % 2) & 15;

        out->scales[g] = (int8_t)((int)(four | (high >> 2 * g & 3) << 4) - 32);
        for (uint32_t l = 0; l < 16; l++) {
            out->q[32 * g + l] = lls_iq4_values[qs[16 * g + l] & 15];
            out->q[32 * g + 16 + l] = lls_iq4_values[qs[16 * g + l] >> 4];
        }
    }
}

void lls_k_unpack(uint32_t scheme, const uint8_t *block, lls_kblock_t *out)
{
    out->d_min = 0;
    memset(out->mins, 0, sizeof out->mins);
    switch (scheme) {
    case LLS_W_Q2_K: unpack_q2(block, out); break;
    case LLS_W_Q3_K: unpack_q3(block, out); break;
    case LLS_W_Q4_K: unpack_q4(block, out); break;
    case LLS_W_Q5_K: unpack_q5(block, out); break;
    case LLS_W_Q6_K: unpack_q6(block, out); break;
    default: unpack_iq4_xs(block, out);
    }
}
