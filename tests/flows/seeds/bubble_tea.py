"""The server check of a Korean walkthrough: a function without parameters, narration first, then the reader waits."""

import time

import openai

client = openai.OpenAI()


def create_thread(message):
    return client.beta.threads.create(messages=[{"role": "user", "content": message}])


def create_run(thread, assistant):
    return client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)


def get_run_status(thread, run):
    return client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)


def wait_for_run(thread, run):
    """Do what the reader does by running the cell again and again."""
    while (status := get_run_status(thread, run)).status in ("queued", "in_progress"):
        time.sleep(0.02)
    return status


def list_threads_messages(thread):
    messages = client.beta.threads.messages.list(thread_id=thread.id)
    shown = []
    for i in range(len(messages.data), 0, -1):
        shown.append((messages.data[i - 1].role, messages.data[i - 1].content[0].text.value))
    return shown


server_assistant = client.beta.assistants.create(
    instructions="""당신은 노토랩의 서버 정보를 제공하는 챗봇입니다.
주어진 function의 결과를 활용해 질문에 답하세요.
단순히 결과만을 설명하지 말고, 친절하게 답변하세요.
function 사용이 필요한 경우, 이를 사용자에게 먼저 공지하고 실행하세요.
""",
    model="gpt-4o-mini",
    tools=[
        {
            "type": "function",
            "function": {
                "name": "examine_server",
                "description": """데이터 서버가 정상적으로 작동중인지 검사합니다.
      정상이면 1, 비정상이면 -1, 뒤에 비정상인 이유를 반환합니다.""",
            },
        }
    ],
)

server_thread = create_thread("지금 데이터 서버가 잘 작동중인가요?")
server_run = create_run(server_thread, server_assistant)
server_run_status = wait_for_run(server_thread, server_run)
while_waiting = list_threads_messages(server_thread)

call_id = server_run_status.required_action.submit_tool_outputs.tool_calls[0].id

server_run = client.beta.threads.runs.submit_tool_outputs(
    thread_id=server_thread.id,
    run_id=server_run.id,
    tool_outputs=[
        {
            "tool_call_id": call_id,
            "output": "-1, 서버에 버블티를 쏟음 ",
        },
    ],
)
final = wait_for_run(server_thread, server_run)
at_the_end = list_threads_messages(server_thread)
