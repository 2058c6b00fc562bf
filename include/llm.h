/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llm.h - the public interface of libllmserve, an LLM serving engine.
 *
 * An engine is one loaded model with its KV cache and scheduler.  Requests go in
 * with llm_engine_add_request(); the caller turns the crank with
 * llm_engine_step() and drains results with llm_engine_next_output():
 *
 *     llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
 *     llm_request_t       req = LLM_INIT(llm_request_t);
 *     llm_engine_t       *engine;
 *     const llm_output_t *out;
 *     llm_status_t        st;
 *     llm_error_t         err;
 *
 *     cfg.model = model_path;
 *     if (llm_engine_create(&cfg, &engine, &err) != LLM_OK)
 *         return puts(err.message);
 *     req.text = "The sky is";
 *     req.text_len = LLM_CSTR;
 *     llm_engine_add_request(engine, &req, NULL, &err);
 *     do {
 *         st = llm_engine_step(engine, &err);
 *         while ((out = llm_engine_next_output(engine)) != NULL)
 *             fwrite(out->text, 1, out->text_len, stdout);
 *     } while (st == LLM_OK && llm_engine_unfinished(engine) > 0);
 *     llm_engine_destroy(engine);
 *
 * What holds for everything below:
 *
 * Zero     In every field that you fill in, zero means "off" or "the default",
 *          which is named.  So zeroed memory with struct_size set is a valid start
 *          for every struct and needs no macro.  New fields keep this rule.
 * ABI      A struct that starts with struct_size grows only at its end; one marked
 *          frozen never changes.  Symbols are never removed or re-typed within a
 *          major version.  Everything here is since 0.1 unless it says otherwise.
 *          Enums and flags are int32_t and uint32_t fields; values may be added, so
 *          expect unknown ones from the library.  It refuses those that it does
 *          not know, and reserved fields that are not zero.
 * Sizes    Who allocates a struct sets struct_size = sizeof and zeroes the rest
 *          first.  A library older than the caller's header accepts the bytes that
 *          it does not know if they are zero, else gives LLM_ERR_UNSUPPORTED; in a
 *          struct that it fills it zeroes them.  In a struct made by the library
 *          test fields newer than 0.1 with LLM_HAS().  Arrays of growing structs
 *          are arrays of pointers.
 * Order    The object acted on, then inputs, then outputs, then err.
 * Errors   A llm_status_t is 0 or negative.  Branch on it; show err->message to
 *          people.  err may be NULL and is written on failure only.  On failure
 *          outputs are NULL or zero, unless the comment says otherwise.  NULL for
 *          what must be there is LLM_ERR_INVALID, or gives NULL or 0.
 * Memory   Inputs are borrowed for the call and copied if kept.  A pointer that a
 *          function stores through a ** argument is yours to destroy, and
 *          destroy(NULL) does nothing.  A pointer that a function returns is
 *          borrowed; its comment says until when.
 * Text     UTF-8 with a length in bytes, so it may hold NULs; const char * without
 *          a length ends at its NUL.  Text handed out has a NUL after it as well.
 *          Text handed in that is not UTF-8 is LLM_ERR_INVALID.
 * Threads  One thread at a time may step an engine, drain it and call what is not
 *          marked [any]; it may be another one each time.  [any] functions may run
 *          beside it from any thread, and none of these waits for a step.
 *          Callbacks run on a thread that is inside the library, may call only
 *          [any] functions of the engine that runs them, and must not throw.
 *          Calls at a wrong moment give LLM_ERR_STATE.  Distinct engines are
 *          independent.
 * Process  No globals, no environment, no signals, no output, no exit or abort.
 *          Threads are an engine's workers only, joined by destroy.  In a child
 *          after fork() every call on an engine of the parent gives LLM_ERR_STATE.
 * Ranks    With several processes (mpirun) each rank creates its engine with the
 *          same config.  Rank 0 does everything else; the others call
 *          llm_engine_step() in a loop, which blocks for and takes part in rank 0's
 *          steps until it gives LLM_ERR_CLOSED, and then destroy.  LLM_ERR_DEVICE
 *          on one rank reaches all.
 */
#ifndef LLM_H
#define LLM_H

#include <stddef.h>
#include <stdint.h>

#define LLM_VERSION_MAJOR  0
#define LLM_VERSION_MINOR  2
#define LLM_VERSION_PATCH  0
#define LLM_VERSION_NUMBER \
    (LLM_VERSION_MAJOR * 1000000 + LLM_VERSION_MINOR * 1000 + LLM_VERSION_PATCH)

#ifndef LLM_API
#  if defined(_WIN32) && defined(LLM_BUILD_SHARED)
#    define LLM_API __declspec(dllexport)
#  elif defined(_WIN32) && !defined(LLM_STATIC)
#    define LLM_API __declspec(dllimport)
#  elif defined(__GNUC__)
#    define LLM_API __attribute__((visibility("default")))
#  else
#    define LLM_API
#  endif
#endif

/* Conveniences; nothing needs them.
 * LLM_CSTR as a length: "ends at its NUL"; equals SIZE_MAX.
 * LLM_INIT a zeroed struct with struct_size set: llm_request_t r = LLM_INIT(llm_request_t);
 * LLM_HAS  true if the library that made *ptr knows the field. */
