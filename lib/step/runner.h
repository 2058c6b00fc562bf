/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner - what executes plans: the fake one, CPU, CUDA, or a proxy of a remote one.
 *
 * execute and sample enqueue and return; wait blocks for the oldest result.  Calls come from one
 * thread in the order execute(1) sample(1) execute(2) sample(2) ...; wait(t) may come any time
 * after sample(t).  So with two plans in flight the engine's turn is
 *
 *     schedule(t+1)  execute(t+1)  wait(t)  update(t)  fill mask(t+1)  sample(t+1)
 *
 * and the host work of update and mask hides behind the forward pass of t+1.  Without masked rows
 * that wait for tokens in flight (LLS_PLAN_MASK_PENDING) sample(t+1) may follow execute(t+1) at
 * once.
 *
 * A remote runner sends the packed plan and mask and receives the packed result; ranks that each
 * run their own scheduler call their own local runner and send only inputs and sampled ids.
 */
#ifndef LLS_STEP_RUNNER_H
#define LLS_STEP_RUNNER_H

#include "step/kv_kind.h"
#include "step/step.h"

typedef struct lls_runner lls_runner_t;

typedef struct lls_runner_caps {
    lls_kv_config_t kv;             /* groups from the model, pools from the memory plan */
    uint32_t max_drafts;            /* what its drafter can propose */
    bool     drafts_on_device, forks_state, tree_drafts;
    uint32_t n_vocab, hidden;
    uint32_t graph_sizes[64], n_graph_sizes;    /* for n_padded under DP; 0 = any size */
} lls_runner_caps_t;

enum { LLS_BLOB_PIXELS = 1, LLS_BLOB_AUDIO, LLS_BLOB_TOKENS, LLS_BLOB_POSITIONS, LLS_BLOB_EMBEDS,
       LLS_BLOB_ADAPTER, LLS_BLOB_CONNECTOR };

enum { LLS_RUNNER_SLEEP = 1, LLS_RUNNER_WAKE, LLS_RUNNER_RELOAD_WEIGHTS, LLS_RUNNER_PROFILE };

typedef struct lls_runner_ops {
    uint32_t struct_size;
    void (*caps)(const lls_runner_t *r, lls_runner_caps_t *caps);
    /* Big immutable inputs (pixels, embeddings, adapters) go in once, by number, before the first
     * plan that names them, and out when the engine says so.  Copied or retained by the runner. */
    llm_status_t (*put_blob)(lls_runner_t *r, uint32_t blob, uint32_t kind, const void *data,
                             size_t bytes);
    void         (*drop_blob)(lls_runner_t *r, uint32_t blob);
    llm_status_t (*execute)(lls_runner_t *r, const lls_step_plan_t *plan);
    /* mask may be NULL if no run is masked; borrowed for the call. */
    llm_status_t (*sample)(lls_runner_t *r, const lls_step_mask_t *mask);
    /* Blocks up to timeout_us (-1 = for ever); LLM_ERR_BUSY if not ready.  Result valid until the
     * next wait.  With nothing in flight it returns step 0 and finished transfers only. */
    llm_status_t (*wait)(lls_runner_t *r, int64_t timeout_us, const lls_step_result_t **result);
    /* In order with plans; nothing may be in flight. */
    llm_status_t (*control)(lls_runner_t *r, uint32_t what, uint32_t arg);
    void         (*destroy)(lls_runner_t *r);
} lls_runner_ops_t;

struct lls_runner {                 /* first member of every runner */
    const lls_runner_ops_t *ops;
};

#endif
