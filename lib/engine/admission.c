/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/admission.h"

#include <inttypes.h>

#define MEASURED_TOKENS 64u         /* of prompts; fewer in a step say little about their speed */
#define SPEED_KEEPS_US  1000000u
#define RETRY_MS        100u        /* where no speed is known */

void lls_admission_init(lls_admission_t *a, uint32_t max_num_batched_tokens)
{
    a->min_tokens = lls_min_u32(MEASURED_TOKENS, max_num_batched_tokens);
}

/* ---- Counts ---------------------------------------------------------------------------------- */

static uint32_t class_of(const lls_request_t *req)
{
    int32_t half = LLS_PRIORITY_CLASSES / 2;
    int32_t p = req->priority < -half ? -half : req->priority > half - 1 ? half - 1 : req->priority;

    return (uint32_t)(p + half);
}

static void set_awaited(lls_admission_t *a, lls_completion_t *c, uint32_t n)
{
    if (n == c->n_awaited)
        return;
    atomic_fetch_add_explicit(&a->awaited[class_of(c->req)], (uint64_t)n - c->n_awaited,
                              memory_order_relaxed);
    c->n_awaited = n;
}

/* Completions beside the first find the prompt in the cache, or count when they begin. */
void lls_admission_count(lls_admission_t *a, lls_request_t *req)
{
    set_awaited(a, &req->c[0], req->n_prompt);
    for (uint32_t i = 0; i < req->n; i++)
        req->c[i].in_prefill = true;
    atomic_fetch_add_explicit(&a->queued, (uint64_t)req->n * req->n_prompt, memory_order_relaxed);
}

static void leave_queue(lls_admission_t *a, lls_completion_t *c)
{
    if (c->in_prefill)
        atomic_fetch_sub_explicit(&a->queued, c->req->n_prompt, memory_order_relaxed);
    c->in_prefill = false;
}

void lls_admission_computed(lls_admission_t *a, lls_completion_t *c, uint32_t n)
{
    set_awaited(a, c, lls_sub_u32(c->req->n_prompt, n));
    if (c->n_awaited == 0)
        leave_queue(a, c);
}

void lls_admission_forget(lls_admission_t *a, lls_completion_t *c)
{
    set_awaited(a, c, 0);
    leave_queue(a, c);
}

/* ---- Speed ----------------------------------------------------------------------------------- */

void lls_admission_measure(lls_admission_t *a, uint32_t n_prompt, uint32_t n_tokens,
                           uint64_t began_us, uint64_t now_us)
{
    bool counts = n_prompt >= a->min_tokens && now_us > began_us;

    a->sum.tokens -= a->steps[a->at].tokens;
    a->sum.ps -= a->steps[a->at].ps;
    a->steps[a->at].tokens = counts ? n_prompt : 0;
    a->steps[a->at].ps = counts ? (now_us - began_us) * 1000000 / n_tokens * n_prompt : 0;
    a->sum.tokens += a->steps[a->at].tokens;
    a->sum.ps += a->steps[a->at].ps;
    a->at = (a->at + 1) % LLS_MEASURED_STEPS;
    atomic_store_explicit(&a->ps_per_token, a->sum.tokens == 0 ? 0 : a->sum.ps / a->sum.tokens,
                          memory_order_relaxed);
    atomic_store_explicit(&a->measured_us, now_us, memory_order_relaxed);
}

/* 0 = not known. */
static uint64_t speed(const lls_admission_t *a, uint64_t now_us)
{
    uint64_t at = atomic_load_explicit(&a->measured_us, memory_order_relaxed);

    return lls_sub_u64(now_us, at) > SPEED_KEEPS_US
               ? 0
               : atomic_load_explicit(&a->ps_per_token, memory_order_relaxed);
}

static uint64_t time_us(uint64_t n_tokens, uint64_t ps_per_token)
{
    uint64_t ps;

    return lls_mul_u64(n_tokens, ps_per_token, &ps) ? ps / 1000000 : UINT64_MAX / 1000000;
}

/* ---- Decisions ------------------------------------------------------------------------------- */

static llm_status_t busy(llm_error_t *err, uint64_t wait_us)
{
    if (err != NULL)
        err->retry_after_ms = (uint32_t)lls_min_u64(wait_us / 1000 + 1, UINT32_MAX);
    return LLM_ERR_BUSY;
}

llm_status_t lls_admission_check_room(const lls_admission_t *a, const lls_request_t *req,
                                      uint32_t max, uint64_t now_us, llm_error_t *err)
{
    uint64_t queued = atomic_load_explicit(&a->queued, memory_order_relaxed);
    uint64_t own = (uint64_t)req->n * req->n_prompt, ps = speed(a, now_us);

    if (max == 0 || queued == 0 || queued + own <= max)
        return LLM_OK;
    lls_fail_param(err, LLM_ERR_BUSY, "max-num-queued-tokens",
                   "%" PRIu64 " prompt tokens are queued of at most %u, and this request has %"
                   PRIu64 "; try again later", queued, max, own);
    return busy(err, ps == 0 ? RETRY_MS * 1000 : time_us(queued + own - max, ps));
}

static uint64_t awaited_before(const lls_admission_t *a, const lls_request_t *req)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i <= class_of(req); i++)
        n += atomic_load_explicit(&a->awaited[i], memory_order_relaxed);
    return n;
}

static llm_status_t too_late(const char *param, uint64_t n, uint64_t ps, uint64_t late_us,
                             llm_error_t *err)
{
    lls_fail_param(err, LLM_ERR_BUSY, param,
                   "%" PRIu64 " prompt tokens at %.0f a second take %.0f ms, %.0f ms longer than "
                   "%s leaves; try again later", n, 1e12 / (double)ps,
                   (double)time_us(n, ps) * 1e-3, (double)late_us * 1e-3, param);
    return busy(err, late_us);
}

llm_status_t lls_admission_check_deadlines(const lls_admission_t *a, const lls_request_t *req,
                                           uint64_t now_us, llm_error_t *err)
{
    uint64_t ps = speed(a, now_us), ahead = awaited_before(a, req), whole = ahead + req->n_prompt;
    uint64_t begins = now_us + time_us(ahead, ps), answers = now_us + time_us(whole, ps);

    if (ps == 0)
        return LLM_OK;
    if (req->queue_deadline_us != 0 && begins > req->queue_deadline_us)
        return too_late("queue_timeout_ms", ahead, ps, begins - req->queue_deadline_us, err);
    if (req->deadline_us != 0 && answers > req->deadline_us)
        return too_late("timeout_ms", whole, ps, answers - req->deadline_us, err);
    return LLM_OK;
}
