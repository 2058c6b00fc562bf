/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step - the two flat structs between scheduler and runner, and all that passes between them.
 *
 * A plan is one contiguous buffer: a header, then sections of plain structs found by offset.
 * It holds no pointer, so the same bytes can be executed here, sent to another rank, put into
 * shared memory, or logged and replayed.  A packed plan is one whose sections have no spare room.
 *
 * Promises of the scheduler:
 *   P1  Plans are numbered 1, 2, 3 ...; a runner executes them in order, on every device and stage.
 *       So a row, block or encoder entry freed by plan t may be used again by plan t itself:
 *       whatever plan t-1 still does with it happens before.  Only transfers run out of order, and
 *       what a transfer touches stays allocated until its completion was reported.
 *   P2  Within a plan the order is: freed, enc_free, copies, loras, xfers that load, added, tables,
 *       encs, forward (all KV writes of a layer before its reads), sample, xfers that save.
 *   P3  Every run row has n >= 1, sum n == n_tokens <= the budget, and room in its block tables.
 *   P4  All of a section fits: what running rows need is reserved by lls_plan_size(), and admission
 *       of new rows stops when a section is full.
 *   P5  At most limits.max_plps positions of a step belong to runs with LLS_RUN_PROMPT_LOGPROBS.
 * Promises of the runner:
 *   Q1  Results come in plan order, one per plan, and result row i answers plan run i.
 *   Q2  A run with LLS_RUN_SAMPLE returns 1 .. n_draft + 1 tokens, without it none.
 *   Q3  Rows keep their state (last token, drafts, counts, tables, position) until freed.
 */
#ifndef LLS_STEP_STEP_H
#define LLS_STEP_STEP_H

#include "base/status.h"
#include "step/kv_kind.h"

#define LLS_MAX_DRAFTS 15
#define LLS_ON_DEVICE  (-1)         /* a token only the runner knows: last sampled, or drafted */

typedef struct lls_span {           /* elements [off, off + n) of the section the comment names */
    uint32_t off, n;
} lls_span_t;

/* ---- The plan ------------------------------------------------------------------------------- */

enum {                              /* lls_new_row_t.flags */
    LLS_ROW_HISTORY  = 1u << 0,     /* words hold all known tokens: penalties, n-gram drafts, ... */
    LLS_ROW_GRAMMAR  = 1u << 1,     /* each logits row takes the mask row of the same number */
    LLS_ROW_LOGPROBS = 1u << 2,     /* how many is in params */
    LLS_ROW_PROMPT_LOGPROBS = 1u << 3,
    LLS_ROW_POOL     = 1u << 4,     /* pooled vector instead of tokens */
    LLS_ROW_PROCESSOR = 1u << 5     /* logits go through the host callback named in params */
};

/* A row begins: a request was admitted, or comes back after a preemption (the runner need not
 * know). */
typedef struct lls_new_row {
    uint64_t   request;             /* label for logs, connectors and callbacks */
    uint32_t   row;
    uint32_t   flags;
    uint32_t   n_computed;          /* tokens already in the cache; the row's first position */
    uint32_t   n_known;             /* prompt and outputs so far */
    uint32_t   n_prompt;
    uint32_t   lora;                /* slot, or LLS_NONE */
    lls_span_t history;             /* words: n_known tokens, or empty */
    lls_span_t params;              /* words: what lib/sample or the pooler packed; opaque here */
    uint32_t   positions;           /* blob of M-RoPE positions and delta, or LLS_NONE */
    uint32_t   embeds;              /* blob of prompt embeddings, or LLS_NONE */
} lls_new_row_t;

enum {                              /* lls_run_row_t.flags */
    LLS_RUN_SAMPLE = 1u << 0,       /* reaches the end of what is known: logits, sample, draft */
    LLS_RUN_POOL   = 1u << 1,       /* last chunk of a pooling request */
    LLS_RUN_TREE   = 1u << 2,       /* drafts form a tree; aux: n_draft parent indices in words */
    LLS_RUN_MASKED = 1u << 3,       /* the host has a say first: grammar, logits processor */
    LLS_RUN_PROMPT_LOGPROBS = 1u << 4
};

