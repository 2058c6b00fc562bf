/* SPDX-License-Identifier: Apache-2.0 */
#include "text/decoder.h"

#include "base/utf8.h"

void lls_decoder_init(lls_decoder_t *d, lls_mem_t *mem)
{
    memset(d, 0, sizeof *d);
    d->mem = d->bytes.mem = mem;
}

void lls_decoder_deinit(lls_decoder_t *d)
{
    if (d->mem == NULL)
        return;
    for (size_t i = 0; i < d->n_replaces; i++) {
        lls_free(d->mem, d->replaces[i].from);
        lls_free(d->mem, d->replaces[i].to);
    }
    lls_free(d->mem, d->replaces);
    lls_free(d->mem, d->entries);
    lls_buf_deinit(&d->bytes);
    memset(d, 0, sizeof *d);
}

bool lls_decoder_add_replace(lls_decoder_t *d, const char *from, size_t from_len, const char *to,
                             size_t to_len)
{
    lls_replace_t *r;

    if (!lls_reserve(d->mem, (void **)&d->replaces, &d->replaces_cap, d->n_replaces + 1, sizeof *r))
        return false;
    r = &d->replaces[d->n_replaces];
    *r = (lls_replace_t){ lls_strndup(d->mem, from, from_len), lls_strndup(d->mem, to, to_len),
                          from_len, to_len };
    d->n_replaces++;
    return r->from != NULL && r->to != NULL;
}

/* ---- What an id gives ------------------------------------------------------------------------ */

