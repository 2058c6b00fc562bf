/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - what a backend can do: one struct of function pointers, and what forward() runs on.
 *
 * forward() calls ops in program order on one stream.  An op takes tensors and a few scalars,
 * launches or computes, and returns nothing: the first failure sticks in exec->status and turns the
 * rest into no-ops, so forward() reads like the model and is checked once.  An op never allocates
 * and never depends on a size that only the device knows: sizes are upper bounds known to the host.
 *
 * Planning.  exec->planning runs the same forward() with the same table: lls_tmp() hands out
 * offsets and records the peak, each op only reports the scratch it will want and touches no data.
 * The peaks are the exact size of the arena; running a larger batch than planned is an assertion.
 *
 * Batch invariance.  With exec->invariant (always on the CPU) the result of a token depends on its
 * own inputs, its own cache and the weights only: one fixed order of accumulation per output
 * element for every number of rows and threads, attention in fixed absolute tiles of the key axis,
 * K and V always read back from the cache, expert sums in order of expert slot.
 *
 * Fusion.  The ops in LLS_OPS are complete: a backend with only these runs every model.  An op in
 * LLS_FUSED_OPS may be NULL; forward() asks through lls_do_*(), which falls back to the plain ops.
 * On one backend the fused form gives the same bits as the plain one.
 *
 * Weights are opaque: a backend says how many bytes a matrix takes and packs it from its checkpoint
 * parts once.  Quantisation is a property of the matrix, never of the model code.
 */
#ifndef LLS_TENSOR_OPS_H
#define LLS_TENSOR_OPS_H

#include <stdatomic.h>

#include "base/pool.h"
#include "step/kv_kind.h"
#include "tensor/tensor.h"

/* A packed matrix [out, in] or a stack of experts; lies in memory given to pack(). */
typedef struct lls_wmat lls_wmat_t;

/* How a checkpoint stores one part of a matrix: `out` rows of `in` values. */
typedef struct lls_wpart {
    uint32_t        scheme;         /* enum lls_scheme */
    uint32_t        out, in;
    const void     *data;           /* [out] rows of lls_scheme_row_bytes(scheme, in), unaligned */
    const uint32_t *row_of;         /* [out]: row i is row row_of[i] of data; NULL = in order */
    bool            transposed;     /* plain schemes only: data is [in, out] (GPT-2's Conv1D) */
} lls_wpart_t;

enum lls_use {                      /* what pack() may arrange for */
    LLS_USE_LINEAR,
    LLS_USE_EMBED                   /* rows are looked up by `embed`; it may be a head too */
};

/* Parts stacked along `out` into one matrix (q, k, v; gate, up).  With n_experts > 0 there are
 * n_experts * n_parts parts, expert by expert, each expert a matrix of its own.  dtype is how plain
 * parts are kept: LLS_F32, LLS_F16 or LLS_BF16; LLS_F32 also dequantises block formats, else these
 * stay as exact as the file has them.  quant, unless it is NONE, makes plain parts blocks first. */
typedef struct lls_wspec {
    const lls_wpart_t *parts;
    uint32_t           n_parts, n_experts;
    uint32_t           use, dtype;
    uint32_t           quant;       /* enum lls_quant of tensor/quantise.h */
    /* n bytes of a part's data that pack() has read, from any thread; NULL = nobody cares */
    void             (*release)(const void *data, size_t n);
} lls_wspec_t;

/* The rows of a step as the kernels see them.  Arrays lie on the backend.  Built by build_inputs
 * from the plan and the runner's rows; while planning only the numbers are set, to their upper
 * bounds. */
typedef struct lls_batch {
    uint32_t  n_tokens, n_rows, n_logits;
    uint32_t  max_n;                /* tokens of the longest run */
    uint32_t  max_context;          /* of the longest row, new tokens included */
    uint32_t  n_groups;
    uint32_t  max_blocks[LLS_MAX_GROUPS];   /* row stride of table[g] */
    int32_t  *ids;                  /* [n_tokens] */
    int32_t  *positions;            /* [n_tokens] */
    uint32_t *row_of;               /* [n_tokens]: batch row, 0 .. n_rows - 1 */
    uint32_t *row_start;            /* [n_rows + 1]: tokens of batch row i */
    uint32_t *context;              /* [n_rows]: tokens visible at the end of the run */
    uint32_t *row;                  /* [n_rows]: the runner's row, index into table[g] */
    uint32_t *table[LLS_MAX_GROUPS];     /* [max_rows][max_blocks[g]]: ids, 0 = behind the window */
    uint32_t *logit_token;          /* [n_logits]: token whose hidden state makes this row */
    uint32_t *logit_row;            /* [n_logits]: the runner's row it belongs to */
} lls_batch_t;

