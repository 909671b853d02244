"""The role play of a Korean walkthrough: a book is uploaded, and Ophelia answers out of it, in two turns.

Written for 1.61.0, where the stores were still `client.beta.vector_stores`. Prints what the reader saw, as JSON.
"""

import json
import time

import openai

client = openai.OpenAI()
vector_stores = getattr(client.beta, "vector_stores", None) or client.vector_stores

hamlet = vector_stores.create(name="햄릿")

file_path = "./Hamlet_KOR.pdf"

file_streams = [open(file_path, "rb")]  # noqa: SIM115  # as it was written

file_batch = vector_stores.file_batches.upload_and_poll(vector_store_id=hamlet.id, files=file_streams)

roleplay_assistant = client.beta.assistants.create(
    name="롤 플레잉 봇",
    instructions="""당신은 문학 속의 인물이 되어, 사용자와 롤 플레이를 해야 합니다.
주어진 문서에 있는 해당 인물의 말투와 스타일을 참고하여, 실감나고 사실적으로 답변하세요.
인물의 극중 말투와 최대한 유사하게 답변하세요. """,
    model="gpt-4o-mini",
    tools=[{"type": "file_search"}],
    temperature=0.2,
)

roleplay_assistant = client.beta.assistants.update(
    assistant_id=roleplay_assistant.id,
    tool_resources={"file_search": {"vector_store_ids": [hamlet.id]}},
)


def create_thread(message):
    return client.beta.threads.create(messages=[{"role": "user", "content": message}])


def create_run(thread, assistant):
    return client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)


def get_run_status(thread, run):
    """Do what the reader does by running the cell again and again."""
    while True:
        status = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
        if status.status not in ("queued", "in_progress"):
            return status
        time.sleep(0.05)


def list_threads_messages(thread):
    messages = client.beta.threads.messages.list(thread_id=thread.id)
    return [messages.data[i - 1] for i in range(len(messages.data), 0, -1)]


def add_thread_message(thread, message):
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=message)
    return thread


roleplay_thread = create_thread("오필리아, 당신은 어떻게 죽었나요?")
roleplay_runs = [get_run_status(roleplay_thread, create_run(roleplay_thread, roleplay_assistant))]

add_thread_message(roleplay_thread, "후회하거나 되돌리고 싶은 것이 있나요?")
roleplay_runs.append(get_run_status(roleplay_thread, create_run(roleplay_thread, roleplay_assistant)))

print(
    json.dumps(
        {
            "version": openai.__version__,
            "store": hamlet.id,
            "batch": file_batch.model_dump(),
            "runs": [run.model_dump() for run in roleplay_runs],
            "messages": [message.model_dump() for message in list_threads_messages(roleplay_thread)],
        }
    )
)
