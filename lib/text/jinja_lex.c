/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template text to tokens, with Jinja2's whitespace control: trim_blocks takes one newline behind a
 * block, lstrip_blocks the blanks before a block on its line, '-' all blanks on its side.
 */
#include "text/jinja_int.h"

#include <stdio.h>

#include "base/utf8.h"
#include "text/uniclass.h"

#define MAX_BRACKETS 256

typedef struct lexer {
    lls_jinja_t *j;
    llm_error_t *err;
    size_t       at;
    uint32_t     line;
    bool         line_start;            /* what came last ended with a newline */
    char         closing[MAX_BRACKETS]; /* the brackets that are open want these */
    size_t       n_closing;
} lexer_t;

static llm_status_t no_memory(const lexer_t *x)
{
    return lls_fail(x->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
}

static llm_status_t put_token(lexer_t *x, uint8_t kind, uint32_t line, size_t off, size_t len)
{
    lls_jinja_t *j = x->j;

    if (!lls_reserve(j->mem, (void **)&j->toks, &j->toks_cap, j->n_toks + 1, sizeof *j->toks))
        return no_memory(x);
    j->toks[j->n_toks++] =
        (lls_jtok_t){.kind = kind, .line = line, .off = (uint32_t)off, .len = (uint32_t)len};
    return LLM_OK;
}

static const char *src(const lexer_t *x) { return x->j->text.data; }

static size_t left(const lexer_t *x) { return x->j->source_len - x->at; }

static char peek(const lexer_t *x, size_t ahead)
{
    return left(x) > ahead ? src(x)[x->at + ahead] : '\0';
}

static bool looking_at(const lexer_t *x, const char *what)
{
    size_t n = strlen(what);

    return left(x) >= n && memcmp(src(x) + x->at, what, n) == 0;
}

static void skip(lexer_t *x, size_t n)
{
    for (; n > 0; n--)
        x->line += src(x)[x->at++] == '\n';
}

static void skip_blanks(lexer_t *x)
{
    size_t n;

    while ((n = lls_jinja_blank(src(x) + x->at, left(x))) != 0)
        skip(x, n);
}

static size_t strip_right(const char *p, size_t len)
{
    while (len > 0) {
        size_t i = len;

        do
            i--;
        while (i > 0 && ((uint8_t)p[i] & 0xc0) == 0x80);
        if (lls_jinja_blank(p + i, len - i) != len - i)
            break;
        len = i;
    }
    return len;
}

/* The text before a tag, from begin to end; sign is the tag's. */
static llm_status_t put_text(lexer_t *x, size_t begin, size_t end, uint32_t line, char sign,
                             bool is_output)
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
    return len == 0 ? LLM_OK : put_token(x, JT_TEXT, line, begin, len);
}

/* x->at is at the end mark of a tag or at the sign before it. */
static void close_tag(lexer_t *x, bool is_output)
{
    size_t begin = x->at;
    char   sign = peek(x, 0);

    skip(x, sign == '-' || sign == '+' ? 3 : 2);
    if (sign == '-')
        skip_blanks(x);
    else if (sign != '+' && !is_output && peek(x, 0) == '\n')
        skip(x, 1);
    x->line_start = x->at > begin && src(x)[x->at - 1] == '\n';
}

static size_t take_sign(lexer_t *x)
{
    size_t n = peek(x, 0) == '-' || peek(x, 0) == '+';

    x->at += n;
    return n;
}

static llm_status_t skip_comment(lexer_t *x)
{
    uint32_t line = x->line;

    skip(x, 2);
    take_sign(x);
    while (left(x) > 0 && !looking_at(x, "#}") && !looking_at(x, "-#}") && !looking_at(x, "+#}"))
        skip(x, 1);
    if (left(x) == 0)
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the comment does not end");
    close_tag(x, false);
    return LLM_OK;
}

