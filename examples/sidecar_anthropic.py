"""An application beside the gateway, with the anthropic SDK: only the base URL changes.

With `standby demo`, or `standby serve routes.toml`, in another terminal:

    python examples/sidecar_anthropic.py
"""

from __future__ import annotations

import os

from anthropic import Anthropic, APIError
from anthropic.types import MessageParam

client = Anthropic(
    base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://127.0.0.1:8080"),
    api_key="unused",  # the gateway has the providers' keys; without `auth` it requires none
)
question: MessageParam = {"role": "user", "content": "hello"}


def whole() -> None:
    """Print an answer, the target that gave it, and why it was not the first choice."""
    answer = client.messages.with_raw_response.create(model="drafting", max_tokens=100, messages=[question])
    print("".join(block.text for block in answer.parse().content if block.type == "text"))
    why = answer.headers.get("x-standby-degraded", "first choice")
    print(f"  from {answer.headers['x-standby-target']} ({why})")


def streamed() -> None:
    """Print an answer as it arrives, and an error if it breaks: no other provider continues it."""
    try:
        with client.messages.stream(model="drafting", max_tokens=100, messages=[question]) as stream:
            for text in stream.text_stream:
                print(text, end="", flush=True)
    except APIError as error:
        print(f"\n  broken off: {error.message}")
    else:
        print("\n  complete")


if __name__ == "__main__":
    whole()
    streamed()