#define LLM_CSTR ((size_t)-1)
#define LLM_HAS(ptr, field)                                                    \
    ((ptr)->struct_size >= sizeof((ptr)->field) +                              \
        (size_t)((const char *)&(ptr)->field - (const char *)(ptr)))
#ifdef __cplusplus
template <class T> inline T llm_init_()
{
    T t = T();
    t.struct_size = sizeof(T);
    return t;
}
#  define LLM_INIT(type) llm_init_<type>()
#else
#  define LLM_INIT(type) { .struct_size = sizeof(type) }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library in memory, which need not be the header's. [any] */
LLM_API uint32_t    llm_version_number(void);
LLM_API const char *llm_version_string(void);   /* "0.2.0 (cuda 12.8; sm_90)" */

/* ---- Status -------------------------------------------------------------- */

typedef int32_t llm_status_t;       /* LLM_OK, LLM_ERR_*, or one newer than us */

/* Numbers are pinned: add at the end, never reuse. */
enum {
    LLM_OK              =   0,
    LLM_ERR_INVALID     =  -1,      /* an argument, field or option; err->param names it */
    LLM_ERR_NO_MEMORY   =  -2,      /* host memory */
    LLM_ERR_NO_DEVMEM   =  -3,      /* device memory; llm_plan() says how much is wanted */
    LLM_ERR_NOT_FOUND   =  -4,      /* no such request or name */
    LLM_ERR_EXISTS      =  -5,      /* the name is in use */
    LLM_ERR_UNSUPPORTED =  -6,      /* not by this build, version or model */
    LLM_ERR_IO          =  -7,      /* a file could not be read */
    LLM_ERR_FORMAT      =  -8,      /* a malformed model, template, grammar or JSON */
    LLM_ERR_TOO_LONG    =  -9,      /* the prompt does not fit the context */
    LLM_ERR_BUSY        = -10,      /* the queue is full; try again later */
    LLM_ERR_CANCELLED   = -11,      /* stopped by the caller */
    LLM_ERR_NO_SPACE    = -12,      /* buffer too small; the size needed was returned */
    LLM_ERR_STATE       = -13,      /* not allowed on this thread, rank or at this moment */
    LLM_ERR_DEVICE      = -14,      /* the device or a rank failed; the engine is dead */
    LLM_ERR_INTERNAL    = -15,      /* a bug in libllmserve */
    LLM_ERR_TIMEOUT     = -16,      /* the time given has passed */
    LLM_ERR_CLOSED      = -17       /* rank 0 has destroyed its engine */
};

/* Both static, never NULL, [any]: "queue is full; try again later", "LLM_ERR_BUSY". */
LLM_API const char *llm_strerror(llm_status_t status);
LLM_API const char *llm_status_name(llm_status_t status);

/* Yours, so it is safe across threads and green threads; frozen and written only
 * by the library, so it needs no initialising. */
typedef struct llm_error {
    llm_status_t status;
    uint32_t     retry_after_ms;    /* with LLM_ERR_BUSY: a sensible wait; else 0 */
    char         param[56];         /* "top_p", "max-num-seqs", "messages[2].role" or "" */
    char         message[448];      /* one line: what was wrong, the value, the way out */
} llm_error_t;

/* ---- Host hooks ---------------------------------------------------------- */

/* Frozen.  Allocates when ptr is NULL, frees when new_size is 0; aligned as malloc
 * would.  NULL means failure, which the library survives.  Host memory only, and
 * all of it that an engine keeps, but what lies in explicit huge pages (option
 * huge-pages).  Called from several threads at once. */
typedef struct llm_allocator {
    void *(*realloc_fn)(void *user, void *ptr, size_t old_size, size_t new_size);
    void  *user;
} llm_allocator_t;

enum { LLM_LOG_ERROR = 1, LLM_LOG_WARN = 2, LLM_LOG_INFO = 3, LLM_LOG_DEBUG = 4 };

/* line has no newline.  Called from several threads at once. */
typedef void (*llm_log_fn)(void *user, int32_t level, const char *module, const char *line);

enum {
    LLM_STAGE_OPEN    = 1,          /* headers, config, tokenizer */
    LLM_STAGE_WEIGHTS = 2,          /* done and total are bytes */
    LLM_STAGE_WARMUP  = 3,
    LLM_STAGE_BATCH   = 4           /* done and total are requests */
};

typedef struct llm_progress {       /* made by the library; valid during the call */
    uint32_t struct_size;
    int32_t  stage;                 /* LLM_STAGE_* */
    uint64_t done;
    uint64_t total;                 /* 0 = not known */
    uint64_t elapsed_us;            /* since the call that reports began */
    uint64_t prompt_tokens;         /* LLM_STAGE_BATCH: computed or found in the cache */
    uint64_t completion_tokens;
} llm_progress_t;

/* Non-zero stops the call that reports, which then gives LLM_ERR_CANCELLED.  Called
 * at least every 100 ms while loading and once a step in a batch. */
typedef int32_t (*llm_progress_fn)(void *user, const llm_progress_t *progress);

/* ---- Options: the long tail, by name -------------------------------------- */

