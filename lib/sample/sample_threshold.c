/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/sample_threshold.h"

#include <math.h>
#include <string.h>

/* Buckets of 1/128: 16 in units of y before the last one takes the rest. */
#define BUCKETS_PER_UNIT 128.0f
/* Lists up to this are searched by selection. */
#define FEW 24u

/* Ascending as unsigned integers; -0 and 0 are the same. */
static uint32_t key_of(float x)
{
    uint32_t b;

    x += 0.0f;
    memcpy(&b, &x, sizeof b);
    return (b & 0x80000000u) ? ~b : b | 0x80000000u;
}

/* Buckets descend in value: bucket 0 has the largest. */
static uint32_t bucket_by_value(float x, const lls_sample_scale_t *scale)
{
    float d = (scale->max - x) * scale->inv_t * BUCKETS_PER_UNIT;

    return d < (float)(LLS_SAMPLE_BUCKETS - 1) ? (uint32_t)d : LLS_SAMPLE_BUCKETS - 1;
}

static uint32_t bucket_by_key(float x, uint32_t shift)
{
    return LLS_SAMPLE_BUCKETS - 1 - ((key_of(x) >> shift) & (LLS_SAMPLE_BUCKETS - 1));
}

/* The bucket where the running sum, which begins at *before, reaches target, or else the last one
 * that is not empty; *before becomes the sum up to it.  Sums stay multiples of 2^-35, so nothing
 * rounds. */
static uint32_t find_bucket(const double *sums, double target, double *before)
{
    uint32_t last = 0;
    double   sum = *before;

    for (uint32_t b = 0; b < LLS_SAMPLE_BUCKETS; b++) {
        if (sums[b] < 0)
            continue;
        last = b;
        *before = sum;
        sum += sums[b];
        if (sum >= target)
            break;
    }
    return last;
}

/* Empty buckets are -1, so that a bucket of weight 0 counts as there. */
static void clear_sums(double *sums)
{
    for (uint32_t b = 0; b < LLS_SAMPLE_BUCKETS; b++)
        sums[b] = -1;
}

static void add_to(double *sum, double w)
{
    *sum = (*sum < 0 ? 0 : *sum) + w;
}

static uint32_t narrow_by_value(const lls_sample_list_t *list, double target, double *before,
                                const lls_sample_scale_t *scale, lls_sample_scratch_t *s)
{
    uint32_t bucket, n = 0;

    clear_sums(s->sums);
    for (uint32_t i = 0; i < list->n; i++)
        add_to(&s->sums[bucket_by_value(list->x[i], scale)], list->w != NULL ? list->w[i] : 1);
    bucket = find_bucket(s->sums, target, before);
    for (uint32_t i = 0; i < list->n; i++) {
        s->x2[n] = list->x[i];
        s->w2[n] = list->w != NULL ? list->w[i] : 1;
        n += bucket_by_value(list->x[i], scale) == bucket;
    }
    return n;
}

static uint32_t narrow_by_key(uint32_t n, uint32_t shift, double target, double *before,
                              lls_sample_scratch_t *s)
{
    uint32_t bucket, m = 0;

    clear_sums(s->sums);
    for (uint32_t i = 0; i < n; i++)
        add_to(&s->sums[bucket_by_key(s->x2[i], shift)], s->w2[i]);
    bucket = find_bucket(s->sums, target, before);
    for (uint32_t i = 0; i < n; i++) {
        s->x2[m] = s->x2[i];
        s->w2[m] = s->w2[i];
        m += bucket_by_key(s->x2[i], shift) == bucket;
    }
    return m;
}

/* Takes the largest values one after another. */
static float search_few(uint32_t n, double target, double sum, lls_sample_scratch_t *s)
{
    float t = -INFINITY;

    while (n > 0) {
        uint32_t best = 0;

        for (uint32_t i = 1; i < n; i++)
            if (s->x2[i] > s->x2[best])
                best = i;
        t = s->x2[best];
        sum += s->w2[best];
        if (sum >= target)
            break;
        n--;
        s->x2[best] = s->x2[n];
        s->w2[best] = s->w2[n];
    }
    return t;
}

float lls_sample_threshold(const lls_sample_list_t *list, double target,
                           const lls_sample_scale_t *scale, lls_sample_scratch_t *s)
{
    static const uint32_t shifts[] = { 21, 10, 0 };
    double   sum = 0;
    uint32_t n = narrow_by_value(list, target, &sum, scale, s);

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(shifts) && n > FEW; i++)
        n = narrow_by_key(n, shifts[i], target, &sum, s);
    return n > FEW ? s->x2[0] : search_few(n, target, sum, s);
}
