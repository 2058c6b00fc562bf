/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_attend_int.h"

#if defined(__AVX2__)
#  define LLS_ATTEND_KERNELS lls_attend_avx2
#  include "cpu/cpu_attend_body.h"
#endif