typedef struct lls_ops lls_ops_t;

typedef struct lls_exec {
    const lls_ops_t *ops;
    void            *backend;       /* stream, handles, thread pool */
    uint8_t         *arena;         /* activations: [0, cap); scratch of one op behind it */
    size_t           cap, used, peak;
    size_t           scratch_cap, scratch_peak;
    llm_status_t     status;        /* first failure */
    bool             planning, invariant;
    const _Atomic uint32_t *cancel; /* non-zero: forward() ends with LLM_ERR_CANCELLED; or NULL */
} lls_exec_t;

/* Activations are a stack: remember exec->used, allocate, set it back. */
lls_tensor_t lls_tmp(lls_exec_t *x, uint32_t dtype, uint32_t rows, uint32_t cols);
/* Columns [first, first + n) of a matrix. */
lls_tensor_t lls_columns(const lls_tensor_t *t, uint32_t first, uint32_t n);
/* Scratch of the op that calls; NULL while planning, when it only notes the size.  Valid until the
 * op returns; 64-byte aligned. */
void *lls_scratch(lls_exec_t *x, size_t bytes);
/* The first failure sticks. */
void lls_exec_fail(lls_exec_t *x, llm_status_t status);

/* ---- Arguments ------------------------------------------------------------------------------- */

/* T = [n_tokens, width] in float32 unless said otherwise; in-place means out == in. */

typedef const lls_tensor_t *lls_in_t;
typedef lls_tensor_t       *lls_out_t;

enum lls_norm_kind { LLS_NORM_RMS, LLS_NORM_LAYER };
enum lls_act_kind { LLS_ACT_NONE, LLS_ACT_SILU, LLS_ACT_GELU, LLS_ACT_GELU_TANH, LLS_ACT_RELU };

/* RMS: y = x / sqrt(mean(x^2) + eps) * weight;
 * LAYER: y = (x - mean) / sqrt(var + eps) * weight + bias. */
typedef struct lls_norm {
    uint32_t     kind, width;
    float        eps;
    const float *weight, *bias;     /* [width]; bias may be NULL.  Gemma's 1 + w is made at load */
} lls_norm_t;

/* y = x W^T (+ bias), added onto y with accumulate. */
typedef struct lls_linear {
    const lls_wmat_t *w;
    const float      *bias;         /* [out] or NULL */
    uint32_t          in, out;      /* of one expert */
    bool              accumulate;
} lls_linear_t;

/* y = (act(gate) * up) W^T of down, [gate | up] = x W^T of gate_up. */
typedef struct lls_glu {
    const lls_linear_t *gate_up, *down;
    uint32_t            act;        /* enum lls_act_kind */
} lls_glu_t;

/* Angle of pair i at position p: p * inv_freq[i]; scaling of every kind is folded in at load. */
typedef struct lls_rope_table {
    const float *inv_freq;          /* [rot_dim / 2] */
    uint32_t     rot_dim;
    float        factor;            /* onto cos and sin: that of yarn and longrope, else 1 */
} lls_rope_table_t;

/* Heads of a fused qkv row: n_q, then n_k, (then n_k of v, untouched).  Halves are rotated together
 * (NeoX), or neighbours if interleaved; dimensions from rot_dim on pass through. */
typedef struct lls_rope {
    uint32_t          n_q, n_k, head_dim;
    bool              interleaved;
    const lls_norm_t *q_norm, *k_norm;  /* per head, before the rotation; or NULL */
} lls_rope_t;

/* One layer's pages of a group: block b lies at base + b * block_bytes.  What is inside is the
 * backend's own; page_bytes() says how much.  Reused blocks may hold anything, NaNs included. */
typedef struct lls_pages {
    uint8_t *base;
    uint64_t block_bytes;
    uint32_t dtype;                 /* LLS_F32, LLS_F16, LLS_BF16; LLS_I8 with scales */
    uint32_t block_tokens, n_heads, head_dim;
} lls_pages_t;

