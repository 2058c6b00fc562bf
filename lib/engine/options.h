/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the long tail by name: one table that parses, checks, explains and is
 * llm_option_info().
 *
 * A table row has scope, name (vLLM's), type, range, default and help; parsing follows the row, so
 * what llm_option_info() says is what is done.  '-' equals '_' in names and the last one of a list
 * wins.  Integers take k, m, g, t (1000) and K, M, G, T (1024) after a decimal number; bools are
 * true, false, 1, 0.  An unknown name is LLM_ERR_INVALID and names the nearest known one; a known
 * one whose feature or value this library does not have is LLM_ERR_UNSUPPORTED.
 *
 * Typed fields of llm_engine_config_t, llm_request_t and llm_sampling_params_t are checked with the
 * ranges of their rows too, and options are laid over them.
 */
#ifndef LLS_ENGINE_OPTIONS_H
#define LLS_ENGINE_OPTIONS_H

#include "base/mem.h"
#include "engine/repetition.h"
#include "sample/params.h"

/* Everything a config says, fields and options resolved.  Strings are ours. */
typedef struct lls_engine_options {
    lls_mem_t *mem;
    char      *model;
    char      *tokenizer;           /* NULL = model */
    char      *tokenizer_mode;      /* "auto", "gguf" */
    char      *device;              /* "auto", "cpu", "cuda:1" */
    char      *dtype;               /* "auto", "float16", "bfloat16", "float32" */
    char      *kv_cache_dtype;      /* likewise */
    char      *load_format;         /* "auto", "safetensors", "gguf", "dummy" */
    char      *weights_cache_dir;   /* NULL = none */
    char      *quantization;        /* "none", "int8", "int4", "int4_g128" */
    char      *cpu_isa;             /* a name of cpu/cpu.c */
    char      *cpu_affinity;        /* list of CPUs; NULL = none */
    char      *huge_pages;          /* "transparent", "auto", "explicit", "off" */
    char      *generation_config;   /* "auto", "vllm" or a folder */
    char      *hf_overrides;        /* JSON object, or NULL */
    char      *reasoning_config;    /* JSON object, or NULL */
    char      *override_generation_config;  /* JSON object, or NULL */
    char      *chat_template;       /* path or text; NULL = the model's */
    int64_t    template_time;       /* of strftime_now(), seconds since 1970; -1 = the clock */
    char      *served_model_name;   /* NULL = model */
    uint64_t   kv_cache_memory_bytes;       /* 0 = by the rule of the device */
    uint64_t   seed;
    uint32_t   max_model_len;       /* 0 = from the model */
    uint32_t   max_num_seqs;        /* 0 = by device */
    uint32_t   max_num_batched_tokens;      /* 0 = by device */
    uint32_t   max_num_queued_reqs; /* resolved: 16384 */
    uint32_t   max_num_queued_tokens;       /* 0 = no limit */
    uint32_t   block_size;          /* resolved: 16 */
    uint32_t   num_gpu_blocks_override;     /* 0 = none */
    uint32_t   long_prefill_token_threshold;/* 0 = none */
    uint32_t   stream_interval;     /* resolved: 1 */
    uint32_t   n_threads;           /* 0 = by cpu-affinity, or CPUs of this process */
    int32_t    max_logprobs;        /* resolved: 20; -1 = no cap */
    int32_t    logprobs_mode;       /* LLS_RAW_LOGPROBS, ... of sample/logprobs.h */
    float      gpu_memory_utilization;      /* resolved: 0.92 */
    bool       enable_prefix_caching;       /* resolved: true */
    bool       enable_chunked_prefill;      /* resolved: true */
    bool       skip_tokenizer_init;
    bool       by_priority;         /* scheduling-policy is "priority" */
    bool       deadline_admission;
    int32_t    log_level;           /* resolved: LLM_LOG_WARN */
    llm_log_fn log;
    void      *log_user;
    llm_progress_fn progress;
    void      *progress_user;
} lls_engine_options_t;

/* config is of our size (the caller has settled struct_size).  On failure *out holds nothing; on
 * success the caller deinits it. */
llm_status_t lls_engine_options_resolve(const llm_engine_config_t *config, lls_mem_t *mem,
                                        lls_engine_options_t *out, llm_error_t *err);
/* Of a zeroed one does nothing. */
void         lls_engine_options_deinit(lls_engine_options_t *o);

#define LLS_NO_TRUNCATION (-2)

/* A request's settings: fields, then options over them.  Ranges of sampling are left to
 * lls_sample_params_check(); lists that came from options are ours, all else is borrowed. */
typedef struct lls_request_options {
    lls_mem_t            *mem;
    llm_sampling_params_t sampling;
    lls_sample_options_t  more;             /* what has no member in it */
    const char           *extra_args;       /* JSON object for the callback, or NULL */
    const char           *cache_salt;       /* or NULL */
    const char           *request_id;       /* a name for logs, or NULL */
    int32_t               priority;
    int32_t               output_kind;      /* LLM_OUTPUT_* */
    uint32_t              stream_interval;  /* >= 1 */
    int64_t               truncate_prompt_tokens;   /* keep n; -1 = what fits */
    bool                  truncate_right;           /* else the first tokens go */
    bool                  skip_reading_prefix_cache;
    lls_repetition_params_t repetition;
    void                 *owned;            /* blocks that options made, a list */
} lls_request_options_t;

/* sampling is request->sampling or the engine's defaults, of our size.  As above on failure. */
llm_status_t lls_request_options_resolve(const llm_request_t *request,
                                         const llm_sampling_params_t *sampling, lls_mem_t *mem,
                                         lls_request_options_t *out, llm_error_t *err);
void         lls_request_options_deinit(lls_request_options_t *o);

#endif
