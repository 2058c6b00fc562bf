/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/assemble.h"

#include <string.h>

#include "base/cpus.h"
#include "base/io.h"
#include "base/sysmem.h"

/* ---- Sizes ----------------------------------------------------------------------------------- */

static llm_status_t choose_kv_dtype(lls_engine_t *e, llm_error_t *err)
{
    static const struct { const char *name; uint32_t dtype; } kinds[] = {
        { "float32", LLS_F32 }, { "float16", LLS_F16 }, { "bfloat16", LLS_BF16 },
        { "int8_per_token_head", LLS_I8 } };
    const char *name = e->options.kv_cache_dtype;

    e->kv_dtype = lls_model_dtype(e->model) == LLS_F32 ? LLS_F32 : LLS_BF16;
    if (strcmp(name, "auto") == 0)
        return LLM_OK;
    for (size_t i = 0; i < LLS_ARRAY_LEN(kinds); i++)
        if (strcmp(name, kinds[i].name) == 0) {
            e->kv_dtype = kinds[i].dtype;
            return LLM_OK;
        }
    return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "kv-cache-dtype",
                          "kv-cache-dtype %s is not there on the CPU; use auto, float32, float16, "
                          "bfloat16 or int8_per_token_head", name);
}

/* Values of two tokens lie together in most types. */
static llm_status_t check_block_size(const lls_engine_t *e, llm_error_t *err)
{
    if (e->options.block_size % 2 == 0)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "block-size",
                          "block-size %u is odd, which the CPU has no layout for; use %u",
                          e->options.block_size, e->options.block_size + 1);
}

static lls_model_runner_config_t runner_config(lls_engine_t *e)
{
    lls_model_runner_config_t c = {
        .model = e->model, .ops = lls_cpu_ops(e->cpu), .backend = e->cpu, .limits = e->limits,
        .kv = e->kv_config, .hook = lls_engine_call_hook, .hook_user = e, .cancel = &e->cancel,
        .logprobs_mode = (uint32_t)e->options.logprobs_mode };

    for (uint32_t i = 0; i < e->kv_config.n_pools; i++) {
        c.pool_base[i] = e->cache[i].base;
        c.block_bytes[i] = e->block_bytes[i];
    }
    return c;
}

/* For sizes the pages need no memory yet. */
static void bind_pages(lls_engine_t *e)
{
    for (uint32_t g = 0; g < e->kv_config.n_groups; g++) {
        uint32_t pool = e->kv_config.group[g].pool;
        lls_model_bind_pages(e->model, lls_cpu_ops(e->cpu), g, e->cache[pool].base,
                             e->block_bytes[pool], e->kv_dtype, e->plan.block_size);
    }
}

static uint32_t huge_pages_of(const lls_engine_t *e)
{
    static const char *const words[] = {    /* ORDER huge_pages */
        "transparent", "auto", "explicit", "off" };
    uint32_t                 i = 0;

    while (strcmp(e->options.huge_pages, words[i]) != 0)
        i++;
    return i;
}

static llm_status_t measure_model(void *user, lls_engine_t *e, llm_error_t *err)
{
    lls_sysmem_t              machine = lls_sysmem();
    lls_model_runner_config_t runner;
    size_t                    workspace;

    (void)user;
    bind_pages(e);
    runner = runner_config(e);
    workspace = lls_model_runner_bytes(&runner);
    if (workspace == 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-logprobs",
                              "max-num-seqs %u rows with max-logprobs %d make a step's result "
                              "larger than 4 GiB; lower one", e->plan.max_num_seqs,
                              e->options.max_logprobs);
    e->plan.workspace_bytes = workspace + LLS_ARENA_ALIGN;
    e->plan.weight_bytes = lls_model_weight_bytes(e->model, lls_cpu_ops(e->cpu)) + LLS_ARENA_ALIGN;
    e->plan.device_total_bytes = machine.total;
    e->plan.device_free_bytes = machine.available;
    if (huge_pages_of(e) == LLS_HUGE_AUTO || huge_pages_of(e) == LLS_HUGE_EXPLICIT)
        e->plan.device_free_bytes += machine.huge;
    return LLM_OK;
}

