/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"

/* Upper bounds as vLLM has them; 0 ends a list. */
static const double buckets_tokens[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000,
                                         10000, 20000, 50000, 100000, 200000, 500000, 1000000, 0 };
static const double buckets_small[] = { 1, 2, 5, 10, 20, 0 };
static const double buckets_steps[] = { 1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
                                        16384, 0 };
static const double buckets_first[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1,
                                        2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560, 0 };
static const double buckets_between[] = { .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1,
                                          2.5, 5, 7.5, 10, 20, 40, 80, 0 };
static const double buckets_whole[] = { .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60,
                                        120, 240, 480, 960, 1920, 7680, 0 };

typedef struct metric {
    const char   *name, *help;
    const double *buckets;
} metric_t;

/* ORDER gauges, counters, histograms */
#define METRIC_ROW(id, name, help) { name, help, NULL },
static const metric_t gauges[] = { LLS_GAUGES(METRIC_ROW) };
static const metric_t counters[] = { LLS_COUNTERS(METRIC_ROW) };
#undef METRIC_ROW
#define METRIC_ROW(id, name, help, bounds) { name, help, buckets_##bounds },
static const metric_t histograms[] = { LLS_HISTOGRAMS(METRIC_ROW) };
#undef METRIC_ROW

void lls_metrics_observe(lls_metrics_t *m, enum lls_histogram h, double value)
{
    uint32_t i = 0;

    while (histograms[h].buckets[i] != 0 && value > histograms[h].buckets[i])
        i++;
    if (histograms[h].buckets[i] == 0)
        i = LLS_MAX_BUCKETS;
    lls_metrics_bump(&m->histograms[h].buckets[i], 1);
    lls_metrics_bump(&m->histograms[h].sum_millionths, (uint64_t)(value * 1e6));
    lls_metrics_bump(&m->histograms[h].count, 1);
}

/* ---- Text ------------------------------------------------------------------------------------ */

typedef struct text {
    char  *at;
    size_t cap, len;
    char   labels[256];             /* model_name="...",engine="0" */
} text_t;

static void put(text_t *t, const char *fmt, ...) LLS_PRINTF(2, 3);
static void put(text_t *t, const char *fmt, ...)
{
    va_list ap;
    int     n;

    va_start(ap, fmt);
    n = vsnprintf(t->len < t->cap ? t->at + t->len : NULL, t->len < t->cap ? t->cap - t->len : 0,
                  fmt, ap);
    va_end(ap);
    t->len += n > 0 ? (size_t)n : 0;
}

static void put_head(text_t *t, const metric_t *m, const char *type)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, type);
}

static void put_histogram(text_t *t, const lls_metrics_t *m, uint32_t h)
{
    const metric_t *d = &histograms[h];
    uint64_t        below = 0, count = atomic_load_explicit(&m->histograms[h].count,
                                                            memory_order_relaxed);

    put_head(t, d, "histogram");
    for (uint32_t i = 0; d->buckets[i] != 0; i++) {
        below += atomic_load_explicit(&m->histograms[h].buckets[i], memory_order_relaxed);
        put(t, "%s_bucket{%s,le=\"%g\"} %llu\n", d->name, t->labels, d->buckets[i],
            (unsigned long long)below);
    }
    below += atomic_load_explicit(&m->histograms[h].buckets[LLS_MAX_BUCKETS], memory_order_relaxed);
    put(t, "%s_bucket{%s,le=\"+Inf\"} %llu\n", d->name, t->labels, (unsigned long long)below);
    put(t, "%s_sum{%s} %.6f\n%s_count{%s} %llu\n", d->name, t->labels,
        (double)atomic_load_explicit(&m->histograms[h].sum_millionths, memory_order_relaxed) * 1e-6,
        d->name, t->labels, (unsigned long long)count);
}

/* The name between quotes: '"', '\' and line ends are escaped as the format demands. */
static void set_labels(text_t *t, const char *model_name)
{
    size_t n = (size_t)snprintf(t->labels, sizeof t->labels, "model_name=\"");

    for (const char *c = model_name; *c != '\0' && n < sizeof t->labels - 20; c++) {
        if (*c == '"' || *c == '\\')
            t->labels[n++] = '\\';
        t->labels[n++] = *c == '\n' ? ' ' : *c;
    }
    snprintf(t->labels + n, sizeof t->labels - n, "\",engine=\"0\"");
}

static void put_usage(text_t *t, const lls_metrics_t *m)
{
    static const metric_t usage = { "vllm:kv_cache_usage_perc", "KV blocks in use, 0 to 1", NULL };
    uint64_t              total = lls_metrics_gauge(m, LLS_GAUGE_KV_TOTAL);

    put_head(t, &usage, "gauge");
    put(t, "%s{%s} %.6f\n", usage.name, t->labels,
        total == 0 ? 0.0 : (double)lls_metrics_gauge(m, LLS_GAUGE_KV_USED) / (double)total);
}

static void put_finished(text_t *t, const lls_metrics_t *m)
{
    static const metric_t success = { "vllm:request_success_total", "Completions by reason", NULL };

    put_head(t, &success, "counter");
    for (int32_t reason = 1; reason < LLS_N_FINISH; reason++)
        put(t, "%s{%s,finished_reason=\"%s\"} %llu\n", success.name, t->labels,
            llm_finish_name(reason),
            (unsigned long long)atomic_load_explicit(&m->finished[reason], memory_order_relaxed));
}

size_t lls_metrics_text(const lls_metrics_t *m, const char *model_name, char *text, size_t cap)
{
    text_t t = { .at = text, .cap = cap };

    set_labels(&t, model_name);
    for (uint32_t i = 0; i < LLS_N_GAUGES; i++) {
        put_head(&t, &gauges[i], "gauge");
        put(&t, "%s{%s} %llu\n", gauges[i].name, t.labels,
            (unsigned long long)lls_metrics_gauge(m, i));
    }
    put_usage(&t, m);
    for (uint32_t i = 0; i < LLS_N_COUNTERS; i++) {
        put_head(&t, &counters[i], "counter");
        put(&t, "%s{%s} %llu\n", counters[i].name, t.labels,
            (unsigned long long)lls_metrics_count(m, i));
    }
    put_finished(&t, m);
    for (uint32_t i = 0; i < LLS_N_HISTOGRAMS; i++)
        put_histogram(&t, m, i);
    return t.len;
}
