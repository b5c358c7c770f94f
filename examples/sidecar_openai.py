"""An application beside the gateway, with the openai SDK: only the base URL changes.

With `standby demo`, or `standby serve routes.toml`, in another terminal:

    python examples/sidecar_openai.py
"""

from __future__ import annotations

import os

from openai import APIError, OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key="unused",  # the gateway has the providers' keys; without `auth` it requires none
)
question: ChatCompletionUserMessageParam = {"role": "user", "content": "hello"}


def whole() -> None:
    """Print an answer, the target that gave it, and why it was not the first choice."""
    answer = client.chat.completions.with_raw_response.create(model="support", messages=[question])
    print(answer.parse().choices[0].message.content)
    why = answer.headers.get("x-standby-degraded", "first choice")
    print(f"  from {answer.headers['x-standby-target']} ({why})")


def streamed() -> None:
    """Print an answer as it arrives, and an error if it breaks: no other provider continues it."""
    try:
        for chunk in client.chat.completions.create(model="support", messages=[question], stream=True):
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
    except APIError as error:
        print(f"\n  broken off: {error.message}")
    else:
        print("\n  complete")


if __name__ == "__main__":
    whole()
    streamed()
