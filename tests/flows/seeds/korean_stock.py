"""The same notebook's stock bot: the model calls the one function twice with the same arguments."""

import json

import yfinance as yf
from openai import OpenAI

client = OpenAI()

assistant = client.beta.assistants.create(
    instructions="당신은 주식 봇입니다. 제공된 function을 사용하여 질문에 답하세요.",
    model="gpt-4o-mini",
    tools=[
        {
            "type": "function",
            "function": {
                "name": "yf_stock",
                "description": "특정 주식의 주가를 가져옵니다.",
                "parameters": {
                    "type": "object",
                    "properties": {"ticker": {"type": "string", "description": "주식 ticker"}},
                    "required": ["ticker"],
                },
            },
        },
    ],
)

thread = client.beta.threads.create()

message = client.beta.threads.messages.create(
    thread_id=thread.id, role="user", content="오늘 Apple 주가는 어때요? 주요 생산품은 무엇인가요?"
)

run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

tool_calls = run.required_action.submit_tool_outputs.tool_calls
argument_dict = json.loads(run.required_action.submit_tool_outputs.tool_calls[0].function.arguments)

tool_outputs = []
for tool in run.required_action.submit_tool_outputs.tool_calls:
    if tool.function.name == "yf_stock":
        df = yf.download(argument_dict["ticker"], start="2024-01-01", end="2024-06-30", progress=False)
        tool_outputs.append({"tool_call_id": tool.id, "output": str(df.Close.iloc[-1])})

if tool_outputs:
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        thread_id=thread.id, run_id=run.id, tool_outputs=tool_outputs
    )

if run.status == "completed":
    messages = client.beta.threads.messages.list(thread_id=thread.id)
