/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect - how models write tool calls and reasoning: one const table, and the parser of one
 * completion that reads any row of it.
 *
 * A parser is a machine over characters, so the pieces in which a text arrives do not change what
 * comes out.  Text that may be the start of a marker is held back, never more than the longest
 * marker; what looked like a call until its name and then was none becomes content again.  Markers
 * that are one token of the vocabulary count only where that token was fed, if tokens are fed at
 * all.  Arguments of JSON are passed on as they were written, all others become JSON.
 *
 * A parser belongs to one thread at a time.  Its tables are const and its memory is the mem's.
 */
#ifndef LLS_TEXT_DIALECT_H
#define LLS_TEXT_DIALECT_H

#include "text/tokenizer.h"

/* ---- The table ---- */

typedef enum lls_reader {
    LLS_READ_OBJECTS = 1,           /* {"name": .., "arguments": ..}, in a list or one by one */
    LLS_READ_NAMED,                 /* a name, a separator, JSON */
    LLS_READ_TAGS,                  /* <function=NAME><parameter=KEY>VALUE</parameter></function> */
    LLS_READ_KEYS,                  /* NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value> */
    LLS_READ_PYTHON,                /* [f(a=1), g()] */
    LLS_READ_BARE_KEYS,             /* NAME{key:<|"|>text<|"|>,n:[1,true]} */
    LLS_READ_HARMONY                /* channels with recipients */
} lls_reader_t;

enum {
    LLS_DIALECT_UNMARKED    = 1,    /* a call may begin the content without a marker */
    LLS_DIALECT_NO_SECTION  = 2,    /* the marker of a call also counts outside a section */
    LLS_DIALECT_NAME_IS_KEY = 4,    /* {"NAME": {arguments}} */
    LLS_DIALECT_KEEP_ID     = 8,    /* functions.NAME:INDEX is the id */
    LLS_DIALECT_SHORT_ID    = 16,   /* nine letters and digits: the template refuses others */
    LLS_DIALECT_NO_LIST     = 32,   /* calls stand in lines, without brackets */
    LLS_DIALECT_TRIM_LINE   = 64,   /* one newline at each end of a value is markup */
    LLS_DIALECT_ECHO_LIST   = 128,  /* NAME may also be a list of objects */
    LLS_DIALECT_TOOL_NAME   = 256,  /* the name's key is "tool_name" */
    LLS_DIALECT_ARGS        = 512   /* that of the arguments is "args" */
};

/* ORDER dialect markers */
enum {
    LLS_MARK_OPEN = 0,              /* begins a section of calls */
    LLS_MARK_CALL,                  /* begins a call in it */
    LLS_MARK_HEAD,                  /* text up to the next marker is a message's header */
    LLS_MARK_SKIP,                  /* text up to here is of no interest */
    LLS_MARK_NAME_END,
    LLS_MARK_PARAM,                 /* begins a key */
    LLS_MARK_KEY_END,               /* where '>' is none */
    LLS_MARK_VALUE,                 /* begins a value, where the key has an end of its own */
    LLS_MARK_PARAM_END,
    LLS_MARK_QUOTE,                 /* <![CDATA[ or a quotation mark */
    LLS_MARK_QUOTE_END,
    LLS_MARK_CALL_END,
    LLS_MARK_CLOSE,                 /* ends a section */
    LLS_MARK_DROP,                  /* no text, where calls are looked for */
    LLS_MARK_SPECIAL,               /* no text anywhere: ends of sequences, frames of answers */
    LLS_MARK_THINK,
    LLS_MARK_THINK_END,
    LLS_MARK_CHANNEL,               /* harmony */
    LLS_MARK_MESSAGE,
    LLS_MARK_STOP,
    LLS_N_MARKS
};

typedef struct lls_mark {
    uint32_t    mark;               /* LLS_MARK_* */
    const char *text;
} lls_mark_t;

#define LLS_DIALECT_MARKS 10

/*
 * How calls are written, for a grammar that binds a model to them:
 *     open  begin NAME args ARGUMENTS end  between  begin NAME args ARGUMENTS end ..  close
 * ARGUMENTS is one JSON object where key is NULL, otherwise
 *     key NAME value VALUE value_end  next  key NAME value VALUE value_end ..
 * with texts as they are and other values as JSON; those of LLS_READ_PYTHON are literals of Python,
 * texts of LLS_READ_BARE_KEYS stand between its LLS_MARK_QUOTE.  In these strings # is a number and
 * @ the value's JSON type.
 */
