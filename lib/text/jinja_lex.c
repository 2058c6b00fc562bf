/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template text to tokens, with Jinja2's whitespace control: trim_blocks takes one newline behind a
 * block, lstrip_blocks the blanks before a block on its line, '-' all blanks on its side.
 */
#include "text/jinja_int.h"

#include <stdio.h>

#include "base/utf8.h"
#include "text/uniclass.h"

typedef struct lexer {
    lls_jinja_t *j;
    llm_error_t *err;
    size_t       at;
    uint32_t     line;
    bool         line_start;        /* what came last ended with a newline */
} lexer_t;

llm_status_t lls_jinja_fail(llm_error_t *err, llm_status_t status, uint32_t line, const char *fmt,
                            ...)
{
    char    text[320];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lls_fail(err, status, "chat template, line %u: %s", line, text);
}

static llm_status_t no_memory(const lexer_t *x)
{
    return lls_fail(x->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
}

static bool put_token(lexer_t *x, lls_jtok_t t)
{
    lls_jinja_t *j = x->j;

    if (!lls_reserve(j->mem, (void **)&j->toks, &j->toks_cap, j->n_toks + 1, sizeof *j->toks))
        return false;
    j->toks[j->n_toks++] = t;
    return true;
}

static const char *src(const lexer_t *x)
{
    return x->j->text.data;
}

static size_t end_of(const lexer_t *x)
{
    return x->j->source_len;
}

static bool looking_at(const lexer_t *x, const char *what)
{
    size_t n = strlen(what);

    return end_of(x) - x->at >= n && memcmp(src(x) + x->at, what, n) == 0;
}

static void skip(lexer_t *x, size_t n)
{
    for (; n > 0; n--)
        x->line += src(x)[x->at++] == '\n';
}

static size_t blank_at(const char *p, size_t len)
{
    uint32_t cp;
    size_t   n = len != 0 ? lls_utf8_decode(p, len, &cp) : 0;

    /* Python's \s has four separators more than Unicode's white space. */
    return n != 0 && ((cp >= 0x1c && cp <= 0x1f) || (lls_uniclass_search(cp) & LLS_UC_SPACE)) ? n
                                                                                              : 0;
}

static void skip_blanks(lexer_t *x)
{
    size_t n;

    while ((n = blank_at(src(x) + x->at, end_of(x) - x->at)) != 0)
        skip(x, n);
}

static size_t strip_right(const char *p, size_t len)
{
    while (len > 0) {
        size_t i = len;
        do
            i--;
        while (i > 0 && ((uint8_t)p[i] & 0xc0) == 0x80);
        if (blank_at(p + i, len - i) != len - i)
            break;
        len = i;
    }
    return len;
}

/* The text before a tag at x->at, from begin. */
static bool put_text(lexer_t *x, size_t begin, size_t end, uint32_t line, char sign, bool is_output)
{
    const char *p = src(x) + begin;
    size_t      len = end - begin, from = len;

    if (sign == '-') {
        len = strip_right(p, len);
    } else if (sign != '+' && !is_output) {
        while (from > 0 && p[from - 1] != '\n')
            from--;
        if ((from > 0 || x->line_start) && strip_right(p + from, len - from) == 0)
            len = from;
    }
    return len == 0 ||
           put_token(x, (lls_jtok_t){JT_TEXT, line, (uint32_t)begin, (uint32_t)len, ""});
}

/* Behind %} or #}: trim_blocks.  x->at is at the sign or the end mark. */
static void close_tag(lexer_t *x, bool is_output)
{
    char   sign = src(x)[x->at];
    size_t begin = x->at;

    skip(x, sign == '-' || sign == '+' ? 3 : 2);
    if (sign == '-')
        skip_blanks(x);
    else if (sign != '+' && !is_output && x->at < end_of(x) && src(x)[x->at] == '\n')
        skip(x, 1);
    x->line_start = x->at > begin && src(x)[x->at - 1] == '\n';
}

static llm_status_t skip_comment(lexer_t *x)
{
    uint32_t line = x->line;
    size_t   sign;

    skip(x, 2);
    while (x->at < end_of(x) && !looking_at(x, "#}"))
        skip(x, 1);
    if (x->at >= end_of(x))
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the comment does not end");
    sign = x->at - 1;
    if (src(x)[sign] == '-' || src(x)[sign] == '+')
        x->at = sign;
    close_tag(x, false);
    return LLM_OK;
}

/* ---- Inside a tag ---------------------------------------------------------------------------- */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static llm_status_t lex_name(lexer_t *x)
{
    size_t begin = x->at;

    while (x->at < end_of(x) && (is_name_start(src(x)[x->at]) || is_digit(src(x)[x->at])))
        x->at++;
    return put_token(x,
                     (lls_jtok_t){JT_NAME, x->line, (uint32_t)begin, (uint32_t)(x->at - begin), ""})
               ? LLM_OK
               : no_memory(x);
}

static llm_status_t lex_number(lexer_t *x)
{
    size_t  begin = x->at, n = end_of(x);
    uint8_t kind = JT_INT;

    while (x->at < n && (is_digit(src(x)[x->at]) || src(x)[x->at] == '_'))
        x->at++;
    if (x->at + 1 < n && src(x)[x->at] == '.' && is_digit(src(x)[x->at + 1])) {
        kind = JT_FLOAT;
        x->at++;
        while (x->at < n && is_digit(src(x)[x->at]))
            x->at++;
    }
    return put_token(x, (lls_jtok_t){kind, x->line, (uint32_t)begin, (uint32_t)(x->at - begin), ""})
               ? LLM_OK
               : no_memory(x);
}

static int hex_digits(const char *p, size_t n, uint32_t *cp)
{
    *cp = 0;
    for (size_t i = 0; i < n; i++) {
        char c = (char)(p[i] | 32);
        if (!is_digit(p[i]) && !(c >= 'a' && c <= 'f'))
            return 0;
        *cp = *cp * 16 + (uint32_t)(is_digit(p[i]) ? p[i] - '0' : c - 'a' + 10);
    }
    return *cp <= 0x10ffff && !(*cp >= 0xd800 && *cp < 0xe000);
}

/* The escape behind a backslash at p; its length, 0 if there is room for none. */
static size_t unescape(const char *p, size_t len, lls_buf_t *out)
{
    static const char from[] = "ntr\\'\"abfv0", to[] = "\n\t\r\\'\"\a\b\f\v";
    const char *at = len != 0 ? memchr(from, p[0], sizeof from - 1) : NULL;
    size_t      n = len != 0 ? (p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : p[0] == 'U' ? 8 : 0) : 0;
    uint32_t    cp;
    char        bytes[4];

    if (len == 0)
        return 0;
    if (p[0] == '\n')
        return 1;
    if (at != NULL)
        return lls_buf_put(out, &to[at - from], 1) ? 1 : 0;
    if (n != 0 && len > n && hex_digits(p + 1, n, &cp))
        return lls_buf_put(out, bytes, lls_utf8_encode(cp, bytes)) ? n + 1 : 0;
    return lls_buf_put(out, "\\", 1) && lls_buf_put(out, p, 1) ? 1 : 0;
}

static llm_status_t lex_string(lexer_t *x)
{
    lls_buf_t *b = &x->j->text;
    char       quote = src(x)[x->at];
    uint32_t   line = x->line;
    size_t     off = b->len;

    for (skip(x, 1); x->at < end_of(x) && src(x)[x->at] != quote;) {
        size_t n = 1;

        if (!lls_buf_room(b, 8))
            return no_memory(x);
        if (src(x)[x->at] == '\\') {
            skip(x, 1);
            n = unescape(src(x) + x->at, end_of(x) - x->at, b);
        } else {
            b->data[b->len++] = src(x)[x->at];
        }
        if (n == 0)
            break;
        skip(x, n);
    }
    if (x->at >= end_of(x) || src(x)[x->at] != quote)
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the string does not end");
    skip(x, 1);
    return put_token(x, (lls_jtok_t){JT_STRING, line, (uint32_t)off, (uint32_t)(b->len - off), ""})
               ? LLM_OK
               : no_memory(x);
}

static llm_status_t lex_operator(lexer_t *x, int *nesting)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*",
                                      "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                      "]",  "{",  "}",  ",",  ".",  ":",  "|"};
    lls_jtok_t t = { .kind = JT_OP, .line = x->line, .off = (uint32_t)x->at };

    for (size_t i = 0; i < LLS_ARRAY_LEN(ops); i++) {
        if (!looking_at(x, ops[i]))
            continue;
        t.len = (uint32_t)strlen(ops[i]);
        memcpy(t.op, ops[i], t.len);
        if (strchr("([{", t.op[0]) != NULL)
            ++*nesting;
        else if (strchr(")]}", t.op[0]) != NULL && *nesting > 0)
            --*nesting;
        x->at += t.len;
        return put_token(x, t) ? LLM_OK : no_memory(x);
    }
    return lls_jinja_fail(x->err, LLM_ERR_FORMAT, x->line, "unexpected character '%.1s'",
                          src(x) + x->at);
}