/* Frozen.  name is vLLM's, of a CLI flag or of a request field, and '-' and '_' are
 * equal in it; value is text as on the command line: a number, true or false, a
 * word, or JSON.  In a list the last one wins.  Typed fields have names too, and an
 * option beats the field.  Unknown names are LLM_ERR_INVALID. */
typedef struct llm_option {
    const char *name;
    const char *value;
} llm_option_t;

enum { LLM_SCOPE_ENGINE = 1, LLM_SCOPE_REQUEST = 2 };

typedef struct llm_option_info {    /* made by the library; static */
    uint32_t    struct_size;
    int32_t     scope;              /* LLM_SCOPE_* */
    const char *name;               /* "max-num-batched-tokens", "thinking_token_budget" */
    const char *type;               /* "int", "float", "bool", "string", "json", "a|b|c" */
    const char *default_value;      /* as text; NULL = depends, see help */
    const char *range;              /* "[0, 1]"; NULL = any */
    const char *help;
} llm_option_info_t;

/* Option number index, or NULL past the last one. [any] */
LLM_API const llm_option_info_t *llm_option_info(size_t index);

/* ---- Engine -------------------------------------------------------------- */

typedef struct llm_engine llm_engine_t;

typedef struct llm_engine_config {
    uint32_t               struct_size;
    int32_t                log_level;              /* LLM_LOG_*; 0 = LLM_LOG_WARN */
    const char            *model;                  /* directory or .gguf file; required */
    const char            *tokenizer;              /* NULL = model */
    const char            *device;                 /* "cuda:1", "cpu"; NULL = the best */
    const char            *dtype;                  /* "bfloat16", ...; NULL = the checkpoint's */
    uint64_t               kv_cache_memory_bytes;  /* exact; 0 = by gpu_memory_utilization */
    uint64_t               seed;                   /* of requests without one of their own */
    uint32_t               max_model_len;          /* tokens; 0 = from the model */
    uint32_t               max_num_seqs;           /* sequences a step; 0 = by device */
    uint32_t               max_num_batched_tokens; /* tokens a step; 0 = by device */
    uint32_t               max_num_queued_reqs;    /* unfinished or undrained; 0 = 16384 */
    float                  gpu_memory_utilization; /* (0, 1]; 0 = 0.92 */
    uint32_t               n_threads;              /* CPU workers; 0 = cores of this process */
    const llm_option_t    *options;                /* "tensor-parallel-size", ... */
    size_t                 n_options;
    const llm_allocator_t *allocator;              /* copied; NULL = malloc */
    llm_log_fn             log;                    /* NULL = silence */
    void                  *log_user;
    llm_progress_fn        progress;               /* of llm_engine_create(); may be NULL */
    void                  *progress_user;
} llm_engine_config_t;

/* What an engine needs and can do, exact to the byte.  Bytes are of one rank. */
typedef struct llm_plan {
    uint32_t    struct_size;        /* set by you, as in llm_stats_t */
    uint32_t    fits;               /* 1 = llm_engine_create() would find the room now */
    uint64_t    weight_bytes;
    uint64_t    workspace_bytes;
    uint64_t    kv_cache_bytes;
    uint64_t    kv_bytes_per_token; /* rounded up where layers differ */
    uint64_t    device_total_bytes; /* host memory when the device is "cpu" */
    uint64_t    device_free_bytes;
    uint64_t    host_bytes;         /* all else held when idle: tokenizer, queues; 0 = no fit */
    const char *limit;              /* static; the option that decides kv_cache_bytes */
    uint32_t    kv_blocks;
    uint32_t    block_size;         /* tokens in a KV block */
    uint32_t    max_model_len;
    uint32_t    max_concurrency;    /* requests of max_model_len tokens that fit at once */
    uint32_t    max_num_seqs;
    uint32_t    max_num_batched_tokens;
    uint32_t    vocab_size;
    uint32_t    hidden_size;
    uint32_t    rank;               /* of this process; 0 = the one that is spoken to */
    uint32_t    world_size;         /* 1 = no parallelism */
} llm_plan_t;

/* Reads headers only, allocates nothing on the device.  LLM_OK also when it does not
 * fit: look at fits and limit.  Needs no engine. [any] */
LLM_API llm_status_t llm_plan(const llm_engine_config_t *config, llm_plan_t *plan,
                              llm_error_t *err);
/* Loads the model; may take minutes, see config->progress.  *engine is NULL on
 * failure and nothing stays behind. [any] */
LLM_API llm_status_t llm_engine_create(const llm_engine_config_t *config, llm_engine_t **engine,
                                       llm_error_t *err);
/* Drops what is unfinished, without records, and returns every byte.  No other call
 * on the engine may be in progress or follow. */
LLM_API void         llm_engine_destroy(llm_engine_t *engine);
/* The plan as carried out. [any] */
LLM_API llm_status_t llm_engine_plan(const llm_engine_t *engine, llm_plan_t *plan);

/* ---- Tokenizer ----------------------------------------------------------- */

typedef struct llm_tokenizer llm_tokenizer_t;     /* never changes, so all calls are [any] */