/* ---- Device memory --------------------------------------------------------------------------- */

static llm_status_t device_alloc(lls_engine_t *e, size_t bytes, const char *what, uint32_t wanted,
                                 lls_arena_t *a, llm_error_t *err)
{
    llm_status_t st = lls_arena_init(a, &e->mem, bytes, wanted, "huge-pages", err);

    if (st == LLM_OK && a->mapped > 0)
        lls_log(&e->log, LLM_LOG_INFO, "engine", "%s: %zu explicit huge pages", what,
                a->mapped / LLS_HUGE_PAGE);
    else if (st == LLM_OK && wanted == LLS_HUGE_AUTO)
        lls_log(&e->log, LLM_LOG_WARN, "engine",
                "%s: fewer than %zu explicit huge pages are free, so transparent ones; raise "
                "/proc/sys/vm/nr_hugepages", what, bytes / LLS_HUGE_PAGE + 1);
    return st;
}

/* Who attends to a block is not known before, so all have their part of the cache near.  With one
 * node there is no far, and a cache whose size nobody asked for comes as it is needed. */
static llm_status_t make_cache(lls_engine_t *e, llm_error_t *err)
{
    bool         touched = e->options.kv_cache_memory_bytes > 0 || lls_n_nodes(LLS_NODES) > 1;
    llm_status_t st = LLM_OK;

    for (uint32_t i = 0; st == LLM_OK && i < e->kv_config.n_pools; i++) {
        st = device_alloc(e, e->cache_bytes[i], "KV cache", huge_pages_of(e), &e->cache[i], err);
        if (st == LLM_OK && touched)
            lls_cpu_place_in_turn(e->cpu, e->cache[i].base, lls_arena_room(&e->cache[i]));
    }
    if (st == LLM_OK)
        bind_pages(e);
    return st;
}

/* A small step uses a little of it here and there: a transparent huge page is too much to find and
 * to keep for that. */
static llm_status_t make_workspace(lls_engine_t *e, llm_error_t *err)
{
    uint32_t wanted = huge_pages_of(e);

    if (wanted == LLS_HUGE_TRANSPARENT)
        wanted = LLS_HUGE_OFF;
    return device_alloc(e, e->plan.workspace_bytes, "workspace", wanted, &e->workspace, err);
}

/* ---- The parts: a model in the memory of this process ---------------------------------------- */

typedef struct loading {
    const llm_engine_config_t *config;
    bool                       plan_only;
    uint64_t                   began_us;
} loading_t;

static int32_t report(const loading_t *l, int32_t stage, uint64_t done, uint64_t total)
{
    llm_progress_t p = { .struct_size = sizeof p, .stage = stage, .done = done, .total = total,
                         .elapsed_us = lls_clock_us() - l->began_us };

    return l->config->progress == NULL ? 0 : l->config->progress(l->config->progress_user, &p);
}

static int32_t report_weights(void *user, uint64_t done, uint64_t total)
{
    return report(user, LLM_STAGE_WEIGHTS, done, total);
}

static llm_status_t open_tokenizer(lls_engine_t *e, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    const char                 *path = o->tokenizer != NULL ? o->tokenizer : o->model;
    size_t                      n = strlen(path);

    if (strcmp(o->tokenizer_mode, "gguf") == 0 && (n < 5 || strcmp(path + n - 5, ".gguf") != 0))
        return lls_fail_param(err, LLM_ERR_INVALID, "tokenizer-mode",
                              "tokenizer-mode gguf: %s is no .gguf file; name one as tokenizer",
                              path);
    return lls_tokenizer_open(&e->mem, path, &e->tokenizer, err);
}

/* Weights in blocks become bfloat16 for tiles, which takes longer than reading them and is made up
 * for by the streams that share it: by more than these. */
#define FEW_STREAMS 4u

static const char *isa_of(const lls_engine_options_t *o)
{
    bool few = o->max_num_seqs > 0 && o->max_num_seqs <= FEW_STREAMS;

    if (few && strcmp(o->cpu_isa, "auto") == 0 && lls_cpu_has_isa(LLS_ISA_AMXINT8))
        return lls_cpu_isa_name(LLS_ISA_AMXINT8);
    return o->cpu_isa;
}

