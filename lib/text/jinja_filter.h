/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_filter - the filters about sequences, lines and pages, for the table of filters.  `self` is
 * what is filtered.
 */
#ifndef LLS_TEXT_JINJA_FILTER_H
#define LLS_TEXT_JINJA_FILTER_H

#include "text/jinja_val.h"

#define FILTER(name)                                                                               \
    static lls_jval_t name(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,                   \
                           const lls_jval_t *a, const lls_jargs_t *args)
#define FILTER_OF(name)                                                                            \
    lls_jval_t name(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self, const lls_jval_t *a,     \
                    const lls_jargs_t *args)
#define UNUSED (void)f, (void)self, (void)a, (void)args

enum { LLS_JSELECT_ATTR = 1, LLS_JSELECT_REJECT = 2 };

FILTER_OF(lls_jf_batch);
FILTER_OF(lls_jf_dictsort);
FILTER_OF(lls_jf_end);
FILTER_OF(lls_jf_extreme);
FILTER_OF(lls_jf_groupby);
FILTER_OF(lls_jf_items);
FILTER_OF(lls_jf_join);
FILTER_OF(lls_jf_list);
FILTER_OF(lls_jf_map);
FILTER_OF(lls_jf_reverse);
FILTER_OF(lls_jf_select);
FILTER_OF(lls_jf_sort);
FILTER_OF(lls_jf_sum);
FILTER_OF(lls_jf_unique);
FILTER_OF(lls_jf_pprint);
FILTER_OF(lls_jf_striptags);
FILTER_OF(lls_jf_urlencode);
FILTER_OF(lls_jf_urlize);
FILTER_OF(lls_jf_wordwrap);
FILTER_OF(lls_jf_xmlattr);

#endif