/* The engine's own; lives as long as the engine.  NULL under skip-tokenizer-init. */
LLM_API const llm_tokenizer_t *llm_engine_tokenizer(const llm_engine_t *engine);
/* From a model directory, tokenizer.json or .gguf file. */
LLM_API llm_status_t llm_tokenizer_create(const char *path, const llm_allocator_t *allocator,
                                          llm_tokenizer_t **tokenizer, llm_error_t *err);
LLM_API void         llm_tokenizer_destroy(llm_tokenizer_t *tokenizer);

enum {
    LLM_ENCODE_NO_SPECIAL   = 1,        /* add no BOS, EOS, CLS, SEP */
    LLM_DECODE_KEEP_SPECIAL = 2         /* do not drop special tokens */
};

/* These write at most cap units, set *n to the number needed, and give
 * LLM_ERR_NO_SPACE if that is more than cap.  A NULL buffer asks for *n only, with
 * LLM_OK.  *n counts no NUL; text gets one if *n < cap.
 * chat is the JSON object of an OpenAI chat request: messages, tools, documents,
 * add_generation_prompt, continue_final_message, chat_template, chat_template_kwargs;
 * other keys are ignored.  Special tokens spelled inside messages stay plain text in
 * encode_chat, so render_chat followed by encode is not the same. */
LLM_API llm_status_t llm_tokenizer_encode(const llm_tokenizer_t *tokenizer,
                                          const char *text, size_t len, uint32_t flags,
                                          int32_t *tokens, size_t cap, size_t *n,
                                          llm_error_t *err);
LLM_API llm_status_t llm_tokenizer_encode_chat(const llm_tokenizer_t *tokenizer,
                                               const char *chat, size_t len,
                                               int32_t *tokens, size_t cap, size_t *n,
                                               llm_error_t *err);
LLM_API llm_status_t llm_tokenizer_render_chat(const llm_tokenizer_t *tokenizer,
                                               const char *chat, size_t len,
                                               char *text, size_t cap, size_t *n,
                                               llm_error_t *err);
LLM_API llm_status_t llm_tokenizer_decode(const llm_tokenizer_t *tokenizer,
                                          const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                          char *text, size_t cap, size_t *n, llm_error_t *err);
/* The bytes of one token, which need not be whole UTF-8, for as long as the tokenizer
 * lives; NULL if there is no such id. */
LLM_API const char  *llm_tokenizer_token(const llm_tokenizer_t *tokenizer, int32_t id, size_t *len);

enum { LLM_TOKEN_BOS = 1, LLM_TOKEN_EOS = 2 };

/* Since 0.2.  One more than the largest id, added tokens included. */
LLM_API size_t       llm_tokenizer_size(const llm_tokenizer_t *tokenizer);
/* Since 0.2.  The id of LLM_TOKEN_*, or -1 if the model names none. */
LLM_API int32_t      llm_tokenizer_special(const llm_tokenizer_t *tokenizer, int32_t which);
/* Since 0.2.  The id of a token by its spelling in the file, such as "<|im_end|>",
 * or -1.  len: bytes, or LLM_CSTR. */
LLM_API int32_t      llm_tokenizer_find(const llm_tokenizer_t *tokenizer, const char *token,
                                        size_t len);

/* ---- Requests ------------------------------------------------------------ */

typedef uint64_t llm_request_id_t;  /* unique in an engine, never reused, never 0 */

/* One row of logits on its way to the sampler. */
typedef struct llm_logits {         /* made by the library; valid during the call */
    uint32_t         struct_size;
    uint32_t         index;         /* which of the n completions */
    llm_request_id_t id;
    void            *user_data;     /* the request's */
    const int32_t   *tokens;        /* prompt, then completion so far */
    size_t           n_tokens;
    size_t           n_prompt;
    float           *logits;        /* yours to change, before penalties and temperature */
    size_t           n_vocab;
    const char      *extra_args;    /* 0.2 JSON of the request option extra_args; NULL = none */
} llm_logits_t;

/* Runs inside step on rank 0, once for each row and token: the device waits for it.
 * Non-zero ends the completion with LLM_FINISH_ABORT, a NaN, +inf or nothing but -inf left in
 * the row with LLM_FINISH_ERROR; others are not disturbed.  A guide has the last word. */
typedef int32_t (*llm_logits_fn)(void *user, llm_logits_t *row);

typedef struct llm_logit_bias {     /* frozen */
    int32_t token;
    float   bias;                   /* added to the logit; clamped to [-100, 100] */
} llm_logit_bias_t;

enum {
    LLM_SAMPLE_SEEDED       = 1,        /* seed is meant, also when it is 0 */
    LLM_SAMPLE_IGNORE_EOS   = 2,
    LLM_SAMPLE_KEEP_STOP    = 4,        /* leave the stop string in the text */
    LLM_SAMPLE_KEEP_SPECIAL = 8,        /* leave special tokens in the text */
    LLM_SAMPLE_NO_TEXT      = 16        /* token ids only; no stop strings then */
};

/* What guide holds; the output can be nothing else. */
enum {
    LLM_GUIDE_NONE           = 0,
    LLM_GUIDE_JSON_SCHEMA    = 1,       /* a JSON schema */
    LLM_GUIDE_JSON_OBJECT    = 2,       /* nothing; any JSON object */
    LLM_GUIDE_REGEX          = 3,
    LLM_GUIDE_CHOICE         = 4,       /* a JSON array of strings */
    LLM_GUIDE_GRAMMAR        = 5,       /* EBNF */
    LLM_GUIDE_STRUCTURAL_TAG = 6        /* vLLM's JSON */
};

