"""Drives a server with whatever version of the Python SDK is installed. Exits 0 if everything went as it should.

Every answer is validated against the SDK's own types (`_strict_response_validation`).
"""

import asyncio
import json

import openai
from openai import AssistantEventHandler, AsyncOpenAI, NotFoundError, OpenAI

client = OpenAI(max_retries=0, _strict_response_validation=True)
threads, runs = client.beta.threads, client.beta.threads.runs

CITY = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": CITY}}
    for name in ("get_current_temperature", "get_rain_probability")
]
QUESTION = {"role": "user", "content": "오늘 부산의 날씨는?"}
ANSWER = "The tools said: 57; 57"


def outputs(run):
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"location": "부산"}] * 2, calls
    return [{"tool_call_id": call.id, "output": "57"} for call in calls]


def new_thread():
    return threads.create(messages=[QUESTION]).id


def poll(assistant):
    thread = threads.create()
    threads.messages.create(thread.id, **QUESTION)
    run = runs.create_and_poll(thread_id=thread.id, assistant_id=assistant)
    assert run.status == "requires_action", run
    run = runs.submit_tool_outputs_and_poll(run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run))
    assert run.status == "completed", run
    assert run.usage.total_tokens > 0
    texts = [m.content[0].text.value for m in threads.messages.list(thread.id, order="asc", limit=1)]
    assert texts == [QUESTION["content"], ANSWER], texts
    steps = list(runs.steps.list(run_id=run.id, thread_id=thread.id, limit=1))
    assert [step.type for step in steps] == ["message_creation", "tool_calls"], steps
    assert runs.steps.retrieve(step_id=steps[0].id, thread_id=thread.id, run_id=run.id).status == "completed"


class Handler(AssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.seen, self.text, self.inner = [], "", None

    def on_event(self, event):
        self.seen.append(event.event)
        if event.event == "thread.run.requires_action":
            self.inner = Handler()
            ids = {"run_id": event.data.id, "thread_id": event.data.thread_id}
            with runs.submit_tool_outputs_stream(
                **ids, tool_outputs=outputs(event.data), event_handler=self.inner
            ) as stream:
                stream.until_done()

    def on_text_delta(self, delta, snapshot):
        self.text += delta.value
        assert snapshot.value == self.text


def stream_through_handlers(assistant):
    handler = Handler()
    with runs.stream(thread_id=new_thread(), assistant_id=assistant, event_handler=handler) as stream:
        stream.until_done()
    assert handler.seen[0] == "thread.run.created", handler.seen
    assert handler.seen[-1] == "thread.run.requires_action", handler.seen
    assert handler.inner.seen[-1] == "thread.run.completed", handler.inner.seen
    assert handler.inner.text == ANSWER, handler.inner.text


def stream_raw(assistant):
    thread = new_thread()
    events = list(runs.create(thread_id=thread, assistant_id=assistant, stream=True))
    run = events[-1].data
    assert events[-1].event == "thread.run.requires_action", events
    events = list(runs.submit_tool_outputs(run_id=run.id, thread_id=thread, tool_outputs=outputs(run), stream=True))
    assert events[0].event == "thread.run.step.completed", events
    assert events[-1].event == "thread.run.completed", events
    events = list(threads.create_and_run(assistant_id=assistant, thread={"messages": [QUESTION]}, stream=True))
    assert events[0].event == "thread.created", events
    runs.cancel(run_id=events[-1].data.id, thread_id=events[-1].data.thread_id)


def not_found(assistant):
    try:
        client.beta.assistants.retrieve(assistant)
    except NotFoundError as error:
        return error.message
    raise AssertionError("a deleted assistant was found")


def the_rest(assistant):
    run = threads.create_and_run_poll(assistant_id=assistant, thread={"messages": [QUESTION]})
    assert run.status == "requires_action", run
    assert runs.update(run_id=run.id, thread_id=run.thread_id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert runs.cancel(run_id=run.id, thread_id=run.thread_id).status in ("cancelling", "cancelled")
    assert [item.id for item in runs.list(run.thread_id)] == [run.id]
    assert runs.retrieve(run_id=run.id, thread_id=run.thread_id).id == run.id
    assert client.beta.assistants.update(assistant, name="new").name == "new"
    assert assistant in [item.id for item in client.beta.assistants.list(limit=5)]
    assert threads.delete(run.thread_id).deleted
    assert client.beta.assistants.delete(assistant).deleted
    assert "No assistant found with id" in not_found(assistant)
    assert client.models.list().object == "list"


async def stream_asynchronously(assistant):
    async with AsyncOpenAI(max_retries=0) as other:
        thread = await other.beta.threads.create(messages=[QUESTION])
        async with other.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant) as stream:
            run = await stream.get_final_run()
        async with other.beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run)
        ) as stream:
            text = "".join([piece async for piece in stream.text_deltas])
    assert text == ANSWER, text


assistant = client.beta.assistants.create(model="gpt-4o", instructions="Be brief.", tools=TOOLS, temperature=0).id
poll(assistant)
stream_through_handlers(assistant)
stream_raw(assistant)
asyncio.run(stream_asynchronously(assistant))
the_rest(assistant)
print("openai", openai.__version__, "had no complaint")