/* ---- Inside a tag ---------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Bytes of the character at p if a name may have it. */
static size_t name_char(const char *p, size_t len, bool first)
{
    char     c = len != 0 ? p[0] : '\0';
    uint32_t cp;
    size_t   n;

    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && is_digit(c)))
        return 1;
    if (len == 0 || (uint8_t)c < 0x80)
        return 0;
    n = lls_utf8_decode(p, len, &cp);
    return n != 0 && (lls_uniclass_search(cp) &
                      (first ? LLS_UC_LETTER : LLS_UC_LETTER | LLS_UC_MARK | LLS_UC_NUMBER)) != 0
               ? n
               : 0;
}

static llm_status_t lex_name(lexer_t *x)
{
    size_t begin = x->at, n;

    while ((n = name_char(src(x) + x->at, left(x), x->at == begin)) != 0)
        x->at += n;
    return put_token(x, JT_NAME, x->line, begin, x->at - begin);
}

/* (\d+_)*\d+ at p */
static size_t digits_at(const char *p, size_t len)
{
    size_t n = 0;

    while (n < len && (is_digit(p[n]) || (n != 0 && p[n] == '_' && is_digit(p[n - 1]) &&
                                          n + 1 < len && is_digit(p[n + 1]))))
        n++;
    return n;
}

static size_t float_at(const lexer_t *x)
{
    const char *p = src(x) + x->at;
    size_t      len = left(x), n = digits_at(p, len), more, exp;
    bool        fraction = false;

    if (x->at > 0 && p[-1] == '.')
        return 0;
    if (n < len && p[n] == '.' && (more = digits_at(p + n + 1, len - n - 1)) != 0) {
        n += 1 + more;
        fraction = true;
    }
    if (n < len && (p[n] | 32) == 'e') {
        exp = n + 1;
        exp += exp < len && (p[exp] == '+' || p[exp] == '-');
        more = exp < len ? digits_at(p + exp, len - exp) : 0;
        if (more != 0)
            return exp + more;
    }
    return fraction ? n : 0;
}

static bool digit_of(char c, int base)
{
    char low = (char)(c | 32);

    return base == 16 ? is_digit(c) || (low >= 'a' && low <= 'f') : c >= '0' && c < '0' + base;
}

static size_t int_at(const lexer_t *x)
{
    const char *p = src(x) + x->at;
    size_t      len = left(x), n = 1;
    char        kind = len > 1 ? (char)(p[1] | 32) : '\0';
    int         base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;

    if (p[0] == '0' && base != 10) {
        n = 2 + (len > 2 && p[2] == '_');
        if (n < len && digit_of(p[n], base)) {
            while (n < len && (digit_of(p[n], base) ||
                               (p[n] == '_' && n + 1 < len && digit_of(p[n + 1], base))))
                n++;
            return n;
        }
    }
    n = 1;
    base = p[0] == '0' ? 1 : 10; /* zero is 0, 00 or 0_0 */
    while (n < len &&
           (digit_of(p[n], base) || (p[n] == '_' && n + 1 < len && digit_of(p[n + 1], base))))
        n++;
    return n;
}

static llm_status_t lex_number(lexer_t *x)
{
    size_t  n = float_at(x), begin = x->at;
    uint8_t kind = n != 0 ? JT_FLOAT : JT_INT;

    if (n == 0)
        n = int_at(x);
    x->at += n;
    return put_token(x, kind, x->line, begin, n);
}

