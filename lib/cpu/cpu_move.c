/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cpu/cpu_row_kernels.h"

typedef struct gather_job {
    const lls_tensor_t *out, *in;
    const uint32_t     *rows;
    size_t              size;       /* of an element */
} gather_job_t;

static void gather_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const gather_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        memcpy((uint8_t *)j->out->data + i * j->out->stride[0] * j->size,
               (const uint8_t *)j->in->data + j->rows[i] * j->in->stride[0] * j->size,
               j->out->shape[1] * j->size);
}

void lls_cpu_gather(lls_exec_t *x, lls_out_t out, lls_in_t in, const uint32_t *rows, uint32_t n)
{
    gather_job_t job = { out, in, rows, lls_dtype_size(in->dtype) };

    if (!x->planning)
        lls_cpu_each_rows(x, n, in->shape[1], gather_rows, &job);
}

void lls_cpu_copy_blocks(lls_exec_t *x, uint8_t *base, uint64_t block_bytes, uint32_t src,
                         uint32_t dst)
{
    if (!x->planning && src != dst)
        memcpy(base + dst * block_bytes, base + src * block_bytes, block_bytes);
}
