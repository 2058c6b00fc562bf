/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_int - what the parts of the dialect parser share.
 *
 * A reader is called with a run of text in its state, takes at least one whole character or changes
 * the state, and returns the bytes taken.  Failing is sticky: after no_memory nothing happens.
 */
#ifndef LLS_TEXT_DIALECT_INT_H
#define LLS_TEXT_DIALECT_INT_H

#include "text/buf.h"
#include "text/dialect.h"

#define DP_MAX_MARKS 24
#define DP_MAX_NAME  256u           /* bytes of a function's name, a key, a header */
#define DP_MAX_HELD  (16u << 20)    /* bytes that wait for a name, or of one typed value */
#define DP_MAX_BLANK 256u           /* bytes of blank space before a call that are dropped */
#define DP_MAX_DEPTH 128u

typedef enum dp_state {
    DP_CONTENT,
    DP_REASONING,
    DP_BETWEEN,                     /* in a section: before, between and behind calls */
    DP_LIST,                        /* the same where calls are objects */
    DP_OBJECT,
    DP_SKIP,
    DP_NAME,
    DP_JSON,
    DP_TAG_NAME,
    DP_PARAMS,
    DP_KEY,
    DP_VALUE,
    DP_PYTHON,
    DP_BARE,
    DP_HEADER,
    DP_N_STATES
} dp_state_t;

typedef struct dp_mark {
    const char *text;
    uint32_t    len;
    uint32_t    mark;
    int32_t     token;              /* the one token that it is; -1 = none */
    uint64_t    seen;               /* of that token, not yet met in the text */
} dp_mark_t;

/* One JSON value, found by its brackets and quotes. */
typedef struct dp_scan {
    uint32_t depth;
    bool     begun, in_string, escaped, scalar;
} dp_scan_t;

/* ---- Types of arguments ---- */

enum {                              /* ORDER schema types */
    DP_NULL = 1, DP_INTEGER = 2, DP_NUMBER = 4, DP_BOOLEAN = 8, DP_OBJECT_TYPE = 16, DP_ARRAY = 32,
    DP_STRING = 64, DP_ANY = 128
};

typedef struct dp_type { char *tool, *key; uint32_t types; } dp_type_t;

typedef struct dp_types {
    lls_mem_t *mem;
    dp_type_t *items;
    size_t     n, cap;
} dp_types_t;

typedef enum dp_object {
    DO_BEGIN, DO_KEY_OR_END, DO_KEY, DO_COLON, DO_VALUE, DO_COMMA
} dp_object_t;

/* Arguments may be a string of JSON that holds the object: "{\"a\": 1}". */
typedef enum dp_wrap { DW_UNKNOWN, DW_QUOTE, DW_NONE, DW_STRING } dp_wrap_t;

typedef enum dp_python {
    PY_CALLS, PY_NAME, PY_PAREN, PY_ARG, PY_KEY, PY_EQUALS, PY_VALUE, PY_OPEN1, PY_OPEN2, PY_STRING,
    PY_ESCAPE, PY_CLOSED, PY_WORD, PY_AFTER
} dp_python_t;

typedef enum dp_bare { BK_KEY, BK_VALUE, BK_WORD, BK_STRING, BK_AFTER } dp_bare_t;

typedef struct dp_event {
    int32_t  kind;
    uint32_t call;
    size_t   at, n;                 /* text in out */
    size_t   id_at;                 /* TOOL_START: a text with a NUL in out */
} dp_event_t;

struct lls_dparse {
    lls_mem_t            *mem;
    const lls_dialect_t  *tools;
    const lls_thinking_t *thinking;
    uint64_t              seed, steps, taken;   /* taken: bytes of the text behind `at` */
    dp_types_t            types;
    dp_mark_t             marks[DP_MAX_MARKS];
    uint32_t              n_marks;
    uint32_t              first[256];           /* marks that begin with a byte, as bits */
    bool                  whole, has_tokens, no_memory, finished, broken, calls_off;

    lls_buf_t  in;                  /* what is not read yet begins at `at` */
    size_t     at;
    char       door[4];             /* a character that is not complete */
    uint32_t   n_door;
    lls_buf_t  undo;                /* the text since the markup began, until a call has a name */
    lls_buf_t  blank;               /* held back: it may stand before a call */
    dp_state_t state;
    bool       at_start;            /* of the content: nothing but blank space so far */
    bool       drop_blank;          /* behind a call */
    bool       left_reasoning;

    /* the call */
    bool       in_call, has_args;
    uint32_t   n_calls, n_section;  /* in all, since the section opened */
    lls_buf_t  name, id;

    /* objects */
    dp_scan_t   scan;
    dp_object_t obj;
    lls_buf_t   key, late;          /* arguments that came before the name */
    bool        have_name, have_args;
    int         value_is;           /* 'n' name, 'a' arguments, 0 other */
    dp_wrap_t   wrap;
    char        escape[6];
    uint32_t    n_escape;

    /* tags */
    uint32_t   types_of_value;
    lls_buf_t  value;               /* what waits to be typed */
    bool       value_begun, quoted, streaming;
    bool       newline;             /* one is held back: it may be the value's last byte */
    uint32_t   n_params;

    /* python */
    dp_python_t py;
    char        quote;
    uint32_t    n_quotes;
    bool        triple, listed, positional;

    /* bare keys */
    dp_bare_t   bare;

