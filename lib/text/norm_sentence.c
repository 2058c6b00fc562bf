/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece's normalizer: the longest rule of the charsmap at each place, user-defined pieces
 * kept as they are, blanks at the ends and next to each other dropped, one put before the text, and
 * all of them written as U+2581.
 */
#include "text/normalizer.h"

#include "base/utf8.h"

#define BLANK "\xe2\x96\x81"

/* The next part of the source, normalized; the bytes of the source that it came from. */
static size_t next_part(const lls_norm_t *s, const lls_normed_t *in, size_t at, const char **to,
                        size_t *to_len)
{
    const char *text = in->text + at;
    size_t      len = in->len - at, n = 0;
    uint32_t    cp;
    int32_t     id;

    if (s->user != NULL)
        n = lls_datrie_longest(s->user, text, len, &id);
    if (n == 0) {
        n = lls_charsmap_find(&s->charsmap, text, len, true, to, to_len);
        if (n != 0)
            return n;
        n = lls_utf8_decode(text, len, &cp);
    }
    *to = text;
    *to_len = n;
    return n;
}

static bool put_part(const lls_norm_t *s, const lls_normed_t *in, size_t at, const char *p,
                     size_t len, lls_buf_t *text, lls_buf_t *mark)
{
    uint8_t flag = lls_norm_mark(in, at);

    for (size_t i = 0; i < len; i++) {
        bool blank = p[i] == ' ' && s->escape;

        if (!lls_norm_emit(text, mark, in, blank ? BLANK : p + i, blank ? 3 : 1, flag))
            return false;
    }
    return true;
}

static void drop_end(const lls_norm_t *s, const lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    const char *blank = s->escape ? BLANK : " ";
    size_t      n = strlen(blank);

    while (text->len >= n && memcmp(text->data + text->len - n, blank, n) == 0) {
        text->len -= n;
        if (in->mark != NULL)
            mark->len -= n;
    }
}

bool lls_norm_sentence(const lls_norm_t *s, lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    const char *to = NULL;
    size_t      at = 0, n, len = 0;
    bool        after_blank = s->trim;

    while (s->trim && at < in->len) {
        n = next_part(s, in, at, &to, &len);
        if (len != 1 || to[0] != ' ')
            break;
        at += n;
    }
    if (at == in->len)
        return true;
    if (s->dummy && !put_part(s, in, at, " ", 1, text, mark))
        return false;
    for (; at < in->len; at += n) {
        n = next_part(s, in, at, &to, &len);
        for (; after_blank && len != 0 && to[0] == ' '; len--)
            to++;
        if (len == 0)
            continue;
        if (!put_part(s, in, at, to, len, text, mark))
            return false;
        after_blank = s->trim && to[len - 1] == ' ';
    }
    if (s->trim)
        drop_end(s, in, text, mark);
    return true;
}
