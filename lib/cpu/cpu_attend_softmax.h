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

static void cap_scores(float *s, uint32_t begin, uint32_t end, float cap)
{
    for (uint32_t t = begin; t < end; t++)
        s[t] = cap * lls_tanh(s[t]);
}