static bool at_end(const lexer_t *x, bool is_output)
{
    if (is_output)
        return looking_at(x, "}}") || looking_at(x, "-}}");
    return looking_at(x, "%}") || looking_at(x, "-%}") || looking_at(x, "+%}");
}

static llm_status_t lex_tag(lexer_t *x, bool is_output)
{
    uint32_t     line = x->line;
    int          nesting = 0;
    llm_status_t st = LLM_OK;
    char         sign;

    skip(x, 2);
    sign = x->at < end_of(x) ? src(x)[x->at] : 0;
    if (sign == '-' || sign == '+')
        skip(x, 1);
    if (!put_token(x, (lls_jtok_t){ is_output ? JT_OUTPUT : JT_BLOCK, line, 0, 0, "" }))
        return no_memory(x);
    while (st == LLM_OK) {
        char c;

        skip_blanks(x);
        if (x->at >= end_of(x))
            return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the tag does not end");
        if (nesting == 0 && at_end(x, is_output))
            break;
        c = src(x)[x->at];
        if (is_name_start(c))
            st = lex_name(x);
        else if (is_digit(c))
            st = lex_number(x);
        else if (c == '"' || c == '\'')
            st = lex_string(x);
        else
            st = lex_operator(x, &nesting);
    }
    if (st != LLM_OK)
        return st;
    if (!put_token(x, (lls_jtok_t){ is_output ? JT_OUTPUT_END : JT_BLOCK_END, x->line, 0, 0, "" }))
        return no_memory(x);
    close_tag(x, is_output);
    return LLM_OK;
}

static llm_status_t lex_part(lexer_t *x)
{
    size_t   begin = x->at;
    uint32_t line = x->line;
    char     kind, sign;

    while (x->at < end_of(x) && !looking_at(x, "{{") && !looking_at(x, "{%") &&
           !looking_at(x, "{#"))
        skip(x, 1);
    if (x->at >= end_of(x))
        return put_text(x, begin, x->at, line, '+', true) ? LLM_OK : no_memory(x);
    kind = src(x)[x->at + 1];
    sign = x->at + 2 < end_of(x) ? src(x)[x->at + 2] : 0;
    if (!put_text(x, begin, x->at, line, sign, kind == '{'))
        return no_memory(x);
    return kind == '#' ? skip_comment(x) : lex_tag(x, kind == '{');
}

llm_status_t lls_jinja_lex(lls_jinja_t *j, llm_error_t *err)
{
    lexer_t      x = { j, err, 0, 1, true };
    llm_status_t st = LLM_OK;

    while (st == LLM_OK && x.at < end_of(&x))
        st = lex_part(&x);
    if (st == LLM_OK && !put_token(&x, (lls_jtok_t){ JT_EOF, x.line, 0, 0, "" }))
        st = no_memory(&x);
    return st;
}
