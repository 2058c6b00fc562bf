/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/assemble.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "sample/sampler.h"

#define DEFAULT_KV_BYTES    (4ull << 30)
#define DEFAULT_SEQS        128u
#define DEFAULT_CHUNK       512u    /* tokens a step: a prefill step of a small model is 0.2 s */
#define MAX_RESULT_LOGPROBS (1u << 22)  /* entries of one step's result */

/* ---- Sizes that follow from the options and the traits --------------------------------------- */

static llm_status_t size_lengths(lls_engine_t *e, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    const lls_traits_t         *t = e->traits;
    llm_plan_t                 *p = &e->plan;

    p->max_model_len = o->max_model_len > 0 ? o->max_model_len : t->max_positions;
    if (p->max_model_len > t->max_positions)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-model-len",
                              "max-model-len %u is more than the model's %u positions; lower it",
                              p->max_model_len, t->max_positions);
    p->max_num_batched_tokens = o->max_num_batched_tokens;
    if (p->max_num_batched_tokens == 0)
        p->max_num_batched_tokens = o->enable_chunked_prefill
                                        ? lls_max_u32(DEFAULT_CHUNK, o->max_num_seqs)
                                        : lls_max_u32(DEFAULT_CHUNK, p->max_model_len);
    if (!o->enable_chunked_prefill && p->max_num_batched_tokens < p->max_model_len)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-num-batched-tokens",
                              "max-num-batched-tokens %u is less than max-model-len %u; raise it "
                              "or enable chunked prefill", p->max_num_batched_tokens,
                              p->max_model_len);
    p->max_num_seqs = o->max_num_seqs > 0 ? o->max_num_seqs
                                          : lls_min_u32(DEFAULT_SEQS, p->max_num_batched_tokens);
    if (p->max_num_batched_tokens < p->max_num_seqs)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-num-batched-tokens",
                              "max-num-batched-tokens %u is less than max-num-seqs %u; raise it",
                              p->max_num_batched_tokens, p->max_num_seqs);
    p->vocab_size = t->n_vocab;
    p->hidden_size = t->hidden;
    p->block_size = o->block_size;
    p->world_size = 1;
    return LLM_OK;
}

/* Groups of equal block size in bytes share a pool. */
static void size_groups(lls_engine_t *e)
{
    const lls_traits_t *t = e->traits;
    lls_kv_config_t    *kv = &e->kv_config;

    kv->n_groups = t->n_groups;
    kv->caching = e->options.enable_prefix_caching;
    for (uint32_t g = 0; g < t->n_groups; g++) {
        uint64_t bytes = e->group_bytes[g];
        uint32_t pool = 0;
        while (pool < kv->n_pools && e->block_bytes[pool] != bytes)
            pool++;
        kv->n_pools = lls_max_u32(kv->n_pools, pool + 1);
        e->block_bytes[pool] = bytes;
        kv->group[g] = (lls_kv_group_config_t){ .kind = t->groups[g].kind, .pool = (uint8_t)pool,
                                                .block_tokens = e->plan.block_size,
                                                .window = t->groups[g].window };
        e->plan.kv_bytes_per_token += (bytes + e->plan.block_size - 1) / e->plan.block_size;
    }
}

/* Blocks of each pool that one sequence of max_model_len tokens holds at most. */
static void peak_blocks(const lls_engine_t *e, uint32_t peak[LLS_MAX_GROUPS])
{
    memset(peak, 0, LLS_MAX_GROUPS * sizeof *peak);
    for (uint32_t g = 0; g < e->kv_config.n_groups; g++)
        peak[e->kv_config.group[g].pool] += lls_kv_peak_blocks(
            &e->kv_config.group[g], e->plan.max_model_len, e->plan.max_num_batched_tokens);
}

/* Cuts `bytes` into pools so that each serves as many of the longest sequences. */
static void cut_pools(lls_engine_t *e, uint64_t bytes)
{
    lls_kv_config_t *kv = &e->kv_config;
    uint32_t         peak[LLS_MAX_GROUPS];
    uint64_t         per_seq = 0, nulls = 0, cap = UINT32_MAX / 2;

    peak_blocks(e, peak);
    for (uint32_t i = 0; i < kv->n_pools; i++) {
        per_seq += peak[i] * e->block_bytes[i];
        nulls += e->block_bytes[i];     /* block 0 of each pool holds nothing */
    }
    e->plan.kv_cache_bytes = 0;
    e->plan.kv_blocks = 0;
    e->plan.max_concurrency = UINT32_MAX;
    for (uint32_t i = 0; i < kv->n_pools; i++) {
        uint64_t n = 1 + (bytes > nulls ? (bytes - nulls) * peak[i] / per_seq : 0);
        if (e->options.num_gpu_blocks_override > 0)
            n = e->options.num_gpu_blocks_override;
        kv->pool_blocks[i] = (uint32_t)lls_min_u64(n, cap);
        e->plan.kv_blocks += kv->pool_blocks[i];
        e->plan.max_concurrency = lls_min_u32(e->plan.max_concurrency,
                                              (kv->pool_blocks[i] - 1) / lls_max_u32(peak[i], 1));
        e->cache_bytes[i] = kv->pool_blocks[i] * e->block_bytes[i] + LLS_ARENA_ALIGN;
        e->plan.kv_cache_bytes += e->cache_bytes[i];
    }
}