    /* python and bare keys */
    uint32_t    n_nest;
    char        nest[DP_MAX_DEPTH]; /* '[' '{', and ':' for a dict that waits for a value */
    bool        nest_first[DP_MAX_DEPTH];

    /* harmony */
    lls_buf_t  header;
    bool       headed;              /* a marker of harmony was seen */

    /* what comes out */
    lls_buf_t   out, raw;
    dp_event_t *events;
    size_t      n_events, cap_events, next_event;
    size_t      whole_events, whole_at; /* where the first reasoning ended: events, offset in raw */
    llm_event_t event;
};

/* ---- dialect.c ---- */

bool   lls_dp_put(lls_dparse_t *p, lls_buf_t *b, const void *data, size_t n);
void   lls_dp_emit(lls_dparse_t *p, int32_t kind, const char *text, size_t n);
void   lls_dp_args(lls_dparse_t *p, const char *text, size_t n);
/* Markup: kept until it is sure that a call is one. */
void   lls_dp_note(lls_dparse_t *p, const char *text, size_t n);
/* What was noted is content. */
void   lls_dp_fail(lls_dparse_t *p);
/* p->name is known.  Then arguments, then the end; "{}" if there were none. */
void   lls_dp_start(lls_dparse_t *p);
void   lls_dp_end(lls_dparse_t *p);
/* Reasoning ends where `at` bytes were taken: what comes behind the first may become content. */
void   lls_dp_reasoning_end(lls_dparse_t *p, size_t at);
bool   lls_dp_has_mark(const lls_dparse_t *p, uint32_t mark);
/* Reads what is in p->in as far as it is certain; all of it if it is the last. */
void   lls_dp_drive(lls_dparse_t *p, bool last);
/* The text ends here, in whatever state. */
void   lls_dp_finish(lls_dparse_t *p);

static inline bool lls_dp_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* A byte inside a character: limits are kept between characters. */
static inline bool lls_dp_is_tail(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* ---- dialect_json.c ---- */

size_t       lls_dp_read_list(lls_dparse_t *p, const char *text, size_t n);
size_t       lls_dp_read_object(lls_dparse_t *p, const char *text, size_t n);
size_t       lls_dp_read_json(lls_dparse_t *p, const char *text, size_t n);
/* A string of JSON with its quotes, as json.dumps(ensure_ascii=False) has it. */
void         lls_dp_quote(lls_dparse_t *p, const char *text, size_t n);
void         lls_dp_escape(lls_dparse_t *p, const char *text, size_t n);

/* ---- dialect_named.c ---- */

size_t lls_dp_read_name(lls_dparse_t *p, const char *text, size_t n);
size_t lls_dp_read_header(lls_dparse_t *p, const char *text, size_t n);
void   lls_dp_named_mark(lls_dparse_t *p, const dp_mark_t *m);
void   lls_dp_harmony_mark(lls_dparse_t *p, const dp_mark_t *m);

/* Without blank space around it. */
void   lls_dp_trim(lls_buf_t *b);

/* ---- dialect_tags.c ---- */

/* One argument of p->types_of_value: a string goes out as it comes, others wait for their end. */
void   lls_dp_value_open(lls_dparse_t *p);
void   lls_dp_value_text(lls_dparse_t *p, const char *text, size_t n);
void   lls_dp_value_close(lls_dparse_t *p);

size_t lls_dp_read_tag_name(lls_dparse_t *p, const char *text, size_t n);
size_t lls_dp_read_key(lls_dparse_t *p, const char *text, size_t n);
size_t lls_dp_read_value(lls_dparse_t *p, const char *text, size_t n);
void   lls_dp_tags_mark(lls_dparse_t *p, const dp_mark_t *m);
void   lls_dp_tags_begin(lls_dparse_t *p);
/* Closes what is open, so that the arguments are JSON. */
void   lls_dp_tags_close(lls_dparse_t *p);

/* ---- dialect_types.c ---- */

llm_status_t lls_dp_types_open(dp_types_t *t, const char *chat, size_t len, bool *no_tools,
                               int *thinking, llm_error_t *err);
void         lls_dp_types_deinit(dp_types_t *t);
uint32_t     lls_dp_types_of(const dp_types_t *t, const char *tool, size_t tool_len,
                             const char *key, size_t key_len);
/* The text of a parameter as JSON of one of the types. */
void         lls_dp_coerce(lls_dparse_t *p, const char *text, size_t n, uint32_t types);

/* ---- dialect_dumps.c ---- */

/* Appends `text`, one JSON value, as json.dumps(json.loads(text), ensure_ascii=False); false if it
 * is none, or without memory. */
bool         lls_dp_normalize(lls_buf_t *out, const char *text, size_t n);

/* ---- dialect_python.c ---- */

size_t lls_dp_read_python(lls_dparse_t *p, const char *text, size_t n);
void   lls_dp_python_begin(lls_dparse_t *p);
void   lls_dp_python_close(lls_dparse_t *p);

/* ---- dialect_bare.c ---- */

size_t lls_dp_read_bare(lls_dparse_t *p, const char *text, size_t n);
void   lls_dp_bare_begin(lls_dparse_t *p);
void   lls_dp_bare_quote(lls_dparse_t *p);
void   lls_dp_bare_close(lls_dparse_t *p);

/* ---- dialect_whole.c ---- */

void   lls_dp_whole(lls_dparse_t *p);

#endif