/* A bias by distance (ALiBi) would be a slope for each query head here, added to the scores after
 * the soft cap by slope * (key position - query position): positions are absolute in every tile, so
 * the bits would stay the same for any cut. */
typedef struct lls_attend {
    uint32_t group, n_q, n_kv, head_dim;
    uint32_t kind, window;          /* enum lls_kv_kind: the mask rule of kv_kind.h */
    float    scale, softcap;        /* s *= scale, then softcap * tanh(s / softcap) unless 0 */
} lls_attend_t;

/* softmax over all experts, the top_k largest (ties: the lower index), renormalised to 1 on
 * demand. */
typedef struct lls_route {
    uint32_t n_experts, top_k;
    bool     renorm;
} lls_route_t;

struct lls_rows;                    /* rows.h: what the runner keeps for each row */
struct lls_step_plan;
struct lls_sample_rows;             /* lib/sample: parameters and histories of the logits rows */
struct lls_logprob_job;             /* lib/sample */

/* ORDER ops: name, arguments. */
#define LLS_OPS(X)                                                                                 \
    /* rows and inputs */                                                                          \
    X(build_inputs, (lls_exec_t *, const struct lls_step_plan *, struct lls_rows *,                \
                     lls_batch_t *))                                                               \
    X(copy_blocks,  (lls_exec_t *, uint8_t *base, uint64_t block_bytes, uint32_t src,              \
                     uint32_t dst))                                                                \
    /* ends of the model */                                                                        \
    X(embed,        (lls_exec_t *, lls_out_t, const lls_batch_t *, const lls_wmat_t *,             \
                     float scale))                                                                 \
    /* out += row position + offset */                                                             \
    X(embed_pos,    (lls_exec_t *, lls_out_t, const lls_batch_t *, const lls_wmat_t *,             \
                     uint32_t offset))                                                             \
    X(gather,       (lls_exec_t *, lls_out_t, lls_in_t, const uint32_t *rows, uint32_t n))         \
    /* layers */                                                                                   \
    X(norm,         (lls_exec_t *, lls_out_t, lls_in_t, const lls_norm_t *))                       \
    X(linear,       (lls_exec_t *, lls_out_t, lls_in_t, const lls_linear_t *))                     \
    /* out += scale * in */                                                                        \
    X(add,          (lls_exec_t *, lls_out_t, lls_in_t, float scale))                              \
    /* out *= factor; then softcap * tanh(out / softcap) unless softcap is 0 */                    \
    X(scale,        (lls_exec_t *, lls_out_t, float factor, float softcap))                        \
    /* in place */                                                                                 \
    X(act,          (lls_exec_t *, lls_out_t, uint32_t kind))                                      \
    /* gate_up = [gate | up] -> act(gate) * up */                                                  \
    X(act_mul,      (lls_exec_t *, lls_out_t, lls_in_t gate_up, uint32_t kind))                    \
    /* [n_tokens, rot_dim]: cos of every pair, then sin; once a step for each table */             \
    X(rope_angles,  (lls_exec_t *, lls_out_t, const lls_batch_t *, const lls_rope_table_t *))      \
    /* angles NULL: only the norms */                                                              \
    X(rope,         (lls_exec_t *, lls_out_t qkv, lls_in_t angles, const lls_rope_t *))            \
    X(kv_write,     (lls_exec_t *, lls_in_t qkv, const lls_batch_t *, const lls_pages_t *,         \
                     const lls_attend_t *))                                                        \
    /* q = the first n_q * head_dim columns of qkv */                                              \
    X(attend,       (lls_exec_t *, lls_out_t, lls_in_t qkv, const lls_batch_t *,                   \
                     const lls_pages_t *, const lls_attend_t *))                                   \
    /* ids [n_tokens, top_k] in I32, weights likewise in F32 */                                    \
    X(route,        (lls_exec_t *, lls_out_t ids, lls_out_t weights, lls_in_t scores,              \
                     const lls_route_t *))                                                         \
    /* out [n_tokens * top_k, out]; in has n_tokens rows, each for its top_k experts, or as        \
       many as out */                                                                              \
    X(expert_linear,(lls_exec_t *, lls_out_t, lls_in_t, lls_in_t ids, const lls_linear_t *))       \
    X(expert_sum,   (lls_exec_t *, lls_out_t, lls_in_t, lls_in_t weights))                         \
    /* sampling: T = [n_logits, n_vocab]; which rows, and how, is in the sample rows */            \
    X(penalise,     (lls_exec_t *, lls_out_t, const struct lls_sample_rows *))                     \
    X(truncate,     (lls_exec_t *, lls_out_t, const struct lls_sample_rows *))                     \
    X(draw,         (lls_exec_t *, lls_out_t ids, lls_in_t, const struct lls_sample_rows *))       \
    /* logprobs of n rows of n_vocab logits; each job says where they are, and takes the answer */ \
    X(logprobs,     (lls_exec_t *, uint32_t n_vocab, struct lls_logprob_job *jobs, uint32_t n))

