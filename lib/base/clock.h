/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - time for records, deadlines and progress; the scheduler has none.
 */
#ifndef LLS_BASE_CLOCK_H
#define LLS_BASE_CLOCK_H

#include <stdint.h>

uint64_t lls_clock_ns(void);        /* monotonic */
uint64_t lls_clock_us(void);        /* monotonic */
int64_t  lls_clock_wall_us(void);   /* since 1970 */

#endif
