/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: the plan of bind.c, sized and carried out.  The arena holds matrices, then vectors, then
 * rotary frequencies, each on 64 bytes; there is no pointer in it, so that a file of packed weights
 * (packed.h) can fill it as well as packing does.
 */
#include <string.h>

#include "base/clock.h"
#include "model/model_int.h"
#include "model/packed.h"

#define ALIGN 64u

static lls_wspec_t spec_of(const lls_model_t *m, const lls_bound_mat_t *mat)
{
    return (lls_wspec_t){ .parts = m->bind.parts + mat->first_part, .n_parts = mat->n_parts,
                          .n_experts = mat->n_experts, .use = mat->use, .dtype = mat->dtype,
                          .quant = mat->quant, .release = lls_weights_release };
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

static void fill_vector(const lls_model_t *m, const lls_bound_vec_t *vec, float *out)
{
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

/* At least a microsecond. */
static double seconds_since(uint64_t began_us)
{
    return (double)lls_max_u64(lls_clock_us() - began_us, 1) * 1e-6;
}

static void log_speed(const lls_model_t *m, uint64_t total, uint64_t began_us)
{
    double   seconds = seconds_since(began_us);
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->bind.n_parts; i++) {
        const lls_wpart_t *p = &m->bind.parts[i];

        bytes += p->out * lls_scheme_row_bytes(p->scheme, p->in);
    }
    lls_log(m->log, LLM_LOG_INFO, "model",
            "packed %.1f MB of weights into %.1f MB in %.3f s, %.2f GB/s", (double)bytes * 1e-6,
            (double)total * 1e-6, seconds, (double)bytes * 1e-9 / seconds);
}

typedef struct sizing {
    const lls_model_t *m;
    const lls_ops_t   *ops;
} sizing_t;

static size_t bytes_of(const void *user, size_t mat)
{
    const sizing_t *s = user;

    return mat_bytes(s->m, s->ops, &s->m->bind.mats[mat]);
}

/* Matrices in the order of the plan; the pages of the next are asked for while one is packed. */
static llm_status_t fill(lls_model_t *m, const lls_ops_t *ops, void *backend, uint8_t *arena,
                         uint64_t total, lls_load_progress_fn progress, void *user,
                         llm_error_t *err)
{
    uint8_t *at = arena;
    uint64_t began_us = lls_clock_us();

    for (size_t i = 0; i < m->bind.n_mats; i++) {
        const lls_bound_mat_t *mat = &m->bind.mats[i];
        lls_wspec_t            spec = spec_of(m, mat);

        if (progress != NULL && progress(user, (uint64_t)(at - arena), total) != 0)
            return lls_fail(err, LLM_ERR_CANCELLED, "loading was stopped");
        if (i + 1 < m->bind.n_mats)
            advise(m, i + 1, lls_weights_will_need);
        ops->pack(backend, &spec, at);
        at += mat_bytes(m, ops, mat);
        advise(m, i, lls_weights_done_with);
    }
    for (size_t i = 0; i < m->bind.n_vecs; i++) {
        fill_vector(m, &m->bind.vecs[i], (float *)at);
        for (uint32_t k = 0; k < m->bind.vecs[i].n_parts; k++)
            lls_weights_done_with(m->bind.sources[m->bind.vecs[i].first_part + k]);
        at += floats_bytes(m->bind.vecs[i].width);
    }
    for (uint32_t i = 0; i < m->traits.n_rope_tables; i++) {
        const lls_rope_traits_t *t = &m->traits.rope[i];

        memcpy(at, t->inv_freq, t->rot_dim / 2 * sizeof *t->inv_freq);
        at += floats_bytes(t->rot_dim / 2);
    }
    lls_assert((size_t)(at - arena) == total);
    log_speed(m, total, began_us);
    return LLM_OK;
}

/* Where everything is in a filled arena. */
static void place(lls_model_t *m, const lls_ops_t *ops, const uint8_t *at)
{
    for (size_t i = 0; i < m->bind.n_mats; i++) {
        *m->bind.mats[i].target = (const lls_wmat_t *)at;
        at += mat_bytes(m, ops, &m->bind.mats[i]);
    }
    for (size_t i = 0; i < m->bind.n_vecs; i++) {
        *m->bind.vecs[i].target = (const float *)at;
        at += floats_bytes(m->bind.vecs[i].width);
    }
    for (uint32_t i = 0; i < m->traits.n_rope_tables; i++) {
        const lls_rope_traits_t *t = &m->traits.rope[i];

        m->rope[i] = (lls_rope_table_t){ (const float *)at, t->rot_dim, t->factor };
        at += floats_bytes(t->rot_dim / 2);
    }
    if (m->traits.tied)
        m->head.w = m->embed;
}

/* ---- Packed before --------------------------------------------------------------------------- */

static void feed(lls_sip_t *s, const void *data, size_t n)
{
    static const uint64_t key[2] = { 0, 1 };
    lls_hash128_t         h = lls_hash128(key, data, n);

    lls_sip_word(s, h.lo);
    lls_sip_word(s, h.hi);
}

/* A part: its form, and of its values the first and the last kilobyte. */
static void feed_part(lls_sip_t *s, const lls_wpart_t *p, const lls_weight_t *source)
{
    uint64_t sample = lls_min_u64(source->bytes, 1024);
    uint64_t form[] = { p->scheme, p->out, p->in, p->transposed, source->bytes,
                        (uint64_t)((const uint8_t *)p->data - source->data) };

    feed(s, form, sizeof form);
    feed(s, p->row_of, p->row_of != NULL ? p->out * sizeof *p->row_of : 0);
    feed(s, source->data, sample);
    feed(s, source->data + source->bytes - sample, sample);
}

/* All that packing depends on: the backend's layout, the plan, the files' lengths and times, and
 * samples of what is in them. */
static lls_hash128_t key_of(const lls_model_t *m, const lls_ops_t *ops, uint64_t bytes)
{
    static const uint64_t key[2] = { 0, 2 };
    lls_sip_t             s = lls_sip_begin(key);

    feed(&s, ops->name, strlen(ops->name));
    lls_sip_word(&s, ops->layout);
    lls_sip_word(&s, bytes);
    lls_sip_word(&s, lls_weights_stamp(m->weights));
    for (size_t i = 0; i < m->bind.n_mats; i++) {
        const lls_bound_mat_t *b = &m->bind.mats[i];
        uint64_t               form[] = { b->n_parts, b->n_experts, b->use, b->dtype, b->quant };

        feed(&s, form, sizeof form);
    }
    for (size_t i = 0; i < m->bind.n_vecs; i++)
        feed(&s, &m->bind.vecs[i].add, sizeof m->bind.vecs[i].add);
    for (size_t i = 0; i < m->bind.n_parts; i++)
        feed_part(&s, &m->bind.parts[i], m->bind.sources[i]);
    for (uint32_t i = 0; i < m->traits.n_rope_tables; i++)
        feed(&s, m->traits.rope[i].inv_freq, m->traits.rope[i].rot_dim / 2 * sizeof(float));
    return lls_sip_end(&s);
}

void lls_model_close_files(lls_model_t *m)
{
    lls_bind_deinit(m->mem, &m->bind);
    lls_weights_close(m->weights);
    m->weights = NULL;
}

static llm_status_t fill_and_keep(lls_model_t *m, const lls_ops_t *ops, void *backend,
                                  uint8_t *arena, uint64_t total, lls_load_progress_fn progress,
                                  void *user, llm_error_t *err)
{
    lls_hash128_t key = key_of(m, ops, total);
    char         *path = lls_packed_path(m->mem, m->cache_dir, &key);
    uint64_t      began_us = lls_clock_us();
    llm_error_t   why;
    llm_status_t  st = LLM_OK;

    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "path of packed weights");
    if (lls_packed_read(path, &key, arena, total, ops, backend, &why) == LLM_OK) {
        double seconds = seconds_since(began_us);

        lls_log(m->log, LLM_LOG_INFO, "model",
                "%.1f MB of packed weights from %s in %.3f s, %.2f GB/s", (double)total * 1e-6,
                path, seconds, (double)total * 1e-9 / seconds);
    } else {
        memset(arena, 0, total);    /* gaps too are written: the same weights, the same file */
        st = fill(m, ops, backend, arena, total, progress, user, err);
        if (st == LLM_OK &&
            lls_packed_write(m->mem, path, &key, arena, total, ops, backend, &why) != LLM_OK)
            lls_log(m->log, LLM_LOG_WARN, "model", "packed weights are not kept: %s", why.message);
    }
    lls_free(m->mem, path);
    return st;
}

llm_status_t lls_model_load(lls_model_t *m, const lls_ops_t *ops, void *backend, void *arena,
                            lls_load_progress_fn progress, void *user, llm_error_t *err)
{
    size_t       total = lls_model_weight_bytes(m, ops);
    llm_status_t st;

    lls_assert(!m->loaded && (uintptr_t)arena % ALIGN == 0);
    ops->place(backend, arena, m->bind.n_mats, bytes_of, &(sizing_t){ m, ops });
    st = (m->cache_dir == NULL ? fill : fill_and_keep)(m, ops, backend, arena, total, progress,
                                                       user, err);
    if (st != LLM_OK)
        return st;
    place(m, ops, arena);
    m->weight_bytes = total;
    m->loaded = true;
    lls_model_close_files(m);
    if (progress != NULL)
        progress(user, total, total);
    return LLM_OK;
}
