/* SPDX-License-Identifier: Apache-2.0 */
#include "text/detok.h"

#include "base/utf8.h"
#include "text/detok_window.h"
#include "text/tokenizer_int.h"

/*
 * Why this equals a DecodeStream, which decodes a window of ids again and again.  The window is
 * what was put out last (A) and what came since (B). BYTES: A ends with a whole character, so
 * decode(A + B) = decode(A) + decode(B), and B's bytes are all that must be kept. FALLBACK: the
 * same holds but for byte tokens at the border.  If A ends in byte tokens and B begins with some,
 * they are one run, which was good until A's end.  If B's part is ill-formed, all of it becomes
 * U+FFFD, A's part too; what was put out is then no prefix any more (broken).  At the id after
 * which text would go out again, vLLM starts an empty stream with that id: B is lost, and a leading
 * blank goes. Where A is the one blank that the chain strips, the prefix is empty and nothing
 * breaks; A's U+FFFD then goes out with B's.  PIECES: texts of tokens follow each other, and A has
 * a token, so B has no first one.  CHAIN: the window itself, in detok_window.c.
 */

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the text of a request");
}

static const lls_decoder_t *decoder_of(const lls_detok_t *d)
{
    return &d->tokenizer->decoder;
}

static bool room(lls_detok_t *d, size_t n)
{
    size_t used = d->len + d->held;

    return d->cap - used >= n || lls_reserve(d->mem, (void **)&d->text, &d->cap, used + n, 1);
}

llm_status_t lls_detok_reserve(lls_detok_t *d, size_t bytes, llm_error_t *err)
{
    return room(d, bytes) ? LLM_OK : no_memory(err);
}

/* Whether the text that ends at p + len ends in U+FFFD once it is decoded: a cut-off or ill-formed
 * tail, or the character itself.  A lead byte always starts afresh, so the last few bytes decide.
 */
static bool ends_replaced(const char *p, size_t len)
{
    uint32_t cp;

    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (((uint8_t)p[len - n] & 0xc0) == 0x80)
            continue;
        return lls_utf8_decode(p + len - n, n, &cp) != n || cp == 0xfffd;
    }
    return len != 0;
}

/* The held bytes, whole now, become text: an ill-formed part in U+FFFD, which may be longer. */
static void take_lossy(lls_detok_t *d)
{
    char  *held = d->text + d->len;
    size_t n_parts = 0, good, at, to;

    for (at = 0; (good = lls_utf8_valid(held + at, d->held - at)) != d->held - at; n_parts++)
        at += good + lls_ill_formed_len(held + at + good, d->held - at - good);
    if (n_parts != 0) {                     /* the room for it was made by push */
        size_t shift = n_parts * 3;

        memmove(held + shift, held, d->held);
        for (at = shift, to = 0; at < shift + d->held;) {
            size_t left = shift + d->held - at;

            good = lls_utf8_valid(held + at, left);
            memmove(held + to, held + at, good);
            at += good;
            to += good;
            if (good == left)
                break;
            at += lls_ill_formed_len(held + at, left - good);
            memcpy(held + to, LLS_REPLACEMENT, 3);
            to += 3;
        }
        d->held = to;
    }
    d->len += d->held;
    d->held = 0;
}

static void push_bytes(lls_detok_t *d, const char *bytes, size_t len)
{
    memcpy(d->text + d->len + d->held, bytes, len);
    d->held += len;
    if (!ends_replaced(d->text + d->len, d->held))
        take_lossy(d);
}

/* Bytes that the chain strips from the text at its start. */
static size_t strip_len(const lls_detok_t *d)
{
    const lls_decoder_t *dec = decoder_of(d);
    size_t               n = dec->strip_len, cut = 0;

    for (uint32_t i = 0; d->at_start && i < dec->strip_n; i++)
        if (d->held - cut >= n && memcmp(d->text + d->len + cut, dec->strip_char, n) == 0)
            cut += n;
    return cut;
}

static bool is_strip_char(const lls_detok_t *d, const char *text, size_t len)
{
    const lls_decoder_t *dec = decoder_of(d);

    return dec->strip_n != 0 && len == dec->strip_len && memcmp(text, dec->strip_char, len) == 0;
}

/* Held text that ends well goes out, unless all of it is stripped. */
static void take_text(lls_detok_t *d)
{
    size_t cut = strip_len(d);

    if (d->held == cut)
        return;
    d->held -= cut;
    memmove(d->text + d->len, d->text + d->len + cut, d->held);
    d->at_start = false;
    d->after_run = d->n_run != 0;
    d->blank_run = d->after_run && is_strip_char(d, d->text + d->len, d->held);
    d->len += d->held;
    d->held = 0;
    d->n_run = 0;
}

static bool run_is_good(const lls_detok_t *d)
{
    const char *run = d->text + d->len + d->held - d->n_run;

    return lls_utf8_valid(run, d->n_run) == d->n_run;
}

/* Text follows: a bad run before it is one U+FFFD for each of its bytes. */
static void end_run(lls_detok_t *d)
{
    char *run = d->text + d->len + d->held - d->n_run;

    if (!run_is_good(d)) {
        size_t n = d->n_run + (d->blank_run ? 1 : 0);

        d->broken = d->broken || (d->after_run && !d->blank_run);
        for (size_t i = 0; i < n; i++)
            memcpy(run + i * 3, LLS_REPLACEMENT, 3);
        d->held += n * 3 - d->n_run;
    }
    d->n_run = 0;
    d->after_run = d->blank_run = false;
}

