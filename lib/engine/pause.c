/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pause - engines that stand still, and threads that sleep meanwhile.
 *
 * A pause has a number.  A request that comes while it is on bears the number and is blocked in the
 * scheduler until a turn finds that pause over; so whatever order pauses, resumes and adds come in
 * between two turns, who came before a pause runs or ends by its mode and who came during it waits.
 */
#include "engine/engine_int.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

/* With the lock.  Those that the pause found here, not those that came since. */
static void abort_earlier(lls_engine_t *e)
{
    for (uint32_t i = 0; i < e->options.max_num_queued_reqs; i++) {
        const lls_completion_t *c = e->slots[i].c;
        if (c != NULL && c->index == 0 && c->req->pause != e->pause_number)
            lls_engine_mark_aborted(e, c->req);
    }
}

llm_status_t lls_engine_pause(lls_engine_t *e, int32_t mode, llm_error_t *err)
{
    if (mode < LLM_PAUSE_ABORT || mode > LLM_PAUSE_DRAIN)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "mode",
                              "mode must be in [0, %d], got %d", LLM_PAUSE_DRAIN, mode);
    pthread_mutex_lock(&e->lock);
    if (atomic_load(&e->dead)) {
        pthread_mutex_unlock(&e->lock);
        return lls_engine_refuse_dead(e, err);
    }
    if (atomic_load(&e->paused) == LLS_NOT_PAUSED)
        e->pause_number++;
    atomic_store(&e->paused, mode);
    if (mode == LLM_PAUSE_ABORT)
        abort_earlier(e);
    pthread_mutex_unlock(&e->lock);
    lls_engine_notify(e);
    return LLM_OK;
}

llm_status_t lls_engine_resume(lls_engine_t *e, llm_error_t *err)
{
    pthread_mutex_lock(&e->lock);
    if (atomic_load(&e->dead)) {
        pthread_mutex_unlock(&e->lock);
        return lls_engine_refuse_dead(e, err);
    }
    atomic_store(&e->paused, LLS_NOT_PAUSED);
    atomic_store(&e->n_held, 0);
    pthread_mutex_unlock(&e->lock);
    lls_engine_notify(e);
    return LLM_OK;
}

void lls_engine_follow_pause(lls_engine_t *e, lls_pause_t now)
{
    bool over = e->pause.number != now.number || now.mode == LLS_NOT_PAUSED;

    for (lls_request_t *req = e->alive; over && e->pause.mode != LLS_NOT_PAUSED && req != NULL;
         req = req->next)
        for (uint32_t i = 0; i < req->n; i++)
            if (req->c[i].live)
                lls_sched_unblock(e->sched, req->c[i].handle, LLS_BLOCKED_PAUSE);
    e->pause = now;
    lls_sched_pause(e->sched, now.mode == LLM_PAUSE_KEEP);
}

/* ---- Sleep ----------------------------------------------------------------------------------- */

/* A turn would find something new, or a request that may go on. */
static bool has_work(lls_engine_t *e)
{
    bool news;

    pthread_mutex_lock(&e->lock);
    news = e->inbox != NULL || e->aborts != NULL || atomic_load(&e->paused) != e->pause.mode ||
           e->pause_number != e->pause.number;
    pthread_mutex_unlock(&e->lock);
    return news || (e->retired != NULL && !atomic_load(&e->dead)) ||   /* gives places back */
           (e->pause.mode != LLM_PAUSE_KEEP &&
            lls_sched_n_live(e->sched) > lls_sched_n_blocked(e->sched));
}

static uint64_t next_deadline(const lls_engine_t *e)
{
    return atomic_load(&e->n_unfinished) == 0 || e->next_deadline_us == 0 ? UINT64_MAX
                                                                          : e->next_deadline_us;
}

llm_status_t lls_engine_sleep(lls_engine_t *e, int64_t timeout_us)
{
    uint64_t until = timeout_us < 0 ? UINT64_MAX : lls_engine_now(e) + (uint64_t)timeout_us;
    uint64_t end = lls_min_u64(until, next_deadline(e));

    while (!has_work(e)) {
        struct pollfd   p = { .fd = e->wake_fd, .events = POLLIN };
        uint64_t        now = lls_engine_now(e), left = end > now ? end - now : 0, count;
        struct timespec t = { (time_t)(left / 1000000), (long)(left % 1000000) * 1000 };
        if (ppoll(&p, 1, end == UINT64_MAX ? NULL : &t, NULL) > 0)
            return read(e->wake_fd, &count, sizeof count) >= 0 || errno == EAGAIN
                       ? LLM_OK
                       : LLM_ERR_INTERNAL;
        if (lls_engine_now(e) >= end)
            return end == until ? LLM_ERR_TIMEOUT : LLM_OK;
    }
    return LLM_OK;
}

llm_status_t lls_engine_wait(lls_engine_t *e, int64_t timeout_us)
{
    return e->pending != NULL ? LLM_OK : lls_engine_sleep(e, timeout_us);
}

void lls_engine_notify(lls_engine_t *e)
{
    int      saved = errno;         /* this may be a signal handler */
    uint64_t one = 1;
    ssize_t  n = write(e->wake_fd, &one, sizeof one);

    (void)n;                        /* full means that a wake-up is pending already */
    errno = saved;
}
