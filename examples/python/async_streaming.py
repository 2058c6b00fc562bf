#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""async_streaming.py MODEL - two streams at once on one event loop, and a third that is dropped."""
import asyncio
import sys

from llmserve import AsyncEngineArgs, AsyncLLM, RequestOutputKind, SamplingParams


async def stream(engine, prompt, request_id, max_tokens=16):
    params = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True,
                            output_kind=RequestOutputKind.DELTA)
    async for output in engine.generate(prompt, params, request_id):
        print(f"{request_id}: {output.outputs[0].text!r}", flush=True)
    print(f"{request_id}: {output.outputs[0].finish_reason}")


async def main(model):
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, max_model_len=512))
    dropped = asyncio.create_task(stream(engine, "Once upon a time", "dropped", max_tokens=400))
    await asyncio.gather(stream(engine, "The capital of France is", "france"),
                         stream(engine, "My favourite colour is", "colour"))
    dropped.cancel()            # the engine stops working on it within a step
    await asyncio.gather(dropped, return_exceptions=True)
    await engine.wait_for_requests_to_drain()
    print("nothing is left in the engine")
    engine.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