/* A row runs n tokens: tokens[tok .. tok + n) at positions pos .. pos + n - 1.  With slack > 0
 * drafts of this row are still unjudged in flight, and the runner's own position counts; it is in
 * [pos - slack, pos], and blocks are there for the far end. */
typedef struct lls_run_row {
    uint32_t row;
    uint32_t pos;
    uint32_t n;
    uint32_t tok;
    uint32_t logit;                 /* first of its 1 + n_draft logits rows, if it samples */
    uint16_t n_draft;               /* the last n_draft of the n tokens are drafts */
    uint16_t slack;
    uint16_t flags;
    uint16_t zero;
    int32_t  next;                  /* token at pos + n if known, else -1: for prompt logprobs */
    uint32_t aux;
} lls_run_row_t;

/* Block ids blocks[off .. off + n) become entries first .. first + n - 1 of the row's table. */
typedef struct lls_table_add {
    uint32_t row;
    uint32_t group;
    uint32_t first;
    lls_span_t ids;                 /* blocks */
} lls_table_add_t;

typedef struct lls_block_copy {     /* copy on write: whole blocks, all layers of the group */
    uint32_t group, src, dst;
} lls_block_copy_t;

#define LLS_MAX_COPIES 1024u        /* in a plan */

typedef struct lls_lora_load {      /* slot takes the adapter's weights before the forward pass */
    uint32_t slot, adapter;
} lls_lora_load_t;

typedef struct lls_enc_run {        /* encode the blob (pixels, audio, text) into an entry */
    uint32_t entry, blob, len;
} lls_enc_run_t;

typedef struct lls_splice {         /* embeddings entry[off .. off + n) replace tokens[tok ..] */
    uint32_t tok, entry, off, n;
} lls_splice_t;

enum { LLS_XFER_LOAD = 1, LLS_XFER_SAVE = 2 };

/* A job for a connector or a tier.  Blocks hold tokens [first, first + n_tokens) of one group. */
typedef struct lls_xfer {
    uint64_t   request;
    uint32_t   job;                 /* comes back in lls_xfer_done_t */
    uint16_t   op, group;
    uint32_t   first, n_tokens;
    lls_span_t ids;                 /* blocks */
    lls_span_t keys;                /* words: block hashes, 4 each, or what the connector packed */
} lls_xfer_t;

/* ORDER plan sections: name and element type, in the order of execution. */
#define LLS_PLAN_SECTIONS(X)                                                    \
    X(freed,    uint32_t)           /* rows that end, applied first */          \
    X(enc_free, uint32_t)           /* encoder entries dropped */               \
    X(copies,   lls_block_copy_t)                                               \
    X(loras,    lls_lora_load_t)                                                \
    X(xfers,    lls_xfer_t)                                                     \
    X(added,    lls_new_row_t)                                                  \
    X(tables,   lls_table_add_t)                                                \
    X(encs,     lls_enc_run_t)                                                  \
    X(splices,  lls_splice_t)                                                   \
    X(runs,     lls_run_row_t)                                                  \
    X(tokens,   int32_t)                                                        \
    X(blocks,   uint32_t)                                                       \
    X(words,    uint32_t)           /* variable-length odds and ends */

typedef struct lls_section {        /* in bytes from the start of the struct, and elements */
    uint32_t off, n, cap, size;
} lls_section_t;

enum {
#define LLS_SEC_ENUM(name, type) LLS_PLAN_##name,
    LLS_PLAN_SECTIONS(LLS_SEC_ENUM)
#undef LLS_SEC_ENUM
    LLS_PLAN_N_SECTIONS
};