#define LLS_FUSED_OPS(X)                                                                           \
    /* residual += in; y = norm(residual) */                                                       \
    X(add_norm,     (lls_exec_t *, lls_out_t y, lls_out_t residual, lls_in_t, const lls_norm_t *)) \
    /* linear, act_mul, linear; with ids expert_linear, out a row for each pair */                 \
    X(glu,          (lls_exec_t *, lls_out_t, lls_in_t, lls_in_t ids, const lls_glu_t *))          \
    /* linear of logits, and their peaks as sample/sample_kernels.h wants them */                  \
    X(linear_peaks, (lls_exec_t *, lls_out_t, lls_out_t peaks, lls_in_t, const lls_linear_t *))    \
    /* rope, then kv_write */                                                                      \
    X(rope_write,   (lls_exec_t *, lls_out_t qkv, lls_in_t angles, const lls_rope_t *,             \
                     const lls_batch_t *, const lls_pages_t *, const lls_attend_t *))

typedef size_t (*lls_mat_bytes_fn)(const void *user, size_t mat);    /* from any thread */

struct lls_ops {
    const char *name;               /* "cpu-avx512" */
#define LLS_OP_FIELD(name, args) void (*name) args;
    LLS_OPS(LLS_OP_FIELD)
    LLS_FUSED_OPS(LLS_OP_FIELD)
#undef LLS_OP_FIELD
    /* Bytes that pack will write, from shapes and schemes alone; data may be NULL. */
    size_t      (*pack_size)(const lls_wspec_t *spec);
    /* Packs into dst, 64-byte aligned, pack_size() bytes, which then is the matrix wherever it is
     * copied. */
    lls_wmat_t *(*pack)(void *backend, const lls_wspec_t *spec, void *dst);
    /* Before packing: memory of n matrices, one behind the other, is touched first by the threads
     * that will read it, so that it lies near them.  What is in it gets lost. */
    void        (*place)(void *backend, void *at, size_t n, lls_mat_bytes_fn bytes_of,
                         const void *user);
    /* Items 0 .. n - 1 of work on the host, by all threads that the backend has. */
    void        (*run)(void *backend, uint32_t n, lls_pool_fn fn, void *arg);
    uint32_t    layout;             /* of packed matrices: another number, other bytes */
    /* Bytes of one block of one layer: K and V of block_tokens tokens for n_heads heads. */
    size_t      (*page_bytes)(uint32_t dtype, uint32_t block_tokens, uint32_t n_heads,
                              uint32_t head_dim);
};

/* forward() calls ops through these: status and fallbacks in one place. */
#define LLS_OP(x, op, ...) ((x)->status == LLM_OK ? (x)->ops->op((x), __VA_ARGS__) : (void)0)
void lls_do_add_norm(lls_exec_t *x, lls_out_t y, lls_out_t residual, lls_in_t in,
                     const lls_norm_t *n);
void lls_do_glu(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p);
/* The plain ops, for a backend that fuses some shapes only. */
void lls_glu_by_parts(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p);
/* Without the op peaks get no dimensions. */
void lls_do_linear_peaks(lls_exec_t *x, lls_out_t out, lls_out_t peaks, lls_in_t in,
                         const lls_linear_t *p);
void lls_do_rope_write(lls_exec_t *x, lls_out_t qkv, lls_in_t angles, const lls_rope_t *rope,
                       const lls_batch_t *batch, const lls_pages_t *pages, const lls_attend_t *a);

#endif