static bool hex_digits(const char *p, size_t n, uint32_t *cp)
{
    *cp = 0;
    for (size_t i = 0; i < n; i++) {
        if (!digit_of(p[i], 16))
            return false;
        *cp = *cp * 16 + (uint32_t)(is_digit(p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    }
    return *cp <= 0x10ffff && !(*cp >= 0xd800 && *cp < 0xe000);
}

static size_t put_char(lls_buf_t *out, uint32_t cp, size_t taken)
{
    char bytes[4];

    return lls_buf_put(out, bytes, lls_utf8_encode(cp, bytes)) ? taken : 0;
}

/* Python turns what is not ASCII into escapes before it undoes escapes, so a backslash before such
 * a character is an escaped backslash. */
static size_t unescape_foreign(const char *p, size_t len, lls_buf_t *out)
{
    uint32_t cp = 0;
    size_t   n = lls_utf8_decode(p, len, &cp);
    char     text[16];

    snprintf(text, sizeof text, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return lls_buf_put(out, text, strlen(text)) ? n : 0;
}

/* The escape behind a backslash at p, of len >= 1 bytes; its length, 0 if it is none. */
static size_t unescape(const char *p, size_t len, lls_buf_t *out)
{
    static const char from[] = "ntr\\'\"abfv", to[] = "\n\t\r\\'\"\a\b\f\v";
    const char       *at = memchr(from, p[0], sizeof from - 1);
    size_t            n = p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : p[0] == 'U' ? 8 : 0;
    uint32_t          cp = 0;

    if (p[0] == '\n')
        return 1;
    if ((uint8_t)p[0] >= 0x80)
        return unescape_foreign(p, len, out);
    if (at != NULL)
        return lls_buf_put(out, &to[at - from], 1) ? 1 : 0;
    if (n != 0)
        return len > n && hex_digits(p + 1, n, &cp) ? put_char(out, cp, n + 1) : 0;
    while (n < 3 && n < len && p[n] >= '0' && p[n] <= '7')
        cp = cp * 8 + (uint32_t)(p[n++] - '0');
    if (n != 0)
        return put_char(out, cp, n);
    if (p[0] == 'N')
        return 0;
    return lls_buf_put(out, "\\", 1) && lls_buf_put(out, p, 1) ? 1 : 0;
}

static llm_status_t lex_string(lexer_t *x)
{
    lls_buf_t *b = &x->j->text;
    char       quote = peek(x, 0);
    uint32_t   line = x->line;
    size_t     off = b->len, n;

    for (skip(x, 1); left(x) > 0 && peek(x, 0) != quote; skip(x, n)) {
        if (!lls_buf_room(b, 16))
            return no_memory(x);
        n = 1;
        if (peek(x, 0) != '\\') {
            b->data[b->len++] = peek(x, 0);
            continue;
        }
        skip(x, 1);
        n = left(x) > 0 ? unescape(src(x) + x->at, left(x), b) : 0;
        if (n == 0)
            return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "a wrong escape in a string");
    }
    if (left(x) == 0)
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the string does not end");
    skip(x, 1);
    return put_token(x, JT_STRING, line, off, b->len - off);
}

static llm_status_t balance(lexer_t *x, char c)
{
    bool open = c == '(' || c == '[' || c == '{';

    if (open) {
        if (x->n_closing == MAX_BRACKETS)
            return lls_jinja_fail(x->err, LLM_ERR_UNSUPPORTED, x->line, "%d brackets are open",
                                  MAX_BRACKETS);
        x->closing[x->n_closing++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        return LLM_OK;
    }
    if (strchr(")]}", c) == NULL)
        return LLM_OK;
    if (x->n_closing == 0 || x->closing[--x->n_closing] != c)
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, x->line, "unexpected '%c'", c);
    return LLM_OK;
}

static llm_status_t lex_operator(lexer_t *x)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*",
                                      "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                      "]",  "{",  "}",  ",",  ".",  ":",  "|", ";"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(ops); i++) {
        size_t       n = strlen(ops[i]);
        llm_status_t st;

        if (!looking_at(x, ops[i]))
            continue;
        st = balance(x, ops[i][0]);
        if (st == LLM_OK)
            st = put_token(x, JT_OP, x->line, x->at, n);
        if (st == LLM_OK)
            memcpy(x->j->toks[x->j->n_toks - 1].op, ops[i], n);
        x->at += n;
        return st;
    }
    return lls_jinja_fail(x->err, LLM_ERR_FORMAT, x->line, "unexpected character '%.*s'",
                          (int)lls_utf8_valid(src(x) + x->at, left(x) < 4 ? left(x) : 4),
                          src(x) + x->at);
}

