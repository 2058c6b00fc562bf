/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja - chat templates: Jinja2 3.1 as transformers sets it up (trim_blocks, lstrip_blocks, loop
 * controls, the `generation` tag, the immutable sandbox).
 *
 * A template is compiled once into a flat array of nodes and is immutable then, so threads may
 * share it; each render has its own arena.  Values behave as Python's, errors included: what raises
 * there is LLM_ERR_FORMAT (the template is no Jinja) or LLM_ERR_INVALID here, what Python could do
 * and we do not is LLM_ERR_UNSUPPORTED (complex numbers, bytes, sets, templates that include or
 * extend others, lipsum()); each names the line of the template.  There is no way from
 * a template to anything but the functions, filters, tests and methods in our tables, and none of
 * them changes a list or dictionary: the sandbox is made of what is not there.
 *
 * Limits of a render: LLS_JINJA_STEPS steps, LLS_JINJA_OUTPUT bytes of output, LLS_JINJA_ARENA
 * bytes of memory, 100 macro calls and 1,000 expressions inside each other, ranges of 100,000.
 *
 * Strings carry a mark a byte: set where the byte came from `vars`, clear where it came from the
 * template or from `consts`.
 */
#ifndef LLS_TEXT_JINJA_H
#define LLS_TEXT_JINJA_H

#include "base/mem.h"

#define LLS_JINJA_STEPS 1000000u
#define LLS_JINJA_OUTPUT ((size_t)64 << 20)
#define LLS_JINJA_ARENA ((size_t)256 << 20)

typedef struct lls_jinja lls_jinja_t;

typedef struct lls_jinja_const { /* a variable that holds a trusted string: bos_token */
    const char *name;
    const char *text;
    size_t      len;
} lls_jinja_const_t;

typedef struct lls_jdata lls_jdata_t; /* values read from JSON; threads may share them */

/* What a render sees; nothing of it needs to outlive the call. */
typedef struct lls_jinja_input {
    const lls_jdata_t       *vars; /* an object; an entry hides a constant of the same name */
    const lls_jinja_const_t *consts;
    size_t                   n_consts;
    int64_t                  now; /* of strftime_now(), seconds since 1970; < 0 = the clock */
} lls_jinja_input_t;

typedef struct lls_jinja_text {
    char    *text; /* len bytes and a NUL */
    uint8_t *mark; /* len flags */
    size_t   len;
} lls_jinja_text_t;

llm_status_t lls_jinja_compile(lls_mem_t *mem, const char *text, size_t len, lls_jinja_t **out,
                               llm_error_t *err);
void         lls_jinja_free(lls_jinja_t *j);
/* `text` must outlive the data.  LLM_ERR_FORMAT names `name`, line and column. */
llm_status_t lls_jdata_read(lls_mem_t *mem, const char *name, const char *text, size_t len,
                            lls_jdata_t **out, llm_error_t *err);
void         lls_jdata_free(lls_jdata_t *data);
/* The caller frees out, which is empty after a failure. */
llm_status_t lls_jinja_render(const lls_jinja_t *j, lls_mem_t *mem, const lls_jinja_input_t *in,
                              lls_jinja_text_t *out, llm_error_t *err);
void         lls_jinja_text_free(lls_mem_t *mem, lls_jinja_text_t *text);

/* Whether the template may read the variable `name` from outside, as Jinja2's
 * find_undeclared_variables() says. */
bool lls_jinja_wants(const lls_jinja_t *j, const char *name);
/* The i-th of these names, NULL behind the last; *len bytes without a NUL. */
const char *lls_jinja_wanted(const lls_jinja_t *j, size_t i, size_t *len);
/* Whether some loop walks over the content of a message: the format "openai", where content stays a
 * list of parts; otherwise "string". */
bool lls_jinja_wants_parts(const lls_jinja_t *j);
/* Whether it knows the role of a developer: mentions it. */
bool lls_jinja_knows_developer(const lls_jinja_t *j);
/* Whether the template's text mentions `word`. */
bool lls_jinja_mentions(const lls_jinja_t *j, const char *word);

#endif
