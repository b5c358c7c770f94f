"""A provider that keeps what it issues and accepts nothing that another one has issued, as vendors do."""

from __future__ import annotations

from itertools import count
from typing import Any

import orjson
from standby.proxy.asgi import Receive, Scope, Send

__all__ = ["VendorState"]


class VendorState:
    """An ASGI app that answers the Responses and the Messages API. While it is `down` it answers 503.

    `seen` are the documents of the requests that it answered, in order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False
        self.seen: list[dict[str, Any]] = []
        self._issued: set[str] = set()
        self._numbers = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        document = orjson.loads(body)
        if self.down:
            await _send(send, 503, {"error": {"message": "down", "type": "server_error"}})
            return
        responses = scope["path"].endswith("/responses")
        foreign = self._foreign_of_responses(document) if responses else self._foreign_of_messages(document)
        if foreign:
            error = {"message": f"{self.name} did not issue {foreign}", "type": "invalid_request_error"}
            await _send(send, 400, {"type": "error", "error": error})
            return
        self.seen.append(document)
        number = next(self._numbers)
        if responses:
            await self._respond(document, number, send)
        else:
            await self._message(document, number, send)

    def _foreign_of_responses(self, document: dict[str, Any]) -> str | None:
        ids = [document.get("previous_response_id")]
        items: Any = document["input"]
        for item in () if isinstance(items, str) else items:
            if item.get("type") == "item_reference":
                ids.append(item["id"])
            elif item.get("type") == "reasoning":
                ids.append(item.get("encrypted_content") or item["id"])
        return next((key for key in ids if key is not None and key not in self._issued), None)

    def _foreign_of_messages(self, document: dict[str, Any]) -> str | None:
        for message in document["messages"]:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block["type"] == "thinking" and block["signature"] not in self._issued:
                    return str(block["signature"])
        return None

    def _issue(self, kind: str, number: int) -> str:
        key = f"{kind}_{self.name}{number}"
        self._issued.add(key)
        return key

    async def _respond(self, document: dict[str, Any], number: int, send: Send) -> None:
        reasoning: dict[str, Any] = {"id": self._issue("rs", number), "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (document.get("include") or ()):
            reasoning["encrypted_content"] = self._issue("enc", number)
        part: dict[str, Any] = {"type": "output_text", "text": f"From {self.name}.", "annotations": []}
        message: dict[str, Any] = {
            "id": self._issue("msg", number),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        response: dict[str, Any] = {
            "id": self._issue("resp", number),
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": document["model"],
            "output": [reasoning, message],
            "store": document.get("store", True),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        if not document.get("stream"):
            await _send(send, 200, response)
            return
        begun: dict[str, Any] = {**response, "status": "in_progress", "output": []}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        for at, item in enumerate(response["output"]):
            added: dict[str, Any] = {**item, "content": []} if item is message else item
            events.append({"type": "response.output_item.added", "output_index": at, "item": added})
            if item is message:
                place: dict[str, Any] = {
                    "output_index": at,
                    "content_index": 0,
                    "item_id": item["id"],
                    "logprobs": [],
                }
                events.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
                events.append({"type": "response.output_text.delta", **place, "delta": part["text"]})
                events.append({"type": "response.output_text.done", **place, "text": part["text"]})
            events.append({"type": "response.output_item.done", "output_index": at, "item": item})
        events.append({"type": "response.completed", "response": response})
        await _stream(send, [{**event, "sequence_number": at} for at, event in enumerate(events)])

    async def _message(self, document: dict[str, Any], number: int, send: Send) -> None:
        thought = {"type": "thinking", "thinking": "Hm.", "signature": self._issue("sig", number)}
        said = {"type": "text", "text": f"From {self.name}."}
        message: dict[str, Any] = {
            "id": f"msg_{self.name}{number}",
            "type": "message",
            "role": "assistant",
            "model": document["model"],
            "content": [thought, said],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
        if not document.get("stream"):
            await _send(send, 200, message)
            return
        begun: dict[str, Any] = {**message, "content": [], "stop_reason": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            },
            _delta(0, type="thinking_delta", thinking="Hm."),
            _delta(0, type="signature_delta", signature=thought["signature"]),
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            _delta(1, type="text_delta", text=said["text"]),
            {"type": "content_block_stop", "index": 1},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 2},
            },
            {"type": "message_stop"},
        ]
        await _stream(send, events)


def _delta(index: int, **delta: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


async def _send(send: Send, status: int, document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, events: list[dict[str, Any]]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/event-stream")],
        }
    )
    for event in events:
        data = b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