static void size_cache(lls_engine_t *e)
{
    llm_plan_t *p = &e->plan;
    uint32_t    peak[LLS_MAX_GROUPS];
    uint64_t    used = p->weight_bytes + p->workspace_bytes, most = 0, bytes;

    peak_blocks(e, peak);
    for (uint32_t i = 0; i < e->kv_config.n_pools; i++)
        most += ((uint64_t)peak[i] * p->max_num_seqs + 1) * e->block_bytes[i];
    bytes = lls_min_u64(DEFAULT_KV_BYTES,
                        p->device_free_bytes > used ? (p->device_free_bytes - used) / 2 : 0);
    p->limit = "kv-cache-memory-bytes";
    if (e->options.kv_cache_memory_bytes > 0) {
        bytes = e->options.kv_cache_memory_bytes;
    } else if (most < bytes) {
        bytes = most;
        p->limit = "max-num-seqs";
    }
    if (e->options.num_gpu_blocks_override > 0)
        p->limit = "num-gpu-blocks-override";
    cut_pools(e, bytes);
}

static void size_steps(lls_engine_t *e)
{
    lls_sched_config_t *c = &e->sched_config;
    uint32_t width = e->options.max_logprobs < 0 ? e->plan.vocab_size
                                                 : (uint32_t)e->options.max_logprobs;

    *c = (lls_sched_config_t){
        .max_reqs = e->options.max_num_queued_reqs + e->plan.max_num_seqs,
        .max_rows = e->plan.max_num_seqs, .max_tokens = e->plan.max_num_batched_tokens,
        .max_model_len = e->plan.max_model_len, .max_in_flight = 1,
        .no_chunks = !e->options.enable_chunked_prefill,
        .long_prefill = e->options.long_prefill_token_threshold, .watermark = 0, .max_skips = 0,
        .max_params = LLS_SAMPLE_MAX_WORDS, .max_plp_logprobs = 1 + width,
        .max_logprobs = 1 + lls_max_u32(width, LLS_SAMPLE_MAX_LOGPROB_IDS),
        .max_plps = lls_max_u32(1, lls_min_u32(e->plan.max_num_batched_tokens,
                                               MAX_RESULT_LOGPROBS / (1 + width))) };
    if (c->no_chunks)
        c->max_plps = 0;            /* a prompt runs whole, so all its positions are in one step */
    lls_sched_config_limits(c, &e->kv_config, &e->limits);
}

uint64_t lls_engine_device_bytes(const lls_engine_t *e)
{
    return e->plan.weight_bytes + e->plan.workspace_bytes + e->plan.kv_cache_bytes;
}

static llm_status_t refuse_if_it_does_not_fit(const lls_engine_t *e, llm_error_t *err)
{
    const llm_plan_t *p = &e->plan;
    const double      gib = 1.0 / (1 << 30);

    if (lls_engine_device_bytes(e) > p->device_free_bytes)
        return lls_fail(err, LLM_ERR_NO_DEVMEM,
                        "weights %.2f GiB, workspace %.2f GiB and KV cache %.2f GiB are needed, "
                        "%.2f GiB are free; lower kv-cache-memory-bytes or max-num-seqs, or take a "
                        "smaller model",
                        (double)p->weight_bytes * gib, (double)p->workspace_bytes * gib,
                        (double)p->kv_cache_bytes * gib, (double)p->device_free_bytes * gib);
    if (p->max_concurrency < 1)
        return lls_fail_param(err, LLM_ERR_NO_DEVMEM, p->limit,
                              "max-model-len %u needs more KV cache than the %u blocks of %u "
                              "tokens there are; lower it or raise %s", p->max_model_len,
                              p->kv_blocks, p->block_size, p->limit);
    return LLM_OK;
}

/* ---- The host's parts ------------------------------------------------------------------------ */

