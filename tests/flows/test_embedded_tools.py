"""The built-in tools driven by the embedded model: it runs code and cites passages, with no other model near."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from tests.harness.jail import insist_on_jail
from tests.harness.server import Server
from tests.retrieval import hamlet

from understudy import config
from understudy.inference.model_file import model_path

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(1800)]

PROBLEM = "413보다 큰 소수 중 네번째로 작은 소수의 세제곱수는 무엇입니까?"
CUBE = "81182737"
TRIES, SOLVED = 5, 4
RUN_S = 600.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    if not model_path(config.load().cache_dir).is_file():
        pytest.skip("the embedded model's file has not been fetched")
    server = Server(tmp_path_factory.mktemp("embedded") / "data", "", {"UNDERSTUDY_RUN_EXPIRY_S": str(int(RUN_S))})
    del server.environment["UNDERSTUDY_MODEL_URL"]
    server.start()
    try:
        insist_on_jail(server)
        with openai.OpenAI(base_url=server.url + "/v1", api_key="sk-test", timeout=RUN_S) as client:
            yield client
    finally:
        server.close()


def asked(client: openai.OpenAI, assistant_id: str, question: str) -> tuple[Any, list[Any]]:
    """Ask in a thread of its own; return the answer and the run's tool calls."""
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant_id)
    assert run.status == "completed", run.last_error
    steps: list[Any] = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc").data
    calls = [call for step in steps if step.type == "tool_calls" for call in step.step_details.tool_calls]
    return client.beta.threads.messages.list(thread.id).data[0], calls


def text_of(message: Any) -> Any:
    [part] = [part for part in message.content if part.type == "text"]
    return part.text


def test_the_problem_of_the_walkthrough_is_solved_by_code(client: openai.OpenAI) -> None:
    """In four of five tries; solved means that the code's own output has the number and the answer repeats it."""
    assistant = client.beta.assistants.create(
        name="수학 선생님",
        instructions="파이썬 코드를 사용해 주어진 문제를 해결하고, 풀이과정을 설명하세요.",
        tools=[{"type": "code_interpreter"}],
        model="gpt-4o",
        temperature=0.2,
    )
    seen = [asked(client, assistant.id, PROBLEM) for _ in range(TRIES)]
    solved = [
        CUBE in text_of(message).value.replace(",", "")
        and any(CUBE in str(call.code_interpreter.outputs).replace(",", "") for call in calls)
        for message, calls in seen
    ]
    report = [(text_of(message).value, [call.code_interpreter.input for call in calls]) for message, calls in seen]
    assert sum(solved) >= SOLVED, report


def test_a_question_about_a_book_is_answered_in_its_language_with_a_citation(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="햄릿")
    batch = client.vector_stores.file_batches.upload_and_poll(store.id, files=[("Hamlet_KOR.pdf", hamlet.pdf())])
    assert batch.file_counts.completed == 1
    assistant = client.beta.assistants.create(
        model="gpt-4o",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        temperature=0.2,
    )
    question = next(iter(hamlet.QUESTIONS))
    message, calls = asked(client, assistant.id, question)
    assert [call.type for call in calls][:1] == ["file_search"]
    text = text_of(message)
    assert sum("가" <= sign <= "힣" for sign in text.value) > len(text.value) // 3
    assert text.annotations, text.value
    [file] = client.vector_stores.files.list(store.id).data
    for note in text.annotations:
        assert text.value[note.start_index : note.end_index] == note.text
        assert note.file_citation.file_id == file.id
