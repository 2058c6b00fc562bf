/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: the plan of bind.c, sized and carried out.  The arena holds matrices, then vectors, then
 * rotary frequencies, each on 64 bytes.
 */
#include <string.h>

#include "model/model_int.h"

#define ALIGN 64u

static lls_wspec_t spec_of(const lls_model_t *m, const lls_bound_mat_t *mat)
{
    return (lls_wspec_t){ .parts = m->bind.parts + mat->first_part, .n_parts = mat->n_parts,
                          .n_experts = mat->n_experts, .use = mat->use, .dtype = mat->dtype };
}

static size_t mat_bytes(const lls_model_t *m, const lls_ops_t *ops, const lls_bound_mat_t *mat)
{
    lls_wspec_t spec = spec_of(m, mat);

    return lls_align_up(ops->pack_size(&spec), ALIGN);
}

static size_t floats_bytes(size_t n) { return lls_align_up(n * sizeof(float), ALIGN); }

size_t lls_model_weight_bytes(const lls_model_t *m, const lls_ops_t *ops)
{
    size_t total = 0;

    if (m->loaded)
        return m->weight_bytes;
    for (size_t i = 0; i < m->bind.n_mats; i++)
        total += mat_bytes(m, ops, &m->bind.mats[i]);
    for (size_t i = 0; i < m->bind.n_vecs; i++)
        total += floats_bytes(m->bind.vecs[i].width);
    for (uint32_t i = 0; i < m->traits.n_rope_tables; i++)
        total += floats_bytes(m->traits.rope[i].rot_dim / 2);
    return total;
}

static uint32_t n_mat_parts(const lls_bound_mat_t *mat)
{
    return mat->n_parts * lls_max_u32(mat->n_experts, 1);
}

static void advise(const lls_model_t *m, size_t mat, void (*tell)(const lls_weight_t *))
{
    const lls_bound_mat_t *b = &m->bind.mats[mat];

    for (uint32_t i = 0; mat < m->bind.n_mats && i < n_mat_parts(b); i++)
        tell(m->bind.sources[b->first_part + i]);
}

static void load_vector(const lls_model_t *m, const lls_bound_vec_t *vec, float *out)
{
    *vec->target = out;
    for (uint32_t i = 0; i < vec->n_parts; i++) {
        const lls_wpart_t *part = &m->bind.parts[vec->first_part + i];
        size_t             size = lls_scheme_block_bytes(part->scheme);

        for (uint32_t r = 0; r < part->out; r++) {
            uint32_t row = part->row_of != NULL ? part->row_of[r] : r;

            lls_dequantise(part->scheme, (const uint8_t *)part->data + row * size, 0, 1, out);
            *out++ += vec->add;
        }
    }
}

static uint8_t *load_ropes(lls_model_t *m, uint8_t *at)
{
    for (uint32_t i = 0; i < m->traits.n_rope_tables; i++) {
        const lls_rope_traits_t *t = &m->traits.rope[i];

        memcpy(at, t->inv_freq, t->rot_dim / 2 * sizeof *t->inv_freq);
        m->rope[i] = (lls_rope_table_t){ (const float *)at, t->rot_dim, t->factor };
        at += floats_bytes(t->rot_dim / 2);
    }
    return at;
}

/* Matrices in the order of the plan; the pages of the next are asked for while one is packed. */
static llm_status_t load_matrices(lls_model_t *m, const lls_ops_t *ops, void *backend, uint8_t **at,
                                  uint64_t total, lls_load_progress_fn progress, void *user,
                                  llm_error_t *err)
{
    const uint8_t *arena = *at;

    for (size_t i = 0; i < m->bind.n_mats; i++) {
        const lls_bound_mat_t *mat = &m->bind.mats[i];
        lls_wspec_t            spec = spec_of(m, mat);

        if (progress != NULL && progress(user, (uint64_t)(*at - arena), total) != 0)
            return lls_fail(err, LLM_ERR_CANCELLED, "loading was stopped");
        if (i + 1 < m->bind.n_mats)
            advise(m, i + 1, lls_weights_will_need);
        *mat->target = ops->pack(backend, &spec, *at);
        *at += mat_bytes(m, ops, mat);
        advise(m, i, lls_weights_done_with);
    }
    return LLM_OK;
}

void lls_model_close_files(lls_model_t *m)
{
    lls_bind_deinit(m->mem, &m->bind);
    lls_weights_close(m->weights);
    m->weights = NULL;
}

llm_status_t lls_model_load(lls_model_t *m, const lls_ops_t *ops, void *backend, void *arena,
                            lls_load_progress_fn progress, void *user, llm_error_t *err)
{
    uint8_t     *at = arena;
    size_t       total = lls_model_weight_bytes(m, ops);
    llm_status_t st;

    lls_assert(!m->loaded && (uintptr_t)arena % ALIGN == 0);
    st = load_matrices(m, ops, backend, &at, total, progress, user, err);
    if (st != LLM_OK)
        return st;
    for (size_t i = 0; i < m->bind.n_vecs; i++) {
        load_vector(m, &m->bind.vecs[i], (float *)at);
        at += floats_bytes(m->bind.vecs[i].width);
    }
    at = load_ropes(m, at);
    lls_assert((size_t)(at - (uint8_t *)arena) == total);
    if (m->traits.tied)
        m->head.w = m->embed;
    m->weight_bytes = total;
    m->loaded = true;
    lls_model_close_files(m);
    if (progress != NULL)
        progress(user, total, total);
    return LLM_OK;
}
