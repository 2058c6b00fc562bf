/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#define KERNELS lls_sample_kernels_avx512
#include "sample/sample_kernels_body.h"
#else
typedef int lls_sample_kernels_avx512_are_for_x86;
#endif