static llm_status_t make_tables(lls_engine_t *e, llm_error_t *err)
{
    uint32_t n = e->options.max_num_queued_reqs;
    size_t   plan_bytes = lls_plan_size(&e->limits);
    void    *plan;

    if (plan_bytes == 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-model-len",
                              "max-model-len %u and max-num-seqs %u make a step's plan larger than "
                              "4 GiB; lower one", e->plan.max_model_len, e->plan.max_num_seqs);
    plan = lls_alloc(&e->mem, plan_bytes);
    e->slots = lls_calloc(&e->mem, n, sizeof *e->slots);
    e->free_slots = lls_calloc(&e->mem, n, sizeof *e->free_slots);
    e->by_slot = lls_calloc(&e->mem, e->sched_config.max_reqs, sizeof *e->by_slot);
    e->by_row = lls_calloc(&e->mem, e->plan.max_num_seqs, sizeof *e->by_row);
    e->in_step = lls_calloc(&e->mem, e->plan.max_num_seqs, sizeof *e->in_step);
    e->step_plan = plan;
    if (plan == NULL || e->slots == NULL || e->free_slots == NULL || e->by_slot == NULL ||
        e->by_row == NULL || e->in_step == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "tables for %u requests", n);
    for (uint32_t i = 0; i < n; i++)
        e->free_slots[i] = n - 1 - i;
    e->n_free_slots = n;
    lls_plan_init(plan, &e->limits);
    lls_admission_init(&e->admission, e->plan.max_num_batched_tokens);
    return LLM_OK;
}

static llm_status_t make_scheduler(lls_engine_t *e, llm_error_t *err)
{
    llm_status_t st;

    if (getrandom(e->kv_config.key, sizeof e->kv_config.key, 0) != (ssize_t)sizeof e->kv_config.key)
        return lls_fail(err, LLM_ERR_INTERNAL,
                        "no random numbers from the system for the cache's key");
    st = lls_kv_create(&e->mem, &e->kv_config, &e->kv, err);
    if (st != LLM_OK)
        return st;
    return lls_sched_create(&e->mem, &e->sched_config, e->kv, &e->sched, err);
}

