/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja - chat templates: Jinja2 as transformers sets it up (trim_blocks, lstrip_blocks, sandbox).
 *
 * A template is compiled once into a flat array of nodes and is immutable then; each render has its
 * own arena.  Values behave as Python's.  What is not known is LLM_ERR_UNSUPPORTED and a wrong or
 * raising template LLM_ERR_FORMAT or LLM_ERR_INVALID, each with the line of the template.  Limits a
 * render: 1,000,000 steps, 64 MiB of output, 256 MiB of arena; nesting 200.
 *
 * Strings carry a mark a byte: set where the byte came from `vars`, clear where it came from the
 * template or from `consts`.
 */
#ifndef LLS_TEXT_JINJA_H
#define LLS_TEXT_JINJA_H

#include "base/json.h"

typedef struct lls_jinja lls_jinja_t;

typedef struct lls_jinja_const {        /* a variable that holds a trusted string: bos_token */
    const char *name;
    const char *text;
    size_t      len;
} lls_jinja_const_t;

typedef struct lls_jinja_text {
    char    *text;                      /* len bytes and a NUL */
    uint8_t *mark;                      /* len flags */
    size_t   len;
} lls_jinja_text_t;

llm_status_t lls_jinja_compile(lls_mem_t *mem, const char *text, size_t len, lls_jinja_t **out,
                               llm_error_t *err);
void         lls_jinja_free(lls_jinja_t *template);
/* vars: a JSON object; an entry of it hides a constant of the same name.  The caller frees out. */
llm_status_t lls_jinja_render(const lls_jinja_t *template, lls_mem_t *mem, const json_t *vars,
                              const lls_jinja_const_t *consts, size_t n_consts,
                              lls_jinja_text_t *out, llm_error_t *err);
void         lls_jinja_text_free(lls_mem_t *mem, lls_jinja_text_t *text);

#endif
