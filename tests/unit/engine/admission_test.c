/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "engine/admission.h"

#define NOW 5000000u                /* us */

/* A request of n completions whose prompt has n_prompt tokens. */
static lls_request_t *request(uint32_t n, uint32_t n_prompt, int32_t priority)
{
    lls_request_t *req = calloc(1, sizeof *req + n * sizeof *req->c);

    req->n = n;
    req->n_prompt = n_prompt;
    req->priority = priority;
    for (uint32_t i = 0; i < n; i++)
        req->c[i].req = req;
    return req;
}

static lls_admission_t *begin(void)
{
    lls_admission_t *a = calloc(1, sizeof *a);

    lls_admission_init(a, 512);
    return a;
}

/* n steps of 200 tokens, half of them of prompts, in 20 ms: 100 us a token. */
static void measure(lls_admission_t *a, uint32_t n)
{
    while (n-- > 0)
        lls_admission_measure(a, 100, 200, NOW - 20000, NOW);
}

static uint64_t queued(const lls_admission_t *a) { return atomic_load(&a->queued); }

static void must_be_clear(lls_admission_t *a)
{
    assert_int_equal(queued(a), 0);
    for (uint32_t i = 0; i < LLS_PRIORITY_CLASSES; i++)
        assert_int_equal(atomic_load(&a->awaited[i]), 0);
    free(a);
}

static llm_status_t deadlines(const lls_admission_t *a, lls_request_t *req, uint64_t queue_ms,
                              uint64_t whole_ms, uint64_t now, llm_error_t *err)
{
    req->queue_deadline_us = queue_ms == 0 ? 0 : now + queue_ms * 1000;
    req->deadline_us = whole_ms == 0 ? 0 : now + whole_ms * 1000;
    return lls_admission_check_deadlines(a, req, now, err);
}

static void prompts_are_queued_until_they_have_run(void **state)
{
    lls_admission_t *a = begin();
    lls_request_t   *req = request(3, 100, 0);
    llm_error_t      err;

    lls_admission_count(a, req);
    assert_int_equal(queued(a), 300);           /* n counts n */
    lls_admission_computed(a, &req->c[0], 60);
    assert_int_equal(queued(a), 300);           /* in prefill */
    lls_admission_computed(a, &req->c[0], 100);
    lls_admission_computed(a, &req->c[0], 105); /* its answer */
    assert_int_equal(queued(a), 200);
    lls_admission_computed(a, &req->c[1], 96);  /* found in the cache */
    lls_admission_forget(a, &req->c[1]);
    lls_admission_forget(a, &req->c[1]);
    assert_int_equal(queued(a), 100);
    assert_int_equal(lls_admission_check_room(a, req, 0, NOW, &err), LLM_OK);
    assert_int_equal(lls_admission_check_room(a, req, 400, NOW, &err), LLM_OK);
    assert_int_equal(lls_admission_check_room(a, req, 399, NOW, &err), LLM_ERR_BUSY);
    assert_string_equal(err.param, "max-num-queued-tokens");
    assert_non_null(strstr(err.message, "100 prompt tokens are queued of at most 399, and this "
                                        "request has 300"));
    assert_int_equal(err.retry_after_ms, 101);  /* no speed is known */
    measure(a, 1);
    assert_int_equal(lls_admission_check_room(a, req, 350, NOW, &err), LLM_ERR_BUSY);
    assert_int_equal(err.retry_after_ms, 6);    /* 50 tokens too many */
    lls_admission_forget(a, &req->c[2]);
    assert_int_equal(lls_admission_check_room(a, req, 10, NOW, &err), LLM_OK);  /* alone */
    free(req);
    must_be_clear(a);
}