static bool at_end(const lexer_t *x, bool is_output)
{
    if (x->n_closing != 0)
        return false;
    if (is_output)
        return looking_at(x, "}}") || looking_at(x, "-}}");
    return looking_at(x, "%}") || looking_at(x, "-%}") || looking_at(x, "+%}");
}

static llm_status_t lex_tag(lexer_t *x, bool is_output)
{
    uint32_t     line = x->line;
    llm_status_t st;

    skip(x, 2);
    take_sign(x);
    x->n_closing = 0;
    st = put_token(x, is_output ? JT_OUTPUT : JT_BLOCK, line, 0, 0);
    for (skip_blanks(x); st == LLM_OK && !at_end(x, is_output); skip_blanks(x)) {
        char c = peek(x, 0);

        if (left(x) == 0)
            return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the tag does not end");
        if (is_digit(c))
            st = lex_number(x);
        else if (name_char(src(x) + x->at, left(x), true) != 0)
            st = lex_name(x);
        else if (c == '"' || c == '\'')
            st = lex_string(x);
        else
            st = lex_operator(x);
    }
    if (st != LLM_OK)
        return st;
    st = put_token(x, is_output ? JT_OUTPUT_END : JT_BLOCK_END, x->line, 0, 0);
    close_tag(x, is_output);
    return st;
}

/* ---- Outside of tags ------------------------------------------------------------------------- */

/* A tag of the one word at x->at: the bytes of it up to its end mark or the sign before that. */
static size_t one_word_tag(const lexer_t *x, const char *word, bool plus)
{
    lexer_t y = *x;

    y.at += 2;
    take_sign(&y);
    skip_blanks(&y);
    if (!looking_at(&y, word))
        return 0;
    y.at += strlen(word);
    skip_blanks(&y);
    return looking_at(&y, "%}") || looking_at(&y, "-%}") || (plus && looking_at(&y, "+%}"))
               ? y.at - x->at
               : 0;
}

/* {% raw %}: text up to {% endraw %}.  Its begin takes no newline behind it. */
static llm_status_t lex_raw(lexer_t *x, size_t n)
{
    uint32_t     line = x->line, text_line;
    size_t       begin;
    llm_status_t st;

    skip(x, n);
    n = peek(x, 0) == '-' ? 3 : 2;
    skip(x, n);
    if (n == 3)
        skip_blanks(x);
    x->line_start = src(x)[x->at - 1] == '\n';
    begin = x->at;
    text_line = x->line;
    while (left(x) > 0 && !(looking_at(x, "{%") && (n = one_word_tag(x, "endraw", true)) != 0))
        skip(x, 1);
    if (left(x) == 0)
        return lls_jinja_fail(x->err, LLM_ERR_FORMAT, line, "the raw block does not end");
    st = put_text(x, begin, x->at, text_line, peek(x, 2), false);
    skip(x, n);
    close_tag(x, false);
    return st;
}

static llm_status_t lex_part(lexer_t *x)
{
    size_t       begin = x->at, raw;
    uint32_t     line = x->line;
    char         kind;
    llm_status_t st;

    while (left(x) > 0 && !looking_at(x, "{{") && !looking_at(x, "{%") && !looking_at(x, "{#"))
        skip(x, 1);
    if (left(x) == 0)
        return put_text(x, begin, x->at, line, '+', true);
    kind = peek(x, 1);
    st = put_text(x, begin, x->at, line, peek(x, 2), kind == '{');
    if (st != LLM_OK)
        return st;
    if (kind == '#')
        return skip_comment(x);
    raw = kind == '%' ? one_word_tag(x, "raw", false) : 0;
    return raw != 0 ? lex_raw(x, raw) : lex_tag(x, kind == '{');
}

llm_status_t lls_jinja_lex(lls_jinja_t *j, llm_error_t *err)
{
    lexer_t      x = {.j = j, .err = err, .line = 1, .line_start = true};
    llm_status_t st = LLM_OK;

    while (st == LLM_OK && left(&x) > 0)
        st = lex_part(&x);
    return st == LLM_OK ? put_token(&x, JT_EOF, x.line, 0, 0) : st;
}
