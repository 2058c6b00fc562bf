/* SPDX-License-Identifier: Apache-2.0 */
/* llm.h, beam search. */
#include "api/requests.h"
#include "api/sized.h"

#define BEAM_FLAGS (LLM_BEAM_IGNORE_EOS | LLM_BEAM_KEEP_STOP | LLM_BEAM_NO_PENALTY)

static llm_status_t take_params(const llm_beam_params_t *in, llm_beam_params_t *out,
                                llm_error_t *err)
{
    llm_status_t st;

    if (in == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "params", "params is NULL");
    st = lls_sized_take(out, sizeof *out, sizeof *out, in, "llm_beam_params_t", err);
    return st == LLM_OK ? lls_sized_check_flags(out->flags, BEAM_FLAGS, err) : st;
}

LLM_API llm_status_t llm_beam_search(llm_engine_t *engine, const llm_request_t *const *requests,
                                     size_t n, const llm_beam_params_t *params,
                                     llm_progress_fn progress, void *progress_user,
                                     llm_batch_t **batch, llm_error_t *err)
{
    llm_beam_params_t p;
    llm_status_t      st = lls_api_check_batch(engine, requests, n, batch, err);

    if (st == LLM_OK)
        st = take_params(params, &p, err);
    if (st != LLM_OK)
        return st;
    return lls_engine_beam_search(engine, lls_api_batch_input, (void *)(uintptr_t)requests, n, &p,
                                  progress, progress_user, batch, err);
}
