/* SPDX-License-Identifier: Apache-2.0 */
/* generate MODEL PROMPT... - llm.hpp: a batch with a progress line, then one answer as it comes. */
#include <cstdio>
#include <iostream>

#include <llm.hpp>

namespace {

int fail(const llm_error_t &error)
{
    std::cerr << error.message << " (" << llm_status_name(error.status) << ")\n";
    return 1;
}

std::vector<llm::request> requests_for(const std::vector<std::string_view> &prompts,
                                       const llm::sampling_params          &sampling)
{
    std::vector<llm::request> requests(prompts.size());

    for (size_t i = 0; i < prompts.size(); i++) {
        requests[i].text = prompts[i];
        requests[i].sampling = &sampling;
    }
    return requests;
}

int run_batch(llm::engine &engine, const std::vector<llm::request> &requests)
{
    const auto batch = engine.generate(requests, [](const llm_progress_t &p) {
        std::cerr << p.done << " of " << p.total << " done\r";
        return true;
    });

    if (!batch || batch->stopped())
        return fail(batch ? batch->error() : batch.error());
    for (size_t i = 0; i < requests.size(); i++) {
        const llm::output out = (*batch)(i);
        if (out->error != nullptr)
            return fail(*out->error);
        std::cout << requests[i].text << out.text() << '\n';
    }
    return 0;
}

int stream(llm::engine &engine, const llm::request &request)
{
    if (const auto id = engine.add(request); !id)
        return fail(id.error());
    while (engine.unfinished() > 0) {
        if (const auto stepped = engine.step(); !stepped)
            return fail(stepped.error());
        while (const llm::output out = engine.next_output())
            std::cout << out.text() << std::flush;
    }
    std::cout << '\n';
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 3)
        return std::fprintf(stderr, "usage: generate MODEL PROMPT...\n"), 2;
    llm::engine_config   config;
    llm::sampling_params sampling;

    config.model = argv[1];
    sampling.max_tokens = 24;
    auto engine = llm::engine::create(config);
    if (!engine)
        return fail(engine.error());
    const auto requests = requests_for({argv + 2, argv + argc}, sampling);
    if (const int failed = run_batch(*engine, requests); failed != 0)
        return failed;
    return stream(*engine, requests[0]);
}
