/* SPDX-License-Identifier: Apache-2.0 */
/* Only compiled: every template that a program without exceptions would use. */
#include <llm.hpp>

llm::result<std::string> first_text(const char *model, std::string_view prompt);

llm::result<std::string> first_text(const char *model, std::string_view prompt)
{
    llm::engine_config   config;
    llm::sampling_params sampling;
    llm::request         request;
    auto                 refuse = [](llm_logits_t &) { return false; };

    config.model = model;
    sampling.set_logits_fn(refuse);
    request.text = prompt;
    request.sampling = &sampling;
    auto engine = llm::engine::create(config);
    if (!engine)
        return engine.error();
    auto batch = engine->generate(llm::span<llm::request>(&request, 1), [](const llm_progress_t &) { return false; });
    if (!batch)
        return batch.error();
    return std::string((*batch)(0).text());
}
