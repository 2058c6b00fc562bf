/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_wmat.h"

#include <string.h>

static float load_f16(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return lls_f16_to_f32(h);
}

/* What stands for 0. */
static int zero_of(uint32_t kind)
{
    switch (kind) {
    case LLS_W_Q4_0: return 8;
    case LLS_W_Q5_0: return 16;
    case LLS_W_Q8_0: return 128;
    case LLS_W_Q4_1:
    case LLS_W_Q5_1:
    case LLS_W_INT4_G128: return 0;
    default: return (int)lls_k_traits(kind).zero;
    }
}

/* The largest magnitude of a value, or of one times its small scale. */
static float top_of(uint32_t kind)
{
    switch (kind) {
    case LLS_W_Q4_0:   return 8;
    case LLS_W_Q4_1:
    case LLS_W_INT4_G128: return 15;
    case LLS_W_Q5_0:   return 16;
    case LLS_W_Q5_1:   return 31;
    case LLS_W_Q8_0:   return 128;
    case LLS_W_Q2_K:   return 15 * 3;
    case LLS_W_Q3_K:   return 32 * 4;
    case LLS_W_Q4_K:   return 63 * 15;
    case LLS_W_Q5_K:   return 63 * 31;
    case LLS_W_Q6_K:   return 128 * 32;
    case LLS_W_IQ4_XS: return 32 * 127;
    default:           return 1;        /* floats have no scales */
    }
}

/* The largest magnitude of 32 numbers of f16, as its bits: they compare as the numbers do. */
static uint16_t top_scale(const uint8_t *scales)
{
    uint16_t h[LLS_PANEL], top = 0;

    memcpy(h, scales, sizeof h);
    for (uint32_t i = 0; i < LLS_PANEL; i++) {
        uint16_t bits = h[i] & 0x7fff;

        top = bits > top ? bits : top;
    }
    return top;
}

bool lls_wmat_fits_f16(uint32_t kind, const uint8_t *panel, uint32_t n_steps)
{
    uint16_t most = lls_f32_to_f16(32 / top_of(kind));
    uint16_t most_min = lls_f32_to_f16(lls_scheme_is_k(kind) ? 0.25f : 16);
    size_t   at = lls_kind_scales_at(kind);

    if (lls_kind_is_float(kind))
        return true;
    for (uint32_t s = 0; s < n_steps; s++, at += lls_kind_step_bytes(kind))
        if (top_scale(panel + at) > most ||
            (lls_kind_has_min(kind) && top_scale(panel + at + 64) > most_min))
            return false;
    return true;
}

static void read_values(uint32_t kind, const uint8_t *values, uint32_t lane, int16_t *q)
{
    int zero = zero_of(kind);

    for (uint32_t i = 0; i < LLS_GROUP; i++) {
        uint32_t word = lls_kind_is_q4(kind) ? i % 16 / 4 : i / 4;
        int      v = values[(word * LLS_PANEL + lane) * 4 + i % 4];

        if (lls_kind_is_q4(kind))
            v = i < 16 ? v & 15 : v >> 4;
        q[i] = (int16_t)(v - zero);
    }
}

static void read_scales(uint32_t kind, const uint8_t *scales, uint32_t lane, lls_group_t *out)
{
    out->d[0] = out->d[1] = load_f16(scales + 2 * lane);
    out->m[0] = out->m[1] = lls_kind_has_min(kind) ? load_f16(scales + 64 + 2 * lane) : -0.0f;
}

/* The same with a second level. */
static void read_small_scales(uint32_t kind, const uint8_t *head, const uint8_t *small,
                              uint32_t lane, lls_group_t *out)
{
    uint32_t n = lls_kind_has_halves(kind) ? 2 : 1;

    for (uint32_t h = 0; h < 2; h++) {
        const uint8_t *at = small + (n == 2 ? h : 0) * LLS_PANEL + lane;

        out->d[h] = load_f16(head + 2 * lane) * (float)(int8_t)at[0];
        out->m[h] = -0.0f;
        if (lls_kind_has_min(kind))
            out->m[h] = -(load_f16(head + 64 + 2 * lane) * (float)(int8_t)at[n * LLS_PANEL]);
    }
}

void lls_wmat_read_group(uint32_t kind, const uint8_t *step, uint32_t g, uint32_t lane,
                         lls_group_t *out)
{
    const uint8_t *part = step + lls_kind_values_at(kind) + g * lls_kind_part_bytes(kind);

    read_values(kind, part, lane, out->q);
    if (lls_scheme_is_k(kind))
        read_small_scales(kind, step, part + lls_kind_value_bytes(kind), lane, out);
    else
        read_scales(kind, step + lls_kind_scales_at(kind), lane, out);
}