static llm_status_t make_cpu(lls_engine_t *e, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    lls_cpu_list_t              cpus = { .n = 0 };
    llm_status_t                st = LLM_OK;

    if (o->cpu_affinity != NULL)
        st = lls_cpu_list_parse("cpu-affinity", o->cpu_affinity, &cpus, err);
    if (st == LLM_OK)
        st = lls_cpu_create(&e->mem, o->n_threads > 0 ? o->n_threads : cpus.n, isa_of(o), &e->cpu,
                            err);
    if (st == LLM_OK && cpus.n > 0)
        st = lls_pool_bind(lls_cpu_pool(e->cpu), "cpu-affinity", &cpus, err);
    return st;
}

static llm_status_t open_files(lls_engine_t *e, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    lls_model_options_t         mo = { .path = o->model, .load_format = o->load_format,
                                       .dtype = o->dtype, .quantization = o->quantization,
                                       .hf_overrides = o->hf_overrides,
                                       .weights_cache_dir = o->weights_cache_dir,
                                       .max_model_len = o->max_model_len };
    llm_status_t                st;

    if (o->weights_cache_dir != NULL && !lls_path_is_dir(o->weights_cache_dir))
        return lls_fail_param(err, LLM_ERR_IO, "weights-cache-dir",
                              "weights-cache-dir %s is not a directory; make it first",
                              o->weights_cache_dir);
    st = make_cpu(e, err);
    if (st == LLM_OK)
        st = lls_model_open(&e->mem, &e->log, &mo, &e->model, err);
    if (st == LLM_OK && !o->skip_tokenizer_init)
        st = open_tokenizer(e, err);
    return st;
}

static llm_status_t open_model(void *user, lls_engine_t *e, llm_error_t *err)
{
    llm_status_t st;

    if (report(user, LLM_STAGE_OPEN, 0, 0) != 0)
        return lls_fail(err, LLM_ERR_CANCELLED, "stopped by the progress callback");
    if ((st = check_block_size(e, err)) != LLM_OK || (st = open_files(e, err)) != LLM_OK ||
        (st = choose_kv_dtype(e, err)) != LLM_OK)
        return st;
    e->traits = lls_model_traits(e->model);
    for (uint32_t g = 0; g < e->traits->n_groups; g++)
        e->group_bytes[g] = lls_model_block_bytes(e->model, lls_cpu_ops(e->cpu), g, e->kv_dtype,
                                                  e->options.block_size);
    return lls_engine_lay_defaults(e, err);
}

static llm_status_t make_runner(lls_engine_t *e, void *workspace, llm_error_t *err)
{
    lls_model_runner_config_t c = runner_config(e);

    return lls_model_runner_create(&e->mem, &c, workspace, &e->runner, err);
}

static llm_status_t start_model(void *user, lls_engine_t *e, llm_error_t *err)
{
    const loading_t *l = user;
    llm_status_t     st;

    if (l->plan_only) {
        lls_model_close_files(e->model);
        return make_runner(e, NULL, err);
    }
    st = device_alloc(e, e->plan.weight_bytes, "weights", huge_pages_of(e), &e->weights, err);
    if (st == LLM_OK)
        st = lls_model_load(e->model, lls_cpu_ops(e->cpu), e->cpu, e->weights.base, report_weights,
                            user, err);
    if (st == LLM_OK)
        st = make_cache(e, err);
    if (st == LLM_OK)
        st = make_workspace(e, err);
    return st == LLM_OK ? make_runner(e, e->workspace.base, err) : st;
}

llm_status_t lls_engine_create(const llm_engine_config_t *config, bool plan_only,
                               lls_engine_t **out, llm_error_t *err)
{
    loading_t          l = { .config = config, .plan_only = plan_only,
                             .began_us = lls_clock_us() };
    lls_engine_parts_t parts = { .user = &l, .plan_only = plan_only, .clock = lls_system_clock,
                                 .open = open_model, .measure = measure_model,
                                 .start = start_model };

    return lls_engine_assemble(config, &parts, out, err);
}
