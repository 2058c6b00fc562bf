/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_attend_int.h"

#if defined(__aarch64__)
#  define LLS_ATTEND_KERNELS lls_attend_neon
#  include "cpu/cpu_attend_body.h"
#endif
