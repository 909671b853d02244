"""The mathematics teacher of a Korean walkthrough: code is written and run, and the reader looks at its steps."""

import time

import openai

client = openai.OpenAI()

math_assistant = client.beta.assistants.create(
    name="수학 선생님",
    instructions="이 문제룰 풀기 위한 수학적인 배경 지식을 먼저 알려주세요. "
    "파이썬 코드를 사용해 주어진 문제를 해결하고, 풀이과정을 자세히 설명하세요..",
    tools=[{"type": "code_interpreter"}],
    model="gpt-4o",
    temperature=0.2,
)


def create_thread(message):
    return client.beta.threads.create(messages=[{"role": "user", "content": message}])


math_thread = create_thread("413보다 큰 소수 중 네번째로 작은 소수의 세제곱수는 무엇입니까?")


def create_run(thread, assistant):
    return client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)


math_run = create_run(math_thread, math_assistant)


def get_run_status(thread, run):
    """Do what the reader does by running the cell again and again."""
    while (status := client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)).status in (
        "queued",
        "in_progress",
    ):
        time.sleep(0.05)
    return status


math_run_status = get_run_status(math_thread, math_run)


def list_threads_messages(thread):
    messages = client.beta.threads.messages.list(thread_id=thread.id)
    shown = []
    for i in range(len(messages.data), 0, -1):
        shown.append((messages.data[i - 1].role, messages.data[i - 1].content[0].text.value))
    return shown


math_messages = list_threads_messages(math_thread)


def list_run_steps(thread, run, tool_only=True):
    run_steps = client.beta.threads.runs.steps.list(
        thread_id=thread.id,
        run_id=run.id,
    )
    inputs = []
    if tool_only:
        for i in range(len(run_steps.data), 0, -1):
            detail = run_steps.data[i - 1].step_details
            if detail.type == "tool_calls":
                inputs.append(detail.tool_calls[0].code_interpreter.input)
    return run_steps, inputs


math_run_steps, math_inputs = list_run_steps(math_thread, math_run, True)
