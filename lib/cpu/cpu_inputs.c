/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_int.h"
#include "tensor/rows.h"

void lls_cpu_build_inputs(lls_exec_t *x, const struct lls_step_plan *plan, struct lls_rows *rows,
                          lls_batch_t *batch)
{
    if (x->planning)
        return;
    if (!lls_rows_apply(rows, plan) || !lls_batch_fill(batch, rows, plan))
        lls_exec_fail(x, LLM_ERR_INTERNAL);
}