/* Names and meanings are vLLM's SamplingParams, and so are the defaults that zero
 * stands for, but for temperature: an all-zero struct is greedy.  The model's own
 * defaults come from llm_sampling_defaults().  The rest of vLLM's fields
 * (thinking_token_budget, repetition_detection, logprob_token_ids, ...) are request
 * options. */
typedef struct llm_sampling_params {
    uint32_t                struct_size;
    uint32_t                flags;              /* LLM_SAMPLE_* */
    float                   temperature;        /* [0, 2]; 0 = greedy */
    float                   top_p;              /* (0, 1]; 0 = 1 */
    float                   min_p;              /* [0, 1] */
    float                   repetition_penalty; /* > 0; 0 = 1 */
    float                   presence_penalty;   /* [-2, 2] */
    float                   frequency_penalty;  /* [-2, 2] */
    uint32_t                top_k;              /* 0 = all */
    uint32_t                n;                  /* completions; 0 = 1; greedy allows 1 */
    uint32_t                max_tokens;         /* 0 = 16; UINT32_MAX = until the context is full */
    uint32_t                min_tokens;         /* no EOS and no stop before */
    int32_t                 n_logprobs;         /* entries a token: 0 none, 1 the sampled one, */
    int32_t                 n_prompt_logprobs;  /* 1 + k also the k likeliest, -1 all; at most
                                                 * 1 + max-logprobs, an option, 20 */
    uint64_t                seed;               /* with LLM_SAMPLE_SEEDED; completion i: seed + i */
    const char *const      *stop;               /* no empty strings; cut from the text */
    size_t                  n_stop;
    const int32_t          *stop_token_ids;
    size_t                  n_stop_token_ids;
    const int32_t          *allowed_token_ids;
    size_t                  n_allowed_token_ids;/* 0 = all are allowed */
    const llm_logit_bias_t *logit_bias;
    size_t                  n_logit_bias;
    const char *const      *bad_words;
    size_t                  n_bad_words;
    const char             *guide;
    size_t                  guide_len;          /* bytes, or LLM_CSTR */
    llm_logits_fn           logits_fn;          /* NULL = none */
    void                   *logits_user;
    int32_t                 guide_kind;         /* LLM_GUIDE_* */
    uint32_t                reserved0;          /* must be 0 */
} llm_sampling_params_t;

/* Fills params, whose struct_size you have set, with vLLM's SamplingParams()
 * (temperature 1, max_tokens 16), and with an engine lays generation_config.json of
 * its model over it. [any] */
LLM_API llm_status_t llm_sampling_defaults(const llm_engine_t *engine,
                                           llm_sampling_params_t *params);

enum {
    LLM_REQUEST_NO_SPECIAL   = 1,       /* text: as LLM_ENCODE_NO_SPECIAL */
    LLM_REQUEST_ECHO         = 2,       /* outputs carry prompt and prompt_ids */
    LLM_REQUEST_PREFILL_ONLY = 4        /* generate nothing: score the prompt or warm the cache */
};

/* How much the text, tokens and logprobs of a record cover. */
enum {
    LLM_OUTPUT_DELTA      = 0,          /* what is new since its last record */
    LLM_OUTPUT_CUMULATIVE = 1,          /* everything so far, each time */
    LLM_OUTPUT_FINAL      = 2           /* one record at its end, with everything */
};

/* Set exactly one of text, tokens and chat. */
typedef struct llm_request {
    uint32_t                     struct_size;
    uint32_t                     flags;             /* LLM_REQUEST_* */
    const char                  *text;
    size_t                       text_len;          /* bytes, or LLM_CSTR */
    const int32_t               *tokens;
    size_t                       n_tokens;
    const char                  *chat;              /* JSON, as llm_tokenizer_encode_chat() */
    size_t                       chat_len;          /* bytes, or LLM_CSTR */
    const llm_sampling_params_t *sampling;          /* NULL = llm_sampling_defaults() of engine */
    void                        *user_data;         /* comes back in every output */
    const char                  *cache_salt;        /* only equal ones share a prefix; or NULL */
    const llm_option_t          *options;           /* LLM_SCOPE_REQUEST */
    size_t                       n_options;
    int32_t                      priority;          /* lower runs first, under that policy */
    int32_t                      output_kind;       /* LLM_OUTPUT_* */
    uint32_t                     stream_interval;   /* tokens a record, but first and last; 0 = 1 */
    uint32_t                     queue_timeout_ms;  /* from add to first scheduled; 0 = none */
    uint32_t                     timeout_ms;        /* from add to finish; 0 = none */
    uint32_t                     reserved0;         /* must be 0 */
} llm_request_t;

/* Checks, tokenises and queues a request: milliseconds for a long prompt.  *id, which
 * may be NULL, is set before the first output can appear.  After LLM_OK one output
 * with last set will come, whatever happens, unless the engine is destroyed; after
 * an error none.  LLM_ERR_BUSY is back-pressure. [any] */
