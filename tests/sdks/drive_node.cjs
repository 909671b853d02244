// Drives a server with the Node SDK in the folder given first. Ids are positional up to version 4, named from 5 on.
// Exits 0 if everything went as it should.
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const path = require("node:path");

const fromFolder = createRequire(path.join(process.argv[2], "package.json"));
const OpenAI = fromFolder("openai");
const { version } = JSON.parse(
  require("node:fs").readFileSync(path.join(process.argv[2], "node_modules/openai/package.json"), "utf8"),
);
const positional = version.startsWith("4.");

const client = new OpenAI({ maxRetries: 0 });
const { threads } = client.beta;
const { runs } = threads;

const onRun = (method, run, body = {}) =>
  positional
    ? method.call(runs, run.thread_id, run.id, body)
    : method.call(runs, run.id, { thread_id: run.thread_id, ...body });

const parameters = { type: "object", properties: { location: { type: "string" } }, required: ["location"] };
const tools = ["get_current_temperature", "get_rain_probability"].map((name) => ({
  type: "function",
  function: { name, description: name, parameters },
}));
const question = { role: "user", content: "오늘 부산의 날씨는?" };
const answer = "The tools said: 57; 57";

function outputs(run) {
  const calls = run.required_action.submit_tool_outputs.tool_calls;
  for (const call of calls) assert.deepEqual(JSON.parse(call.function.arguments), { location: "부산" });
  return { tool_outputs: calls.map((call) => ({ tool_call_id: call.id, output: "57" })) };
}

const newThread = () => threads.create({ messages: [question] });

async function poll(assistant_id) {
  const thread = await threads.create();
  await threads.messages.create(thread.id, question);
  let run = await runs.createAndPoll(thread.id, { assistant_id });
  assert.equal(run.status, "requires_action");
  run = await onRun(runs.submitToolOutputsAndPoll, run, outputs(run));
  assert.equal(run.status, "completed");
  const texts = [];
  for await (const message of threads.messages.list(thread.id, { order: "asc", limit: 1 })) {
    texts.push(message.content[0].text.value);
  }
  assert.deepEqual(texts, [question.content, answer]);
}

async function streamThroughEvents(assistant_id) {
  const thread = await newThread();
  const stream = runs.stream(thread.id, { assistant_id });
  const names = [];
  stream.on("event", ({ event }) => names.push(event));
  const run = await stream.finalRun();
  assert.equal(names[0], "thread.run.created");
  assert.equal(names.at(-1), "thread.run.requires_action");
  assert.equal((await stream.finalRunSteps())[0].type, "tool_calls");
  let text = "";
  const second = onRun(runs.submitToolOutputsStream, run, outputs(run));
  second.on("textDelta", (delta, snapshot) => {
    text += delta.value;
    assert.equal(snapshot.value, text);
  });
  const [message] = await second.finalMessages();
  assert.equal(text, answer);
  assert.equal(message.content[0].text.value, answer);
}

async function streamRaw(assistant_id) {
  const names = [];
  let run;
  const stream = await threads.createAndRun({ assistant_id, thread: { messages: [question] }, stream: true });
  for await (const { event, data } of stream) {
    names.push(event);
    if (event === "thread.run.requires_action") run = data;
  }
  assert.equal(names[0], "thread.created");
  const more = [];
  const second = await onRun(runs.submitToolOutputs, run, { ...outputs(run), stream: true });
  for await (const { event } of second) more.push(event);
  assert.equal(more[0], "thread.run.step.completed");
  assert.equal(more.at(-1), "thread.run.completed");
}

async function theRest(assistant_id) {
  const run = await threads.createAndRunPoll({ assistant_id, thread: { messages: [question] } });
  assert.equal(run.status, "requires_action");
  assert.equal((await onRun(runs.retrieve, run)).id, run.id);
  assert.equal((await onRun(runs.cancel, run)).status, "cancelling");
  await assert.rejects(threads.retrieve("thread_" + "x".repeat(24)), (error) => error.status === 404);
  assert.equal((await client.models.list()).object, "list");
}

(async () => {
  const { id } = await client.beta.assistants.create({ model: "gpt-4o", instructions: "Be brief.", tools });
  await poll(id);
  await streamThroughEvents(id);
  await streamRaw(id);
  await theRest(id);
  console.log(`openai (Node) ${version} had no complaint`);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