static void who_would_come_too_late_is_refused(void **state)
{
    lls_admission_t *a = begin();
    lls_request_t   *ahead = request(1, 4000, 0), *req = request(2, 1000, 0);
    llm_error_t      err;

    lls_admission_count(a, ahead);
    assert_int_equal(deadlines(a, req, 1, 1, NOW, &err), LLM_OK);   /* no speed is known */
    assert_int_equal(lls_admission_check_deadlines(a, req, NOW + 5000, &err), LLM_OK);
    measure(a, 1);
    assert_int_equal(deadlines(a, req, 400, 500, NOW, &err), LLM_OK);
    assert_int_equal(deadlines(a, req, 399, 0, NOW, &err), LLM_ERR_BUSY);
    assert_string_equal(err.param, "queue_timeout_ms");
    assert_int_equal(err.retry_after_ms, 2);
    assert_int_equal(deadlines(a, req, 0, 450, NOW, &err), LLM_ERR_BUSY);
    assert_string_equal(err.param, "timeout_ms");
    assert_string_equal(err.message, "5000 prompt tokens at 10000 a second take 500 ms, 50 ms "
                                     "longer than timeout_ms leaves; try again later");
    assert_int_equal(err.retry_after_ms, 51);
    lls_admission_computed(a, &ahead->c[0], 600);
    assert_int_equal(deadlines(a, req, 0, 450, NOW, &err), LLM_OK);
    assert_int_equal(deadlines(a, req, 0, 1, NOW + 999999, &err), LLM_ERR_BUSY);
    assert_int_equal(deadlines(a, req, 0, 1, NOW + 1000001, &err), LLM_OK);     /* too long ago */
    lls_admission_forget(a, &ahead->c[0]);
    free(ahead);
    free(req);
    must_be_clear(a);
}

static void who_is_worse_is_not_ahead(void **state)
{
    static const int32_t priorities[] = { -1000, -5, 0, 7, INT32_MAX };
    lls_admission_t     *a = begin();
    lls_request_t       *req[5];
    llm_error_t          err;

    measure(a, 1);
    for (int i = 0; i < 5; i++) {
        req[i] = request(1, 1000, priorities[i]);
        lls_admission_count(a, req[i]);
    }
    for (uint32_t i = 0; i < 5; i++) {          /* those up to itself, and a copy of itself */
        assert_int_equal(deadlines(a, req[i], (i + 1) * 100, (i + 2) * 100, NOW, &err), LLM_OK);
        assert_int_equal(deadlines(a, req[i], (i + 1) * 100 - 1, 0, NOW, &err), LLM_ERR_BUSY);
        assert_int_equal(deadlines(a, req[i], 0, (i + 2) * 100 - 1, NOW, &err), LLM_ERR_BUSY);
    }
    for (int i = 0; i < 5; i++) {
        lls_admission_forget(a, &req[i]->c[0]);
        free(req[i]);
    }
    must_be_clear(a);
}

/* What is older than 100 steps does not count, and small steps say nothing. */
static void speed_is_of_the_last_hundred_steps(void **state)
{
    lls_admission_t *a = begin();
    lls_request_t   *req = request(1, 1000, 0);
    llm_error_t      err;

    lls_admission_measure(a, 63, 63, NOW - 900000, NOW);
    assert_int_equal(deadlines(a, req, 0, 1, NOW, &err), LLM_OK);
    for (int i = 0; i < 10; i++)                /* ten times slower */
        lls_admission_measure(a, 200, 200, NOW - 200000, NOW);
    assert_int_equal(deadlines(a, req, 0, 999, NOW, &err), LLM_ERR_BUSY);
    assert_int_equal(deadlines(a, req, 0, 1000, NOW, &err), LLM_OK);
    measure(a, 20);                             /* half of the tokens, both ways */
    assert_int_equal(deadlines(a, req, 0, 549, NOW, &err), LLM_ERR_BUSY);
    assert_int_equal(deadlines(a, req, 0, 550, NOW, &err), LLM_OK);
    for (int i = 0; i < 80; i++)                /* decoding: they displace what is old */
        lls_admission_measure(a, 0, 8, NOW - 20000, NOW);
    assert_int_equal(deadlines(a, req, 0, 99, NOW, &err), LLM_ERR_BUSY);
    assert_int_equal(deadlines(a, req, 0, 100, NOW, &err), LLM_OK);
    for (int i = 0; i < 20; i++)
        lls_admission_measure(a, 0, 8, NOW - 20000, NOW);
    assert_int_equal(deadlines(a, req, 0, 1, NOW, &err), LLM_OK);
    assert_int_equal(a->sum.tokens, 0);
    assert_int_equal(a->sum.ps, 0);
    free(req);
    must_be_clear(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_are_queued_until_they_have_run),
        cmocka_unit_test(who_would_come_too_late_is_refused),
        cmocka_unit_test(who_is_worse_is_not_ahead),
        cmocka_unit_test(speed_is_of_the_last_hundred_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