LLM_API llm_status_t llm_engine_add_request(llm_engine_t *engine, const llm_request_t *request,
                                            llm_request_id_t *id, llm_error_t *err);
/* Ends a request, within one step and in every state; its last output then says
 * LLM_FINISH_ABORT.  LLM_ERR_NOT_FOUND for finished and unknown ids and for 0 is
 * harmless. [any] */
LLM_API llm_status_t llm_engine_abort(llm_engine_t *engine, llm_request_id_t id);
LLM_API void         llm_engine_abort_all(llm_engine_t *engine);        /* [any] */
/* Requests whose last output was not yet made. [any] */
LLM_API size_t       llm_engine_unfinished(const llm_engine_t *engine);

/* ---- Stepping and outputs ------------------------------------------------ */

enum {
    LLM_FINISH_NONE       = 0,          /* runs on */
    LLM_FINISH_STOP       = 1,          /* end of sequence, stop string or token, or prefill done */
    LLM_FINISH_LENGTH     = 2,          /* max_tokens or the context */
    LLM_FINISH_ABORT      = 3,          /* llm_engine_abort() or a callback */
    LLM_FINISH_ERROR      = 4,          /* see error */
    LLM_FINISH_REPETITION = 5,
    LLM_FINISH_DEADLINE   = 6           /* queue_timeout_ms or timeout_ms */
};

/* "stop", "length", ... as in vLLM; static, never NULL. [any] */
LLM_API const char *llm_finish_name(int32_t finish_reason);

typedef struct llm_logprob {            /* frozen */
    int32_t token;                      /* -1 = no entry */
    int32_t rank;                       /* 1 = the likeliest; 0 = no entry */
    float   logprob;
} llm_logprob_t;

/* One completion's news.  Borrowed until the next step, batch or destroy on the engine,
 * or until the batch that holds it is destroyed; use the pointer, do not copy the
 * struct.  Times run from add_request. */
typedef struct llm_output {             /* made by the library */
    uint32_t             struct_size;
    uint32_t             index;             /* which of the n completions */
    llm_request_id_t     id;
    void                *user_data;
    int32_t              finish_reason;     /* LLM_FINISH_* */
    uint32_t             last;              /* 1 = nothing more comes for this id, so user_data is
                                             * yours again */
    const char          *text;              /* whole UTF-8 characters; "" if none */
    size_t               text_len;
    const int32_t       *tokens;
    size_t               n_tokens;
    const llm_logprob_t *logprobs;          /* [n_tokens][n_logprobs], sampled one first; or NULL */
    const llm_logprob_t *prompt_logprobs;   /* [prompt_tokens][n_prompt_logprobs], row 0 empty; in a
                                             * completion's first record, else NULL */
    uint32_t             n_logprobs;
    uint32_t             n_prompt_logprobs;
    double               cumulative_logprob;/* of all tokens so far; 0 without logprobs */
    const char          *prompt;            /* LLM_REQUEST_ECHO: in the first record; else NULL */
    size_t               prompt_len;
    const int32_t       *prompt_ids;        /* [prompt_tokens]; likewise */
    const char          *stop_string;       /* the one that was hit, or NULL */
    const llm_error_t   *error;             /* LLM_FINISH_ERROR: why; else NULL */
    int32_t              stop_token;        /* the stop_token_ids entry that was hit, or -1 */
    uint32_t             prompt_tokens;     /* totals so far */
    uint32_t             cached_tokens;     /* of these, found in the prefix cache */
    uint32_t             completion_tokens;
    uint32_t             preemptions;
    uint32_t             reserved0;         /* 0 */
    int64_t              arrived_us;        /* wall clock, since 1970 */
    uint64_t             queue_us;          /* until first scheduled; 0 = not yet */
    uint64_t             first_token_us;    /* until the first token; 0 = not yet */
    uint64_t             elapsed_us;        /* until this record's newest token */
    /* since 0.2: what the completion has cost so far */
    uint64_t             itl_sum_us;        /* times between its tokens: their sum, */
    uint64_t             itl_max_us;        /* and the longest */
    uint64_t             kv_block_steps;    /* KV blocks held, summed over steps */
    uint64_t             device_us;         /* of the steps it ran in, its share by tokens */
    uint64_t             first_token_step;  /* counted as llm_stats_t.steps; 0 = no token yet */
    uint64_t             last_token_step;
} llm_output_t;

/* Runs one scheduling step.  Blocks for at most one forward pass of at most
 * max_num_batched_tokens; with nothing to run it returns within 1 ms.  A request's
 * trouble shows in its output; an error here is the engine's, except LLM_ERR_STATE:
 * every request has its last output (LLM_FINISH_ERROR), so drain, then destroy. */
LLM_API llm_status_t        llm_engine_step(llm_engine_t *engine, llm_error_t *err);
/* The next record, or NULL.  A completion has at most one at a time: what is not drained
 * before the next step is merged into what that step adds, never lost. */
LLM_API const llm_output_t *llm_engine_next_output(llm_engine_t *engine);
/* Sleeps until step has something to do or to report, or someone notifies it; or gives
 * LLM_ERR_TIMEOUT after timeout_us (-1 = never).  Uses no CPU. */