static llm_status_t collect_eos(lls_engine_t *e, llm_error_t *err)
{
    const lls_traits_t *t = e->traits;
    size_t              n = 0;
    const int32_t      *ids = e->tokenizer == NULL ? NULL : lls_tokenizer_eos_ids(e->tokenizer, &n);

    e->eos_ids = lls_calloc(&e->mem, n + t->n_eos_ids + 1, sizeof *e->eos_ids);
    if (e->eos_ids == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%zu end-of-sequence ids", n + t->n_eos_ids);
    for (size_t i = 0; i < n + t->n_eos_ids; i++) {
        int32_t  id = i < n ? ids[i] : t->eos_ids[i - n];
        uint32_t at = 0;
        while (at < e->n_eos_ids && e->eos_ids[at] != id)
            at++;
        if (at == e->n_eos_ids && id >= 0 && (uint32_t)id < t->n_vocab)
            e->eos_ids[e->n_eos_ids++] = id;
    }
    e->eos_id = e->tokenizer != NULL ? lls_tokenizer_eos(e->tokenizer)
                                     : e->n_eos_ids > 0 ? e->eos_ids[0] : -1;
    return LLM_OK;
}

static llm_status_t make_host(lls_engine_t *e, llm_error_t *err)
{
    llm_status_t st = make_scheduler(e, err);

    if (st == LLM_OK)
        st = make_tables(e, err);
    if (st == LLM_OK)
        st = collect_eos(e, err);
    return st == LLM_OK ? lls_reasoning_open(&e->reasoning, &e->mem, e->options.reasoning_config,
                                             e->tokenizer, e->plan.vocab_size, err)
                        : st;
}

/* ---- What was made --------------------------------------------------------------------------- */

const llm_plan_t            *lls_engine_plan(const lls_engine_t *e) { return &e->plan; }
const lls_tokenizer_t       *lls_engine_tokenizer(const lls_engine_t *e) { return e->tokenizer; }
const llm_sampling_params_t *lls_engine_defaults(const lls_engine_t *e) { return &e->defaults; }
bool lls_engine_is_here(const lls_engine_t *e) { return !lls_forked_is_child(&e->forked); }

int32_t lls_engine_call_hook(void *user, uint64_t request, const int32_t *tokens, uint32_t n_tokens,
                             uint32_t n_prompt, float *logits, uint32_t n_vocab)
{
    lls_engine_t        *e = user;
    lls_completion_t    *c = e->slots[(uint32_t)request - 1].c;
    const lls_request_t *req = c->req;
    llm_logits_t         row = { .struct_size = sizeof row, .index = c->index, .id = req->id,
                                 .user_data = req->user_data, .tokens = tokens,
                                 .n_tokens = n_tokens, .n_prompt = n_prompt, .logits = logits,
                                 .n_vocab = n_vocab, .extra_args = req->extra_args };
    bool                 was_usable = lls_sample_row_is_usable(logits, n_vocab);

    c->refused = req->logits_fn(req->logits_user, &row) != 0;
    c->spoilt = was_usable && !lls_sample_row_is_usable(logits, n_vocab);
    return c->refused || c->spoilt;
}

/* ---- Create and destroy ---------------------------------------------------------------------- */

static llm_status_t new_engine(const llm_allocator_t *hook, const lls_clock_t *clock,
                               lls_engine_t **out, llm_error_t *err)
{
    lls_mem_t     boot;
    lls_engine_t *e;

    lls_mem_init(&boot, hook);
    e = lls_alloc_raw(&boot, sizeof *e);
    if (e == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "engine");
    memset(e, 0, sizeof *e);
    lls_mem_init(&e->mem, hook);
    atomic_store(&e->mem.held, sizeof *e);
    e->clock = *clock;
    lls_forked_init(&e->forked);
    e->inbox_end = &e->inbox;
    e->pending_end = &e->pending;
    e->pause.mode = LLS_NOT_PAUSED;
    atomic_store(&e->paused, LLS_NOT_PAUSED);
    pthread_mutex_init(&e->lock, NULL);
    e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *out = e;
    if (e->wake_fd < 0)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no file descriptor for wake-ups");
    return LLM_OK;
}

static llm_status_t build(lls_engine_t *e, const llm_engine_config_t *config,
                          const lls_engine_parts_t *parts, llm_error_t *err)
{
    llm_status_t st = lls_engine_options_resolve(config, &e->mem, &e->options, err);

    if (st != LLM_OK)
        return st;
    e->log = (lls_log_t){ e->options.log, e->options.log_user, e->options.log_level };
    lls_sampling_defaults(&e->defaults);
    if ((st = parts->open(parts->user, e, err)) != LLM_OK || (st = size_lengths(e, err)) != LLM_OK)
        return st;
    size_groups(e);
    size_steps(e);
    if ((st = parts->measure(parts->user, e, err)) != LLM_OK)
        return st;
    size_cache(e);
    st = refuse_if_it_does_not_fit(e, err);
    e->plan.fits = st == LLM_OK;
    if (st != LLM_OK)
        return parts->plan_only ? LLM_OK : st;  /* of what does not fit, host_bytes stays 0 */
    if ((st = make_host(e, err)) != LLM_OK || (st = parts->start(parts->user, e, err)) != LLM_OK)
        return st;
    e->plan.host_bytes = atomic_load(&e->mem.held) -
                         (parts->plan_only ? 0 : lls_engine_device_bytes(e));
    return LLM_OK;
}

llm_status_t lls_engine_assemble(const llm_engine_config_t *config,
                                 const lls_engine_parts_t *parts, lls_engine_t **out,
                                 llm_error_t *err)
{
    lls_engine_t *e = NULL;
    llm_status_t  st = new_engine(config->allocator, &parts->clock, &e, err);

    if (st == LLM_OK)
        st = build(e, config, parts, err);
    if (st != LLM_OK) {
        lls_engine_destroy(e);
        e = NULL;
    }
    *out = e;
    return st;
}

static void free_device(lls_engine_t *e)
{
    lls_arena_deinit(&e->weights, &e->mem);
    lls_arena_deinit(&e->workspace, &e->mem);
    for (uint32_t i = 0; i < LLS_MAX_GROUPS; i++)
        lls_arena_deinit(&e->cache[i], &e->mem);
}

void lls_engine_destroy(lls_engine_t *e)
{
    lls_mem_t last;

    if (e == NULL)
        return;
    lls_engine_drop_requests(e);
    if (e->runner != NULL)
        e->runner->ops->destroy(e->runner);
    lls_sched_destroy(e->sched);
    lls_kv_destroy(e->kv);
    lls_model_close(e->model);
    lls_cpu_destroy(e->cpu);
    lls_tokenizer_close(e->tokenizer);
    free_device(e);
    lls_free(&e->mem, e->step_plan);
    lls_free(&e->mem, e->slots);
    lls_free(&e->mem, e->free_slots);
    lls_free(&e->mem, e->by_slot);
    lls_free(&e->mem, e->by_row);
    lls_free(&e->mem, e->in_step);
    lls_free(&e->mem, e->eos_ids);
    lls_reasoning_deinit(&e->reasoning);
    lls_engine_options_deinit(&e->options);
    if (e->wake_fd >= 0)
        close(e->wake_fd);
    lls_forked_deinit(&e->forked);
    pthread_mutex_destroy(&e->lock);
    lls_mem_init(&last, &e->mem.hook);
    lls_free_raw(&last, e, sizeof *e);
}