enum {                              /* lls_step_plan_t.flags */
    LLS_PLAN_DUMMY        = 1u << 0,    /* no rows: an idle DP rank runs n_padded tokens */
    LLS_PLAN_MASK_PENDING = 1u << 1     /* a masked row waits for tokens still in flight: earlier
                                           results must be applied before the mask can be filled */
};

typedef struct lls_step_plan {
    uint64_t step;
    uint32_t bytes;                 /* of the whole buffer */
    uint32_t flags;
    uint32_t n_tokens;              /* sum of n over runs */
    uint32_t n_logits;              /* sum of 1 + n_draft over runs that sample */
    uint32_t max_n;                 /* longest run: 1 = uniform decode */
    uint32_t n_padded;              /* set between schedule and execute: graph size, DP maximum */
    uint32_t wave;                  /* DP with experts: which busy period */
    uint32_t seq_digest;            /* of the scheduler's state: replicated ranks compare it */
    uint32_t common[LLS_MAX_GROUPS];    /* leading blocks that all runs share (cascade) */
    lls_section_t sec[LLS_PLAN_N_SECTIONS];
} lls_step_plan_t;

/* ---- The result ----------------------------------------------------------------------------- */

enum { LLS_ROW_OK = 0, LLS_ROW_NAN = 1, LLS_ROW_FAILED = 2 };

typedef struct lls_row_result {
    lls_span_t tokens;              /* tokens: sampled; draft acceptance is their number - 1 */
    lls_span_t drafts;              /* tokens: proposed for the next step, if the host may know */
    lls_span_t logprobs;            /* logprobs: tokens.n groups of equal length */
    lls_span_t pooled;              /* floats; empty for a request that only fills the cache */
    uint32_t   status;              /* LLS_ROW_*: this request fails, the others do not */
    uint32_t   zero;
} lls_row_result_t;

typedef struct lls_logprob {
    int32_t token, rank;
    float   logprob;
} lls_logprob_t;

typedef struct lls_prompt_logprob { /* for position pos of run i; sent again after a preemption */
    uint32_t   run, pos;
    lls_span_t logprobs;
} lls_prompt_logprob_t;

typedef struct lls_xfer_done {
    uint32_t job;
    uint32_t good_end;              /* tokens before it are good; less than asked = failed there */
} lls_xfer_done_t;

/* ORDER result sections */
#define LLS_RESULT_SECTIONS(X)                                                  \
    X(rows,     lls_row_result_t)                                               \
    X(done,     lls_xfer_done_t)                                                \
    X(plps,     lls_prompt_logprob_t)                                           \
    X(tokens,   int32_t)                                                        \
    X(logprobs, lls_logprob_t)                                                  \
    X(floats,   float)

enum {
#define LLS_SEC_ENUM(name, type) LLS_RESULT_##name,
    LLS_RESULT_SECTIONS(LLS_SEC_ENUM)
#undef LLS_SEC_ENUM
    LLS_RESULT_N_SECTIONS
};

typedef struct lls_step_result {
    uint64_t step;                  /* of the plan answered; 0 = only finished transfers */
    uint32_t bytes;
    int32_t  status;                /* LLM_OK, or the engine is dead */
    uint64_t device_ns;             /* for cost and metrics; never read by the scheduler */
    lls_section_t sec[LLS_RESULT_N_SECTIONS];
} lls_step_result_t;

/* ---- The mask: the third flat thing, filled between execute and sample ----------------------- */

typedef struct lls_step_mask {      /* n_rows x n_words bits follow; a row is a logits row */
    uint64_t step;
    uint32_t n_rows, n_words;
} lls_step_mask_t;

static inline uint32_t *lls_mask_row(lls_step_mask_t *m, uint32_t row)
{
    return (uint32_t *)(m + 1) + (size_t)row * m->n_words;
}

/* ---- Buffers -------------------------------------------------------------------------------- */