/* True if the text would go out now. */
static bool append(lls_detok_t *d, const char *bytes, size_t len, bool byte_token)
{
    if (!byte_token)
        end_run(d);
    memcpy(d->text + d->len + d->held, bytes, len);
    d->held += len;
    d->n_run += byte_token;
    return !ends_replaced(d->text + d->len, d->held) && run_is_good(d);
}

static void push_fallback(lls_detok_t *d, const char *bytes, size_t len, bool byte_token)
{
    bool whole = append(d, bytes, len, byte_token);

    if (whole && d->broken) {               /* the stream starts again with this id */
        d->held = 0;
        d->n_run = 0;
        d->at_start = true;
        d->after_run = d->blank_run = d->broken = false;
        whole = append(d, bytes, len, byte_token);
    }
    if (whole)
        take_text(d);
}

/* No rules between tokens but which is the first. */
static void push_piece(lls_detok_t *d, const char *bytes, size_t len)
{
    d->at_start = false;
    memcpy(d->text + d->len + d->held, bytes, len);
    d->held += len;
    if (!ends_replaced(d->text + d->len, d->held)) {
        d->len += d->held;
        d->held = 0;
    }
}

llm_status_t lls_detok_push(lls_detok_t *d, int32_t id, llm_error_t *err)
{
    const lls_decoder_t   *dec = decoder_of(d);
    const lls_dec_entry_t *e = lls_decoder_entry(dec, id);
    const char            *bytes;

    if (e == NULL || (d->skip_special && (e->flags & LLS_DEC_SPECIAL) != 0))
        return LLM_OK;
    if (dec->kind == LLS_DECODER_CHAIN)
        return lls_detok_window_push(d, id, err);
    if (dec->kind == LLS_DECODER_PIECES && d->at_start)
        e = &dec->firsts[id];
    /* Each held byte may become a U+FFFD, and take_lossy() shifts by as much. */
    if (!room(d, (size_t)e->len + (d->held + e->len) * 3 + 4))
        return no_memory(err);
    bytes = dec->bytes.data + e->off;
    if (dec->kind == LLS_DECODER_BYTES)
        push_bytes(d, bytes, e->len);
    else if (dec->kind == LLS_DECODER_PIECES)
        push_piece(d, bytes, e->len);
    else
        push_fallback(d, bytes, e->len, (e->flags & LLS_DEC_BYTE) != 0);
    return LLM_OK;
}

/* Where to begin in the prompt, so that what follows does not depend on what came before: at some
 * text a few tokens from its end. */
static size_t prompt_start(const lls_detok_t *d, const int32_t *prompt, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        const lls_dec_entry_t *e = lls_decoder_entry(decoder_of(d), prompt[i - 1]);

        if (n - i >= 8 && e != NULL && e->len > 1 &&
            (e->flags & (LLS_DEC_SPECIAL | LLS_DEC_BYTE)) == 0)
            return i - 1;
    }
    return 0;
}

llm_status_t lls_detok_init(lls_detok_t *d, const lls_tokenizer_t *t, lls_mem_t *mem,
                            const int32_t *prompt, size_t n_prompt, bool skip_special,
                            llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    memset(d, 0, sizeof *d);
    d->tokenizer = t;
    d->mem = mem;
    d->skip_special = skip_special;
    d->at_start = true;
    if (decoder_of(d)->kind == LLS_DECODER_CHAIN)
        return lls_detok_window_init(d, prompt, n_prompt, err);
    for (size_t i = prompt_start(d, prompt, n_prompt); st == LLM_OK && i < n_prompt; i++) {
        st = lls_detok_push(d, prompt[i], err);
        if (d->held != 0 && d->len != 0)                    /* the prompt's text is not ours */
            memmove(d->text, d->text + d->len, d->held);
        d->len = 0;
    }
    d->blank_run = false;                   /* what was put out last is all of the prompt */
    if (st != LLM_OK)
        lls_detok_deinit(d);
    return st;
}

void lls_detok_deinit(lls_detok_t *d)
{
    if (d->mem != NULL) {
        lls_free(d->mem, d->text);
        lls_detok_window_destroy(d->window);
    }
    memset(d, 0, sizeof *d);
}

llm_status_t lls_detok_copy(lls_detok_t *to, const lls_detok_t *from, llm_error_t *err)
{
    *to = *from;
    to->text = NULL;
    to->window = NULL;
    to->cap = 0;
    if (from->window != NULL) {
        to->window = lls_detok_window_copy(from->window);
        if (to->window == NULL) {
            memset(to, 0, sizeof *to);
            return no_memory(err);
        }
    }
    if (from->cap == 0)
        return LLM_OK;
    to->text = lls_alloc(from->mem, from->cap);
    if (to->text == NULL) {
        lls_detok_window_destroy(to->window);
        memset(to, 0, sizeof *to);
        return no_memory(err);
    }
    memcpy(to->text, from->text, from->len + from->held);
    to->cap = from->cap;
    return LLM_OK;
}
