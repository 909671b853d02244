"""A Korean notebook on function calling, its cells in their order: two parallel calls, then a second turn."""

from dotenv import find_dotenv, load_dotenv
from openai import OpenAI

_ = load_dotenv(find_dotenv())

client = OpenAI()

Model = "gpt-4o-mini"

assistant = client.beta.assistants.create(
    instructions="당신은 날씨 봇입니다. 제공된 function을 사용하여 질문에 답하세요.",
    model=Model,
    tools=[
        {
            "type": "function",
            "function": {
                "name": "get_current_temperature",
                "description": "특정 위치의 현재 온도를 가져옵니다.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {"type": "string", "description": "도시/도, e.g., 인천/경기도"},
                        "unit": {
                            "type": "string",
                            "enum": ["Celsius", "Fahrenheit"],
                            "description": "The temperature unit to use. Infer this from the user's location.",
                        },
                    },
                    "required": ["location", "unit"],
                },
            },
        },
        {
            "type": "function",
            "function": {
                "name": "get_rain_probability",
                "description": "특정 지역에 비가 올 확률을 가져옵니다.",
                "parameters": {
                    "type": "object",
                    "properties": {"location": {"type": "string", "description": "도시/도, e.g., 인천/경기도"}},
                    "required": ["location"],
                },
            },
        },
    ],
)

thread = client.beta.threads.create()

turns = []
for question in (
    "오늘 부산의 날씨는 어때요? 비가 올 확률은 어때요? 비가 올 때는 어떻게 해야 하나요?",
    "오늘 서울의 온도는 어떤가요? 비가 올 확률은 어떤가요? 비가 올 때 맛있는 음식은 무었인가요?",
):
    message = client.beta.threads.messages.create(thread_id=thread.id, role="user", content=question)

    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)

    if run.status == "completed":
        messages = client.beta.threads.messages.list(thread_id=thread.id)
        print(messages)
    else:
        print(run.status)

    tool_calls = run.required_action.submit_tool_outputs.tool_calls

    tool_outputs = []
    for tool in run.required_action.submit_tool_outputs.tool_calls:
        if tool.function.name == "get_current_temperature":
            tool_outputs.append({"tool_call_id": tool.id, "output": "57"})
        elif tool.function.name == "get_rain_probability":
            tool_outputs.append({"tool_call_id": tool.id, "output": "0.06"})

    if tool_outputs:
        run = client.beta.threads.runs.submit_tool_outputs_and_poll(
            thread_id=thread.id, run_id=run.id, tool_outputs=tool_outputs
        )

    if run.status == "completed":
        messages = client.beta.threads.messages.list(thread_id=thread.id)
    turns.append((tool_calls, messages.data[0].content[0].text.value))
