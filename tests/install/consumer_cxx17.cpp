/* SPDX-License-Identifier: Apache-2.0 */
#include "consumer.h"

#include <llm.hpp>

/* Called by nobody: it has to compile and link. */
llm::result<llm::engine> open_engine(const llm::engine_config &config);
llm::result<llm::engine> open_engine(const llm::engine_config &config)
{
    return llm::engine::create(config);
}
