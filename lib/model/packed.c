/* SPDX-License-Identifier: Apache-2.0 */
#include "model/packed.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"

typedef struct head {               /* little-endian, as every machine this runs on */
    char          magic[8];
    lls_hash128_t key;
    uint64_t      bytes, sum[4];
} head_t;

#define MAGIC "LLSPACK2"
#define PRIME 0x9e3779b97f4a7c15u
#define MAX_ITEMS 4096u
#define PIECE (1u << 20)            /* that a thread reads and sums up while it is in its cache */

#define STRIDE 32u                  /* bytes that the chains take at a time */

static inline uint64_t add_word(uint64_t chain, const uint8_t *p)
{
    uint64_t w, x;

    memcpy(&w, p, sizeof w);
    x = (chain ^ w) * PRIME;
    return x << 31 | x >> 33;
}

/* n in whole strides. */
static void add_strides(const uint8_t *p, uint64_t n, uint64_t sum[4])
{
    uint64_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];

    for (const uint8_t *end = p + n; p < end; p += STRIDE) {
        a = add_word(a, p);
        b = add_word(b, p + 8);
        c = add_word(c, p + 16);
        d = add_word(d, p + 24);
    }
    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;
}

/* A piece's four chains: one alone would wait for its multiplications.  Each step is a bijection of
 * the chain, so one changed word always shows, and chains begin with the piece's number, so that
 * pieces cannot change places; against an adversary it is no protection. */
static void sum_of(const uint8_t *p, uint64_t n, uint64_t piece, uint64_t sum[4])
{
    uint8_t  last[STRIDE] = { 0 };
    uint64_t rest = n % STRIDE;

    for (uint32_t i = 0; i < 4; i++)
        sum[i] = 4 * piece + i + 1;
    add_strides(p, n - rest, sum);
    if (rest == 0)
        return;
    memcpy(last, p + n - rest, rest);
    add_strides(last, STRIDE, sum);
}

typedef struct pass {
    uint8_t         *data;
    uint64_t         bytes;
    const char      *path;          /* read from fd first; NULL = data is there */
    int              fd;
    _Atomic uint64_t sum[4];        /* of the sums of pieces */
    _Atomic uint32_t n_unread;
} pass_t;

static uint32_t n_pieces(uint64_t bytes) { return (uint32_t)((bytes + PIECE - 1) / PIECE); }
static uint32_t n_items(uint64_t bytes) { return lls_min_u32(n_pieces(bytes), MAX_ITEMS); }

static void do_piece(pass_t *p, uint32_t piece)
{
    uint64_t at = (uint64_t)piece * PIECE, n = lls_min_u64(PIECE, p->bytes - at), sum[4];

    if (p->path != NULL &&
        lls_read_at(p->fd, p->path, sizeof(head_t) + at, p->data + at, n, NULL) != LLM_OK) {
        atomic_fetch_add(&p->n_unread, 1);
        return;
    }
    sum_of(p->data + at, n, piece, sum);
    for (uint32_t i = 0; i < 4; i++)
        atomic_fetch_add_explicit(&p->sum[i], sum[i], memory_order_relaxed);
}

static void do_item(void *arg, uint32_t item, uint32_t ith)
{
    pass_t  *p = arg;
    uint32_t begin, end;

    lls_share(n_pieces(p->bytes), 1, item, n_items(p->bytes), &begin, &end);
    for (; begin < end; begin++)
        do_piece(p, begin);
}

static head_t head_of(const lls_hash128_t *key, pass_t *p, const lls_ops_t *ops, void *backend)
{
    head_t h = { .magic = MAGIC, .key = *key, .bytes = p->bytes };

    ops->run(backend, n_items(p->bytes), do_item, p);
    for (uint32_t i = 0; i < 4; i++)
        h.sum[i] = atomic_load(&p->sum[i]);
    return h;
}

char *lls_packed_path(lls_mem_t *mem, const char *dir, const lls_hash128_t *key)
{
    char name[64];

    snprintf(name, sizeof name, "%016llx%016llx.packed", (unsigned long long)key->hi,
             (unsigned long long)key->lo);
    return lls_path_join(mem, dir, name);
}

llm_status_t lls_packed_read(const char *path, const lls_hash128_t *key, void *to, uint64_t bytes,
                             const lls_ops_t *ops, void *backend, llm_error_t *err)
{
    pass_t       p = { .data = to, .bytes = bytes, .path = path };
    head_t       found, expected;
    llm_status_t st = lls_open_exact(path, sizeof found + bytes, &p.fd, err);

    if (st != LLM_OK)
        return st;
    st = lls_read_at(p.fd, path, 0, &found, sizeof found, err);
    if (st == LLM_OK)
        expected = head_of(key, &p, ops, backend);
    lls_close(p.fd);
    if (st == LLM_OK && atomic_load(&p.n_unread) > 0)
        st = lls_fail(err, LLM_ERR_IO, "%s: cannot be read to its end", path);
    if (st == LLM_OK && memcmp(&found, &expected, sizeof found) != 0)
        st = lls_fail(err, LLM_ERR_FORMAT, "%s: not what was written there", path);
    return st;
}

llm_status_t lls_packed_write(lls_mem_t *mem, const char *path, const lls_hash128_t *key,
                              const void *from, uint64_t bytes, const lls_ops_t *ops,
                              void *backend, llm_error_t *err)
{
    pass_t p = { .data = (uint8_t *)(uintptr_t)from, .bytes = bytes };
    head_t h = head_of(key, &p, ops, backend);

    return lls_write_whole(mem, path, &h, sizeof h, from, bytes, err);
}