LLM_API llm_status_t        llm_engine_wait(llm_engine_t *engine, int64_t timeout_us);
/* Ends the current llm_engine_wait(), or else the next one. [any], and in signal handlers */
LLM_API void                llm_engine_notify(llm_engine_t *engine);

/* ---- Batch --------------------------------------------------------------- */

typedef struct llm_batch llm_batch_t;

/* Runs n requests to the end, whatever the queue limit; output_kind is taken as
 * LLM_OUTPUT_FINAL.  A request that is refused or fails has an output with
 * LLM_FINISH_ERROR and does not disturb the others.  On LLM_ERR_CANCELLED (progress
 * said stop) and LLM_ERR_DEVICE *batch is valid as well: what had finished, the rest
 * LLM_FINISH_ABORT or LLM_FINISH_ERROR with what they had.  Requests of others run
 * along; their records wait.  The batch may outlive the engine, not its allocator. */
LLM_API llm_status_t llm_generate_batch(llm_engine_t *engine,
                                        const llm_request_t *const *requests, size_t n,
                                        llm_progress_fn progress, void *progress_user,
                                        llm_batch_t **batch, llm_error_t *err);
/* Completion index of requests[request], NULL past the last; index 0 is always there.
 * Lives as long as the batch. [any] */
LLM_API const llm_output_t *llm_batch_output(const llm_batch_t *batch, size_t request,
                                             size_t index);
LLM_API void                llm_batch_destroy(llm_batch_t *batch);

/* ---- Beam search: since 0.2 ---------------------------------------------- */

enum {
    LLM_BEAM_IGNORE_EOS = 1,            /* EOS ends no beam */
    LLM_BEAM_KEEP_STOP  = 2,            /* leave a closing EOS in the text */
    LLM_BEAM_NO_PENALTY = 4             /* length_penalty is 0: a score is the plain sum */
};

/* vLLM's BeamSearchParams. */
typedef struct llm_beam_params {
    uint32_t struct_size;
    uint32_t flags;                     /* LLM_BEAM_* */
    uint32_t beam_width;                /* [1, 1024]; required */
    uint32_t max_tokens;                /* required; UINT32_MAX = until the context is full */
    float    temperature;               /* [0, 2]; counts where logprobs-mode is processed */
    float    length_penalty;            /* 0 = 1; see below */
} llm_beam_params_t;

/* Of each request the prompt counts, cache_salt, priority, user_data, timeouts, and of its
 * options those about the prompt; sampling must be NULL.  A beam's score is
 * cumulative_logprob / n ^ length_penalty, n = tokens of prompt and completion, a closing EOS
 * not counted (vLLM).  In each step the 2 * beam_width likeliest tokens of every beam compete
 * (max-logprobs must allow as many); beams that end with EOS are set aside; the best beam_width
 * of all are the completions, best first.  They end with LLM_FINISH_STOP after EOS, which is
 * their last token, else with LLM_FINISH_LENGTH; a search that is aborted or out of time gives
 * its best beams so far.  logprobs has the token itself, then those that competed with it; the
 * text shows special tokens; costs are those of the search and stand in its first completion.
 * The rest is as in llm_generate_batch(): a bad request is its own output.  Beams share the KV
 * of what they have in common; a search takes 2 * beam_width places of max-num-queued-reqs. */
LLM_API llm_status_t llm_beam_search(llm_engine_t *engine, const llm_request_t *const *requests,
                                     size_t n, const llm_beam_params_t *params,
                                     llm_progress_fn progress, void *progress_user,
                                     llm_batch_t **batch, llm_error_t *err);

/* ---- Care ---------------------------------------------------------------- */

typedef struct llm_stats {
    uint32_t struct_size;           /* set by you; only that much is filled */
    uint32_t requests_running;
    uint32_t requests_waiting;
    uint32_t kv_blocks_total;
    uint32_t kv_blocks_used;        /* held by requests */
    uint32_t dead;                  /* 1 = step has failed for good */
    uint64_t step_age_us;           /* since the step now running began; 0 = none runs */
    uint64_t host_bytes;            /* held now */
    uint64_t device_bytes;
    uint64_t steps;                 /* from here on: totals since create */
    uint64_t requests_finished;
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    uint64_t preemptions;
    uint32_t paused;                /* 0.2 1 = between llm_engine_pause() and resume */
    uint32_t reserved0;             /* 0 */
} llm_stats_t;

/* Waits for nothing, so a watchdog may ask while a step hangs. [any] */
LLM_API llm_status_t llm_engine_stats(const llm_engine_t *engine, llm_stats_t *stats);
/* All metrics, under vLLM's names, as Prometheus text; cap and n as in
 * llm_tokenizer_decode(), and the size may have grown by the second call. [any] */
LLM_API llm_status_t llm_engine_metrics(const llm_engine_t *engine, char *text, size_t cap,
                                        size_t *n);
/* Forgets every cached prefix that no running request uses; LLM_ERR_BUSY if some were
 * in use and stay. */
LLM_API llm_status_t llm_engine_reset_prefix_cache(llm_engine_t *engine);