static bool replace_all(const lls_replace_t *r, lls_buf_t *text, lls_buf_t *spare)
{
    lls_buf_t old = *text;
    size_t    i = 0;

    spare->len = 0;
    while (i < old.len) {
        const char *at = memmem(old.data + i, old.len - i, r->from, r->from_len);
        size_t      end = at != NULL ? (size_t)(at - old.data) : old.len;

        if (!lls_buf_put(spare, old.data + i, end - i) ||
            (at != NULL && !lls_buf_put(spare, r->to, r->to_len)))
            return false;
        i = end + (at != NULL ? r->from_len : 0);
    }
    *text = *spare;
    *spare = old;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int byte_of_token(const lls_buf_t *text)
{
    const char *p = text->data;

    if (text->len != 6 || memcmp(p, "<0x", 3) != 0 || p[5] != '>' || hex_value(p[3]) < 0 ||
        hex_value(p[4]) < 0)
        return -1;
    return hex_value(p[3]) * 16 + hex_value(p[4]);
}

static bool put_entry(lls_decoder_t *d, uint32_t id, lls_buf_t *text, lls_buf_t *spare,
                      uint32_t flags)
{
    lls_dec_entry_t *e = &d->entries[id];
    int              byte;

    for (size_t i = 0; i < d->n_replaces; i++)
        if (!replace_all(&d->replaces[i], text, spare))
            return false;
    byte = d->byte_fallback ? byte_of_token(text) : -1;
    if (byte >= 0) {
        flags |= LLS_DEC_BYTE;
        text->data[0] = (char)byte;
        text->len = 1;
    }
    *e = (lls_dec_entry_t){ (uint32_t)d->bytes.len, (uint32_t)text->len, flags | LLS_DEC_USED };
    return d->bytes.len <= UINT32_MAX - text->len && lls_buf_put(&d->bytes, text->data, text->len);
}

static bool put_added(lls_decoder_t *d, const lls_added_token_t *t, lls_buf_t *text,
                      lls_buf_t *spare)
{
    size_t n;

    text->len = 0;
    if (!lls_buf_put(text, t->content, t->len) || !lls_buf_room(text, t->len))
        return false;
    if (d->kind == LLS_DECODER_BYTES &&
        lls_bytes_of_spelling(t->content, t->len, text->data + t->len, &n)) {
        memmove(text->data, text->data + t->len, n);
        text->len = n;
    }
    return put_entry(d, (uint32_t)t->id, text, spare, t->special ? LLS_DEC_SPECIAL : 0);
}

bool lls_decoder_seal(lls_decoder_t *d, const lls_vocab_t *vocab, const lls_added_t *added)
{
    lls_buf_t text = { d->mem, NULL, 0, 0 }, spare = { d->mem, NULL, 0, 0 };
    bool      ok;

    d->n = vocab->n;
    for (size_t i = 0; i < added->n; i++)
        if ((uint32_t)added->tokens[i].id >= d->n)
            d->n = (uint32_t)added->tokens[i].id + 1;
    d->entries = lls_calloc(d->mem, d->n == 0 ? 1 : d->n, sizeof *d->entries);
    ok = d->entries != NULL && lls_buf_room(&text, 16) && lls_buf_room(&d->bytes, vocab->bytes.len);
    for (uint32_t id = 0; ok && id < vocab->n; id++) {
        size_t      len;
        const char *bytes = lls_vocab_bytes(vocab, id, &len);

        text.len = 0;
        if (vocab->entries[id].used)
            ok = lls_buf_put(&text, bytes, len) && put_entry(d, id, &text, &spare, 0);
    }
    for (size_t i = 0; ok && i < added->n; i++)
        ok = put_added(d, &added->tokens[i], &text, &spare);
    lls_buf_deinit(&text);
    lls_buf_deinit(&spare);
    return ok;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

size_t lls_ill_formed_len(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    uint8_t        lo = 0x80, hi = 0xbf;
    size_t         need = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1, n = 1;

    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 1;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    while (n < len && n <= need && p[n] >= lo && p[n] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        n++;
    }
    return n;
}

bool lls_put_lossy(lls_buf_t *out, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t good = lls_utf8_valid(bytes, len), bad;

        if (!lls_buf_put(out, bytes, good))
            return false;
        bytes += good;
        len -= good;
        if (len == 0)
            break;
        bad = lls_ill_formed_len(bytes, len);
        if (!lls_buf_put(out, LLS_REPLACEMENT, 3))
            return false;
        bytes += bad;
        len -= bad;
    }
    return true;
}

/* The byte tokens from out->data + from: their text, or U+FFFD for each. */
static bool end_run(lls_buf_t *out, size_t from)
{
    size_t n = out->len - from;

    if (lls_utf8_valid(out->data + from, n) == n)
        return true;
    out->len = from;
    for (size_t i = 0; i < n; i++)
        if (!lls_buf_put(out, LLS_REPLACEMENT, 3))
            return false;
    return true;
}

static void strip_start(const lls_decoder_t *d, lls_buf_t *out, size_t from)
{
    char   c[4];
    size_t n = lls_utf8_encode(d->strip_char, c), at = from;

    for (uint32_t i = 0; i < d->strip_n; i++)
        if (out->len - at >= n && memcmp(out->data + at, c, n) == 0)
            at += n;
    if (at != from)
        memmove(out->data + from, out->data + at, out->len - at);
    out->len -= at - from;
}

static bool run_fallback(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip,
                         lls_buf_t *out)
{
    size_t start = out->len, run = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);
        bool                   byte;

        if (e == NULL || (skip && (e->flags & LLS_DEC_SPECIAL) != 0))
            continue;
        byte = (e->flags & LLS_DEC_BYTE) != 0;
        if (!byte && run != SIZE_MAX) {
            if (!end_run(out, run))
                return false;
            run = SIZE_MAX;
        } else if (byte && run == SIZE_MAX) {
            run = out->len;
        }
        if (!lls_buf_put(out, d->bytes.data + e->off, e->len))
            return false;
    }
    if (run != SIZE_MAX && !end_run(out, run))
        return false;
    if (d->strip_n != 0 && out->len != start)
        strip_start(d, out, start);
    return true;
}

static bool run_bytes(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip,
                      lls_buf_t *out)
{
    lls_buf_t raw = { out->mem, NULL, 0, 0 };
    bool      ok = true;

    for (size_t i = 0; ok && i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);

        if (e != NULL && !(skip && (e->flags & LLS_DEC_SPECIAL) != 0))
            ok = lls_buf_put(&raw, d->bytes.data + e->off, e->len);
    }
    ok = ok && lls_put_lossy(out, raw.data, raw.len);
    lls_buf_deinit(&raw);
    return ok;
}

bool lls_decoder_run(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip_special,
                     lls_buf_t *out)
{
    return d->kind == LLS_DECODER_BYTES ? run_bytes(d, ids, n, skip_special, out)
                                        : run_fallback(d, ids, n, skip_special, out);
}
