/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/sample_threshold.h"

#include <float.h>
#include <math.h>

#include "base/num.h"

#define SIGN 0x80000000u

/* Keys ascend with values; -0 and 0 have the same. */
static uint32_t key_of(float x)
{
    uint32_t b = lls_bits_of(x + 0.0f);

    return (b & SIGN) ? ~b : b | SIGN;
}

/* NaN for keys beyond those of the infinities. */
static float value_of(uint32_t key)
{
    return lls_float_of((key & SIGN) ? key & ~SIGN : ~key);
}

static double sum_from(const lls_sample_list_t *list, float low, const lls_sample_scratch_t *s)
{
    return list->w != NULL ? s->k->sum_from(list->x, list->w, list->n, low)
                           : (double)s->k->count_from(list->x, list->n, low);
}

/* Decides the bits of the key down to last_bit; the others are 0. */
static float search(const lls_sample_list_t *list, double target, uint32_t last_bit,
                    const lls_sample_scale_t *scale, const lls_sample_scratch_t *s)
{
    uint32_t key = 0;

    if (sum_from(list, scale->max, s) >= target)
        return scale->max;
    if (sum_from(list, -FLT_MAX, s) < target)
        return -INFINITY;
    for (uint32_t bit = SIGN; bit >= last_bit; bit >>= 1) {
        float v = value_of(key | bit);
        if ((key | bit) <= key_of(-FLT_MAX) ||
            (v <= scale->max && sum_from(list, v, s) >= target))
            key |= bit;
    }
    return value_of(key);
}

float lls_sample_threshold(const lls_sample_list_t *list, double target,
                           const lls_sample_scale_t *scale, const lls_sample_scratch_t *s)
{
    return search(list, target, 1, scale, s);
}

float lls_sample_near_threshold(const lls_sample_list_t *list, double target,
                                const lls_sample_scale_t *scale, const lls_sample_scratch_t *s)
{
    return search(list, target, 1u << 16, scale, s);
}

float lls_sample_floor(const lls_sample_scale_t *scale, float y_min)
{
    uint32_t key = key_of(scale->max);

    /* the largest key that is too low, from above: keys from it on up to max are not */
    for (uint32_t bit = SIGN; bit != 0; bit >>= 1)
        if (key - bit < key && key - bit >= key_of(-FLT_MAX) &&
            (value_of(key - bit) - scale->max) * scale->inv_t >= y_min)
            key -= bit;
    return value_of(key);
}

float lls_sample_above(float x) { return value_of(key_of(x) + 1); }