/* What happens to the requests that are in the engine. */
enum {
    LLM_PAUSE_ABORT = 0,            /* they end with LLM_FINISH_ABORT */
    LLM_PAUSE_WAIT  = 1,            /* they run to their end */
    LLM_PAUSE_KEEP  = 2,            /* they stand still, with their KV, until resume */
    LLM_PAUSE_DRAIN = 3             /* as WAIT, and new ones are refused with LLM_ERR_STATE */
};

/* Since 0.2.  From the next step on nothing new is started; requests added meanwhile wait,
 * deadlines run on.  Paused is reached when llm_stats_t.requests_running is 0, which counts
 * until their end all that were there before, or at once with KEEP.  A second pause changes the
 * mode for the same requests; resume of what is not paused does nothing.  A batch or beam search
 * that runs is one piece of work that was there before; none begins while paused
 * (LLM_ERR_STATE). [any] */
LLM_API llm_status_t llm_engine_pause(llm_engine_t *engine, int32_t mode, llm_error_t *err);
LLM_API llm_status_t llm_engine_resume(llm_engine_t *engine, llm_error_t *err);

/* ---- Tool calls and reasoning: since 0.2 ---------------------------------- */

/* A parser reads the text of one completion and tells content, reasoning and calls apart, as
 * vLLM's parsers of the same names do; how the text is cut into pieces does not matter.
 * Generate with LLM_SAMPLE_KEEP_SPECIAL, so that markers that are special tokens are there. */
typedef struct llm_parser llm_parser_t;

enum {
    LLM_PARSER_WHOLE = 1            /* no events before the end; then arguments are spaced as
                                     * json.dumps() does, and if any call is cut short or no JSON
                                     * all that is not reasoning is content, as it was written */
};

/* Kinds for llm_parser_name(). */
enum { LLM_PARSER_TOOLS = 1, LLM_PARSER_REASONING = 2 };

typedef struct llm_parser_config {
    uint32_t       struct_size;
    uint32_t       flags;               /* LLM_PARSER_* */
    const char    *tool_parser;         /* "hermes", ...; "auto" = by the chat template, which may
                                         * find none; NULL = calls are content */
    const char    *reasoning_parser;    /* "deepseek_r1", ...; "auto"; NULL = it is content */
    const char    *chat;                /* JSON that the prompt was made from: its tools type the
                                         * arguments, and without tools or with tool_choice "none"
                                         * calls are content; NULL = unknown */
    size_t         chat_len;            /* bytes, or LLM_CSTR */
    const char    *prompt;              /* the prompt or its end: says whether reasoning is open; */
    size_t         prompt_len;          /* bytes, or LLM_CSTR */
    const int32_t *prompt_ids;          /* or as tokens, with prompt NULL; both NULL = as vLLM's */
    size_t         n_prompt_ids;        /* parser of that name starts */
    uint64_t       seed;                /* of the ids of calls: equal seeds, equal ids */
} llm_parser_config_t;

enum {
    LLM_EVENT_CONTENT    = 1,           /* text */
    LLM_EVENT_REASONING  = 2,           /* text */
    LLM_EVENT_TOOL_START = 3,           /* text is the function's name; id */
    LLM_EVENT_ARGUMENTS  = 4,           /* text; together with the call's others JSON, as written
                                         * by the model where its syntax is JSON */
    LLM_EVENT_TOOL_END   = 5
};

typedef struct llm_event {              /* made by the library */
    uint32_t    struct_size;
    int32_t     kind;                   /* LLM_EVENT_* */
    uint32_t    index;                  /* which call; 0 for content and reasoning */
    uint32_t    reserved0;              /* 0 */
    const char *text;                   /* whole UTF-8 characters; "" if none */
    size_t      text_len;
    const char *id;                     /* "chatcmpl-tool-...", the dialect's own, or NULL */
} llm_event_t;

/* The index'th name of LLM_PARSER_TOOLS or LLM_PARSER_REASONING, static; NULL past the last.
 * [any] */
LLM_API const char        *llm_parser_name(int32_t kind, size_t index);
/* The tokenizer must outlive the parser; its allocator is used.  One thread at a time may use a
 * parser.  An unknown name is LLM_ERR_INVALID, one of vLLM's that is not built
 * LLM_ERR_UNSUPPORTED. [any] */
LLM_API llm_status_t       llm_parser_create(const llm_tokenizer_t *tokenizer,
                                             const llm_parser_config_t *config,
                                             llm_parser_t **parser, llm_error_t *err);
/* What is new: text and the tokens that it came from, which may be ahead of it, or none in all
 * calls.  Any bytes are taken, also half a character; what is not UTF-8 becomes U+FFFD.  last: the
 * completion ends here; then nothing is held back, and a further call gives LLM_ERR_STATE. */
LLM_API llm_status_t       llm_parser_feed(llm_parser_t *parser, const char *text, size_t len,
                                           const int32_t *tokens, size_t n_tokens, uint32_t last,
                                           llm_error_t *err);
/* The next event, or NULL.  Borrowed until the next event or feed; what is not drained before a
 * feed comes first after it. */
LLM_API const llm_event_t *llm_parser_next(llm_parser_t *parser);
LLM_API void               llm_parser_destroy(llm_parser_t *parser);

#ifdef __cplusplus
}
#endif
#endif /* LLM_H */