typedef struct lls_step_limits {
    uint32_t max_rows, max_tokens, max_drafts, n_groups;
    uint32_t max_seq_blocks;        /* of one sequence in the group with the smallest blocks */
    uint32_t max_seq_tokens;        /* max_model_len */
    uint32_t max_xfers, max_encs, max_params;
    uint32_t max_logprobs;          /* elements for one token */
    uint32_t max_plp_logprobs;      /* elements for one position of a prompt */
    uint32_t max_plps;              /* positions with prompt logprobs in one step */
    uint32_t max_floats;
} lls_step_limits_t;

/* Bytes for a plan or result that can hold any step, or 0 if offsets would not fit 32 bits; init
 * lays the sections out in buf, which is aligned as malloc would. */
size_t             lls_plan_size(const lls_step_limits_t *lim);
lls_step_plan_t   *lls_plan_init(void *buf, const lls_step_limits_t *lim);
void               lls_plan_reset(lls_step_plan_t *plan, uint64_t step);
size_t             lls_result_size(const lls_step_limits_t *lim);
lls_step_result_t *lls_result_init(void *buf, const lls_step_limits_t *lim);
void               lls_result_reset(lls_step_result_t *result, uint64_t step);

/* Writes the used parts, itself a plan or result; returns the bytes, or 0 if cap is too small. */
size_t lls_plan_pack(const lls_step_plan_t *plan, void *dst, size_t cap);
size_t lls_result_pack(const lls_step_result_t *result, void *dst, size_t cap);
/* For `bytes` bytes from outside, aligned as malloc would: every section, span and index into a
 * section is inside its bounds, and the sums agree.  Row, block, slot and entry numbers are for
 * their owner to compare with what he has. */
bool   lls_plan_is_sound(const lls_step_plan_t *plan, size_t bytes);
bool   lls_result_is_sound(const lls_step_result_t *result, size_t bytes);

static inline bool lls_sec_has_room(const lls_section_t *sec, uint32_t n)
{
    return sec->cap - sec->n >= n;
}

static inline void *lls_sec_push(void *base, lls_section_t *sec, uint32_t n)
{
    void *p = (char *)base + sec->off + (size_t)sec->n * sec->size;

    lls_assert(lls_sec_has_room(sec, n));
    sec->n += n;
    return p;
}

/* lls_plan_runs(plan) is the array, lls_plan_n_runs(plan) its length, lls_plan_push_runs(plan, n)
 * the place of n more; likewise for every section of plan and result. */
#define LLS_PLAN_ACCESS(name, type)                                                              \
    static inline type *lls_plan_##name(const lls_step_plan_t *p)                                \
    { return (type *)((char *)(uintptr_t)p + p->sec[LLS_PLAN_##name].off); }                     \
    static inline uint32_t lls_plan_n_##name(const lls_step_plan_t *p)                           \
    { return p->sec[LLS_PLAN_##name].n; }                                                        \
    static inline type *lls_plan_push_##name(lls_step_plan_t *p, uint32_t n)                     \
    { return lls_sec_push(p, &p->sec[LLS_PLAN_##name], n); }
LLS_PLAN_SECTIONS(LLS_PLAN_ACCESS)
#undef LLS_PLAN_ACCESS

#define LLS_RESULT_ACCESS(name, type)                                                            \
    static inline type *lls_result_##name(const lls_step_result_t *p)                            \
    { return (type *)((char *)(uintptr_t)p + p->sec[LLS_RESULT_##name].off); }                   \
    static inline uint32_t lls_result_n_##name(const lls_step_result_t *p)                       \
    { return p->sec[LLS_RESULT_##name].n; }                                                      \
    static inline type *lls_result_push_##name(lls_step_result_t *p, uint32_t n)                 \
    { return lls_sec_push(p, &p->sec[LLS_RESULT_##name], n); }
LLS_RESULT_SECTIONS(LLS_RESULT_ACCESS)
#undef LLS_RESULT_ACCESS

#endif
