/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/repetition.h"

#include <string.h>

#include "base/num.h"
#include "base/status.h"

llm_status_t lls_repetition_init(lls_repetition_t *r, lls_mem_t *mem,
                                 const lls_repetition_params_t *p, uint32_t max_tokens,
                                 llm_error_t *err)
{
    memset(r, 0, sizeof *r);
    if (p->max_pattern_size == 0 || p->min_count < 2)
        return LLM_OK;
    r->min_count = p->min_count;
    r->min_size = lls_max_u32(p->min_pattern_size, 1);
    r->max_size = lls_min_u32(p->max_pattern_size, max_tokens / p->min_count);
    if (r->min_size > r->max_size) {
        r->max_size = 0;
        return LLM_OK;
    }
    r->streak = lls_calloc(mem, (size_t)r->max_size + 1, sizeof *r->streak);
    return r->streak != NULL ? LLM_OK : lls_fail(err, LLM_ERR_NO_MEMORY, "repetition_detection");
}

void lls_repetition_deinit(lls_repetition_t *r, lls_mem_t *mem)
{
    lls_free(mem, r->streak);
    memset(r, 0, sizeof *r);
}

bool lls_repetition_push(lls_repetition_t *r, const int32_t *tokens, size_t n)
{
    const int32_t *last = tokens + n - 1;
    bool           repeats = false;

    if (r->max_size == 0)
        return false;
    for (uint32_t size = r->min_size; size <= r->max_size && size < n; size++) {
        r->streak[size] = last[0] == last[-(ptrdiff_t)size] ? r->streak[size] + 1 : 0;
        repeats |= r->streak[size] >= (uint64_t)size * (r->min_count - 1);
    }
    return repeats;
}
