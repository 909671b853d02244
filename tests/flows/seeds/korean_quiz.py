"""The quiz of a Korean page: questions out of an uploaded book, the reader's answers, and what to say of them.

Written for 1.30.1; its store was made by a page before. Prints what the reader saw, as JSON.
"""

import json

import openai

client = openai.OpenAI()
vector_stores = getattr(client.beta, "vector_stores", None) or client.vector_stores

store = vector_stores.create(name="책")
with open("./Hamlet_KOR.pdf", "rb") as book:
    batch = vector_stores.file_batches.upload_and_poll(vector_store_id=store.id, files=[book])

function_schema = {
    "name": "generate_quiz",
    "description": "Generate a quiz to the student, and returns the student's response. "
    "A single quiz has multiple questions.",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "questions": {
                "type": "array",
                "description": "An array of questions, each with a title and multiple choice options.",
                "items": {
                    "type": "object",
                    "properties": {
                        "question_text": {"type": "string"},
                        "choices": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["question_text", "choices"],
                },
            },
        },
        "required": ["title", "questions"],
    },
}

assistant = client.beta.assistants.create(
    name="Quiz Generator",
    instructions="You are an expert in generating multiple choice quizzes. Create quizzes based on uploaded files.",
    model="gpt-4o",
    tools=[
        {"type": "file_search"},
        {"type": "function", "function": function_schema},
    ],
    tool_resources={"file_search": {"vector_store_ids": [store.id]}},
)

thread = client.beta.threads.create()

message = client.beta.threads.messages.create(
    thread_id=thread.id,
    role="user",
    content="""
       3개의 객관식 퀴즈(multiple choice questions)를 만들어 주세요.
       객관식 퀴즈의 선택지에 번호를 표기해주세요. 1~4까지 숫자로 시작하여야 합니다.
       퀴즈는 내가 업로드한 파일에 관한 내용이어야 합니다.
       내가 제출한 responses에 대한 피드백을 주세요.
       모든 내용은 한글로 작성해 주세요.
    """,
)

run = client.beta.threads.runs.create_and_poll(
    thread_id=thread.id,
    assistant_id=assistant.id,
)
waiting = run

tool_call = run.required_action.submit_tool_outputs.tool_calls[0]
arguments = json.loads(tool_call.function.arguments)


def display_quiz(title, questions):
    """Answer as the reader of the page did."""
    return ["2", "4", "1"][: len(questions)]


responses = display_quiz(arguments["title"], arguments["questions"])

run = client.beta.threads.runs.submit_tool_outputs_and_poll(
    thread_id=thread.id,
    run_id=run.id,
    tool_outputs=[
        {
            "tool_call_id": tool_call.id,
            "output": json.dumps(responses),
        }
    ],
)

print(
    json.dumps(
        {
            "version": openai.__version__,
            "store": store.id,
            "batch": batch.model_dump(),
            "waiting": waiting.model_dump(),
            "runs": [run.model_dump()],
            "messages": [m.model_dump() for m in client.beta.threads.messages.list(thread.id, order="asc")],
        }
    )
)
