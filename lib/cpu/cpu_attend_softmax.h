/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_softmax - the scores of one row and tile become weights.  Part of cpu_attend_body.h.
 *
 * [begin, end) is what was computed, in whole panels; the row sees [lo, hi) of it.  Lanes are
 * absolute places of the tile, so a few zeros more or less do not change the bits of a sum.
 */
#include "cpu/cpu_kv_narrow.h"
#include "cpu/cpu_vec.h"

/* Scores of tokens that are not seen become -inf. */
static void mask(float *s, uint32_t begin, uint32_t end, uint32_t lo, uint32_t hi)
{
    for (uint32_t t = begin; t < end; t += LLS_VL) {
        if (t >= lo && t + LLS_VL <= hi) {      /* on to where hi is */
            t = hi / LLS_VL * LLS_VL - LLS_VL;
            continue;
        }
        lls_v_store(s + t, lls_v_within(lls_v_load(s + t), (int)t, (int)lo, (int)hi));
    }
}

static float top_of(const float *s, uint32_t begin, uint32_t end)
{
    lls_v_t a = lls_v_set(-INFINITY), b = a;

    for (uint32_t t = begin; t < end; t += PANEL) {
        a = lls_v_max(a, lls_v_load(s + t));
        b = lls_v_max(b, lls_v_load(s + t + LLS_VL));
    }
    return lls_v_top(lls_v_max(a, b));
}

/* Scores to weights; their sum. */
static float weigh(float *s, uint32_t begin, uint32_t end, float top)
{
    lls_v_t m = lls_v_set(top == -INFINITY ? 0.0f : top), a = lls_v_zero(), b = a;

    for (uint32_t t = begin; t < end; t += PANEL) {
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t), m));
        lls_v_t y = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t + LLS_VL), m));
        a = lls_v_add(a, x);
        b = lls_v_add(b, y);
        lls_v_store(s + t, x);
        lls_v_store(s + t + LLS_VL, y);
    }
    return lls_v_sum(lls_v_add(a, b));
}

static void cap_scores(float *s, uint32_t begin, uint32_t end, float cap)
{
    for (uint32_t t = begin; t < end; t++)
        s[t] = cap * lls_tanh(s[t]);
}

/* int8: bits of the largest scale of V of tokens [lo, hi): as integers these are in order, -inf is
 * less, and a NaN is more than all. */
static uint32_t top_scale(const float *scale, uint32_t lo, uint32_t hi)
{
    lls_vi_t top = lls_vi_set(0);

    for (uint32_t t = lo / LLS_VL * LLS_VL; t < hi; t += LLS_VL)
        top = lls_vi_max(top, lls_vi_of_bits(lls_v_within(lls_v_load(scale + t), (int)t, (int)lo,
                                                          (int)hi)));
    return (uint32_t)lls_vi_top(top);
}

/* What the weights of [begin, end) are multiplied with to be integers, where a row sees [lo, hi): 0
 * outside.  Returns the step of these integers. */
static float scale_up(const float *scale, uint32_t begin, uint32_t end, uint32_t lo, uint32_t hi,
                      float *to)
{
    float   up, step = lls_weight_step(top_scale(scale, lo, hi), &up);
    lls_v_t f = lls_v_set(up);

    for (uint32_t t = begin; t < end; t += LLS_VL) {
        lls_v_t x = lls_v_within(lls_v_load(scale + t), (int)t, (int)lo, (int)hi);
        lls_v_store(to + t, lls_v_max(lls_v_mul(x, f), lls_v_zero()));
    }
    return step;
}

/* weigh(), with weights times `up` as integers of 16 bits: in place, behind the scores read. */
static float weigh_i8(float *s, uint32_t begin, uint32_t end, float top, const float *up)
{
    lls_v_t  m = lls_v_set(top == -INFINITY ? 0.0f : top), a = lls_v_zero(), b = a;
    int16_t *to = (int16_t *)s;

    for (uint32_t t = begin; t < end; t += PANEL) {
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t), m));
        lls_v_t y = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t + LLS_VL), m));
        a = lls_v_add(a, x);
        b = lls_v_add(b, y);
        lls_v_store_s16(to + t, lls_v_mul(x, lls_v_load(up + t)));
        lls_v_store_s16(to + t + LLS_VL, lls_v_mul(y, lls_v_load(up + t + LLS_VL)));
    }
    return lls_v_sum(lls_v_add(a, b));
}
