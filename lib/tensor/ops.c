/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/ops.h"

#define ALIGN 64u

lls_tensor_t lls_tmp(lls_exec_t *x, uint32_t dtype, uint32_t rows, uint32_t cols)
{
    lls_tensor_t t = { .data = (void *)((uintptr_t)x->arena + x->used), .dtype = dtype, .n_dims = 2,
                       .shape = { rows, cols, 1, 1 }, .stride = { cols } };

    x->used += lls_align_up((size_t)rows * cols * lls_dtype_size(dtype), ALIGN);
    x->peak = x->used > x->peak ? x->used : x->peak;
    lls_assert(x->planning || x->used <= x->cap);
    return t;
}

lls_tensor_t lls_columns(const lls_tensor_t *t, uint32_t first, uint32_t n)
{
    lls_tensor_t part = *t;

    lls_assert(t->n_dims == 2 && first + n <= t->shape[1]);
    part.data = (void *)((uintptr_t)t->data + first * lls_dtype_size(t->dtype));
    part.shape[1] = n;
    return part;
}

void *lls_scratch(lls_exec_t *x, size_t bytes)
{
    x->scratch_peak = bytes > x->scratch_peak ? bytes : x->scratch_peak;
    if (x->planning)
        return NULL;
    lls_assert(bytes <= x->scratch_cap);
    return x->arena + x->cap;
}

void lls_exec_fail(lls_exec_t *x, llm_status_t status)
{
    if (x->status == LLM_OK)
        x->status = status;
}

void lls_do_add_norm(lls_exec_t *x, lls_out_t y, lls_out_t residual, lls_in_t in,
                     const lls_norm_t *n)
{
    if (x->status != LLM_OK)
        return;
    if (x->ops->add_norm != NULL) {
        x->ops->add_norm(x, y, residual, in, n);
        return;
    }
    x->ops->add(x, residual, in, 1.0f);
    x->ops->norm(x, y, residual, n);
}

static void linear_of(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids,
                      const lls_linear_t *p)
{
    if (ids != NULL)
        x->ops->expert_linear(x, out, in, ids, p);
    else
        x->ops->linear(x, out, in, p);
}

void lls_glu_by_parts(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p)
{
    size_t       mark = x->used;
    uint32_t     rows = out->shape[0];
    lls_tensor_t wide = lls_tmp(x, LLS_F32, rows, p->down->in);
    lls_tensor_t up = lls_tmp(x, LLS_F32, rows, p->gate_up->out);

    linear_of(x, &up, in, ids, p->gate_up);
    x->ops->act_mul(x, &wide, &up, p->act);
    linear_of(x, out, &wide, ids, p->down);
    x->used = mark;
}

void lls_do_glu(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p)
{
    if (x->status != LLM_OK)
        return;
    if (x->ops->glu != NULL)
        x->ops->glu(x, out, in, ids, p);
    else
        lls_glu_by_parts(x, out, in, ids, p);
}

void lls_do_linear_peaks(lls_exec_t *x, lls_out_t out, lls_out_t peaks, lls_in_t in,
                         const lls_linear_t *p)
{
    if (x->ops->linear_peaks == NULL)
        peaks->n_dims = 0;
    if (x->status != LLM_OK)
        return;
    if (x->ops->linear_peaks != NULL)
        x->ops->linear_peaks(x, out, peaks, in, p);
    else
        x->ops->linear(x, out, in, p);
}

void lls_do_rope_write(lls_exec_t *x, lls_out_t qkv, lls_in_t angles, const lls_rope_t *rope,
                       const lls_batch_t *batch, const lls_pages_t *pages, const lls_attend_t *a)
{
    if (x->status != LLM_OK)
        return;
    if (x->ops->rope_write != NULL) {
        x->ops->rope_write(x, qkv, angles, rope, batch, pages, a);
        return;
    }
    x->ops->rope(x, qkv, angles, rope);
    x->ops->kv_write(x, qkv, batch, pages, a);
}
