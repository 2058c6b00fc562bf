/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - counters, gauges and histograms under vLLM's names, as Prometheus text.
 *
 * The stepping thread adds, any thread reads: every number is a relaxed atomic, so a reading in the
 * middle of a step is a little old and never torn.  One table names everything.
 */
#ifndef LLS_ENGINE_METRICS_H
#define LLS_ENGINE_METRICS_H

#include <stdatomic.h>

#include "base/status.h"

/* ORDER gauges: enum, name, help. */
#define LLS_GAUGES(X)                                                                             \
    X(RUNNING, "vllm:num_requests_running", "Requests in execution batches")                      \
    X(WAITING, "vllm:num_requests_waiting", "Requests waiting to be scheduled")                   \
    X(KV_TOTAL, "vllm:num_gpu_blocks", "KV blocks of the cache")                                  \
    X(KV_USED, "vllm:num_gpu_blocks_used", "KV blocks held by requests")

/* ORDER counters */
#define LLS_COUNTERS(X)                                                                           \
    X(PREEMPTIONS, "vllm:num_preemptions_total", "Preemptions")                                   \
    X(PREFIX_QUERIES, "vllm:prefix_cache_queries_total", "Prompt tokens looked up in the cache")  \
    X(PREFIX_HITS, "vllm:prefix_cache_hits_total", "Prompt tokens found in the cache")            \
    X(PROMPT_TOKENS, "vllm:prompt_tokens_total", "Prompt tokens of finished prefills")            \
    X(PROMPT_CACHED, "vllm:prompt_tokens_cached_total", "Prompt tokens that were cached")         \
    X(GENERATION_TOKENS, "vllm:generation_tokens_total", "Tokens generated")                      \
    X(CORRUPTED, "vllm:corrupted_requests_total", "Requests whose logits were not finite")        \
    X(STEPS, "llmserve:steps_total", "Scheduling steps")                                          \
    X(FINISHED, "llmserve:requests_finished_total", "Requests whose last output was made")

/* ORDER histograms: enum, name, help, buckets (of metrics.c). */
#define LLS_HISTOGRAMS(X)                                                                         \
    X(REQUEST_PROMPT, "vllm:request_prompt_tokens", "Prompt tokens of a request", tokens)         \
    X(REQUEST_GENERATION, "vllm:request_generation_tokens", "Tokens generated", tokens)           \
    X(REQUEST_N, "vllm:request_params_n", "Completions asked for", small)                         \
    X(ITERATION_TOKENS, "vllm:iteration_tokens_total", "Tokens of a step", steps)                 \
    X(TTFT, "vllm:time_to_first_token_seconds", "Until the first token", first)                   \
    X(ITL, "vllm:inter_token_latency_seconds", "Between tokens of a request", between)            \
    X(TPOT, "vllm:request_time_per_output_token_seconds", "Mean time a token", between)           \
    X(E2E, "vllm:e2e_request_latency_seconds", "From arrival to the end", whole)                  \
    X(QUEUE, "vllm:request_queue_time_seconds", "Until first scheduled", whole)                   \
    X(INFERENCE, "vllm:request_inference_time_seconds", "From first scheduled to the end", whole) \
    X(PREFILL, "vllm:request_prefill_time_seconds", "From first scheduled to the first token",    \
      whole)                                                                                      \
    X(DECODE, "vllm:request_decode_time_seconds", "From the first token to the last", whole)

enum lls_gauge {
#define LLS_METRIC_ENUM(id, ...) LLS_GAUGE_##id,
    LLS_GAUGES(LLS_METRIC_ENUM)
#undef LLS_METRIC_ENUM
    LLS_N_GAUGES
};

enum lls_counter {
#define LLS_METRIC_ENUM(id, ...) LLS_COUNT_##id,
    LLS_COUNTERS(LLS_METRIC_ENUM)
#undef LLS_METRIC_ENUM
    LLS_N_COUNTERS
};

enum lls_histogram {
#define LLS_METRIC_ENUM(id, ...) LLS_HIST_##id,
    LLS_HISTOGRAMS(LLS_METRIC_ENUM)
#undef LLS_METRIC_ENUM
    LLS_N_HISTOGRAMS
};

#define LLS_MAX_BUCKETS 24
#define LLS_N_FINISH 7              /* LLM_FINISH_* */

typedef struct lls_metrics {
    _Atomic uint64_t gauges[LLS_N_GAUGES];
    _Atomic uint64_t counters[LLS_N_COUNTERS];
    _Atomic uint64_t finished[LLS_N_FINISH];        /* completions by LLM_FINISH_* */
    struct {
        _Atomic uint64_t buckets[LLS_MAX_BUCKETS + 1];  /* the last is +Inf */
        _Atomic uint64_t sum_millionths, count;
    } histograms[LLS_N_HISTOGRAMS];
} lls_metrics_t;

static inline void lls_metrics_set(lls_metrics_t *m, enum lls_gauge g, uint64_t v)
{
    atomic_store_explicit(&m->gauges[g], v, memory_order_relaxed);
}

/* Without a locked instruction: nobody else writes. */
static inline void lls_metrics_bump(_Atomic uint64_t *at, uint64_t n)
{
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void lls_metrics_add(lls_metrics_t *m, enum lls_counter c, uint64_t n)
{
    lls_metrics_bump(&m->counters[c], n);
}

static inline uint64_t lls_metrics_count(const lls_metrics_t *m, enum lls_counter c)
{
    return atomic_load_explicit(&m->counters[c], memory_order_relaxed);
}

static inline uint64_t lls_metrics_gauge(const lls_metrics_t *m, enum lls_gauge g)
{
    return atomic_load_explicit(&m->gauges[g], memory_order_relaxed);
}

void lls_metrics_observe(lls_metrics_t *m, enum lls_histogram h, double value);
/* Writes at most cap bytes, a NUL included if there is room; returns the bytes of the whole text
 * without it.  model_name goes into every line's labels. */
size_t lls_metrics_text(const lls_metrics_t *m, const char *model_name, char *text, size_t cap);

#endif