typedef struct lls_structural_tag {
    const char *trigger;            /* begins open and begin: where content may stand too, a call is
                                     * bound from here on; with LLS_DIALECT_UNMARKED only at the
                                     * start of the content; NULL = nothing tells calls from it */
    const char *open, *begin, *args, *end;
    const char *between;            /* NULL = a message has one call */
    const char *close;
    const char *key, *value, *value_end, *next;
    const char *json_value;         /* before a value that is no text; NULL = as value */
} lls_structural_tag_t;

typedef struct lls_dialect {
    const char  *name;              /* vLLM's name of the parser */
    lls_reader_t reader;
    uint32_t     flags;
    lls_mark_t   marks[LLS_DIALECT_MARKS];  /* up to the first without text */
    const char  *in_template[2];    /* a template or vocabulary that has both speaks it */
    const lls_structural_tag_t *tag;
} lls_dialect_t;

/* Where a completion starts when the prompt does not tell. */
typedef enum lls_think_start {
    LLS_THINK_BY_MODEL,             /* the model writes the start marker */
    LLS_THINK_OPEN,                 /* in reasoning */
    LLS_THINK_DEFAULT_ON,           /* in reasoning, unless the template was told not to */
    LLS_THINK_DEFAULT_OFF           /* in content, unless the template was told to think */
} lls_think_start_t;

enum {
    LLS_THINK_TOOL_ENDS = 1,        /* a tool marker ends reasoning */
    LLS_THINK_APPEND    = 2,        /* <think> is put before, and all is content */
    LLS_THINK_AGAIN     = 4         /* there may be more than one piece of reasoning */
};

typedef struct lls_thinking {
    const char       *name;         /* vLLM's */
    lls_think_start_t start;
    uint32_t          flags;
    const char       *open[2], *close[2];
    const char       *drop[2];      /* markup around the answer */
    const char       *in_template[2];
} lls_thinking_t;

/* Rows in the order in which "auto" tries them; NULL past the last. */
const lls_dialect_t  *lls_dialect_at(size_t index);
const lls_thinking_t *lls_thinking_at(size_t index);
/* A name of vLLM whose syntax is not in the table. */
bool                  lls_dialect_is_foreign(const char *name);
/* By name, or by the tokenizer's template and vocabulary for "auto"; *out NULL = none.  An unknown
 * name is LLM_ERR_INVALID, one that is not built LLM_ERR_UNSUPPORTED. */
llm_status_t lls_dialect_find(const lls_tokenizer_t *t, const char *name,
                              const lls_dialect_t **out, llm_error_t *err);
llm_status_t lls_thinking_find(const lls_tokenizer_t *t, const char *name,
                               const lls_thinking_t **out, llm_error_t *err);

/* ---- The parser ---- */

typedef struct lls_dparse lls_dparse_t;

typedef struct lls_dparse_config {
    const lls_dialect_t  *tools;    /* NULL = calls are content */
    const lls_thinking_t *thinking; /* NULL = reasoning is content */
    const char           *chat;     /* the request, JSON; NULL = none */
    size_t                chat_len;
    const char           *prompt;   /* its end, as text; NULL = unknown */
    size_t                prompt_len;
    uint64_t              seed;     /* of the ids */
    bool                  whole;    /* see LLM_PARSER_WHOLE */
} lls_dparse_config_t;

/* chat that is no JSON object is LLM_ERR_FORMAT. */
llm_status_t lls_dparse_create(lls_mem_t *mem, const lls_tokenizer_t *t,
                               const lls_dparse_config_t *config, lls_dparse_t **out,
                               llm_error_t *err);
void         lls_dparse_destroy(lls_dparse_t *p);
/* Any bytes; those that are not UTF-8 become U+FFFD.  After `last` nothing more is taken. */
llm_status_t lls_dparse_feed(lls_dparse_t *p, const char *text, size_t len, const int32_t *tokens,
                             size_t n_tokens, bool last, llm_error_t *err);
/* NULL = nothing more until the next feed, up to which the event lives. */
const llm_event_t *lls_dparse_next(lls_dparse_t *p);
/* Characters looked at so far: linear in the text. */
uint64_t     lls_dparse_steps(const lls_dparse_t *p);

#endif
