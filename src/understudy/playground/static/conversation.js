// What a thread shows, out of events and of lists. Pure: nothing here talks to the server.
//
// A conversation is `{thread, run, items, error}`; an item is a message, or a step with calls of tools.

export const FINAL = new Set(["completed", "failed", "cancelled", "expired", "incomplete"]);

export const EMPTY = { thread: null, run: null, items: [], error: null };

/** The conversation after one more event of a run's stream. */
export function fold(state, { name, data }) {
  if (name === "error") return { ...state, error: data.error ?? data };
  if (name === "thread.created") return { ...state, thread: data };
  if (name.startsWith("thread.message.")) return folded(state, name, data, "message");
  if (name.startsWith("thread.run.step.")) return folded(state, name, data, "step");
  return name.startsWith("thread.run.") ? { ...state, run: later(state.run, data) } : state;
}

/** A stream and the answer to a request may overtake each other: a run that has ended stays so. */
const later = (old, run) => (old?.id === run.id && FINAL.has(old.status) && !FINAL.has(run.status) ? old : run);

function folded(state, name, data, kind) {
  const place = state.items.findIndex((item) => item.id === data.id);
  if (name.endsWith(".delta")) {
    return place < 0 ? state : put(state, place, withDelta(state.items[place], data.delta));
  }
  if (kind === "step" && data.type !== "tool_calls") return state;
  return put(state, place, { kind, id: data.id, [kind]: data });
}

function put(state, place, item) {
  const items = [...state.items];
  items[place < 0 ? items.length : place] = item;
  return { ...state, items };
}

function withDelta(item, delta) {
  if (item.kind === "message") return { ...item, message: merged(item.message, { content: delta.content ?? [] }) };
  return { ...item, step: merged(item.step, delta) };
}

/** Add a delta as the SDKs do: texts are appended, members of lists with an `index` go to their places. */
export function merged(whole, part) {
  const result = { ...whole };
  for (const [key, value] of Object.entries(part)) {
    const old = result[key];
    if (key === "index" || key === "type" || old === undefined || old === null) result[key] = fresh(value);
    else if (typeof value === "string") result[key] = old + value;
    else if (Array.isArray(value)) result[key] = mergedList(old, value);
    else if (typeof value === "object" && value !== null) result[key] = merged(old, value);
    else result[key] = value;
  }
  return result;
}

const fresh = (value) => (Array.isArray(value) ? mergedList([], value) : value);

function mergedList(old, parts) {
  const list = [...old];
  for (const part of parts) {
    const place = part?.index;
    if (place === undefined) list.push(part);
    else list[place] = list[place] === undefined ? merged({}, part) : merged(list[place], part);
  }
  return list;
}

/** Put a thread's messages and its runs' steps into the order in which they came; all lists oldest first. */
export function arranged(messages, runs) {
  const items = [];
  const waiting = new Map(runs.map(({ run, steps }) => [run.id, [...steps]]));
  const take = (runId, upTo) => {
    const steps = waiting.get(runId) ?? [];
    while (steps.length) {
      const step = steps.shift();
      if (step.type === "tool_calls") items.push({ kind: "step", id: step.id, step });
      else if (step.step_details.message_creation?.message_id === upTo) return;
    }
  };
  let last = null;
  for (const message of messages) {
    if (last && message.run_id !== last) take(last, null);
    if (message.role === "user") for (const id of silentBefore(message, runs, waiting, messages)) take(id, null);
    if (message.run_id) take(message.run_id, message.id);
    items.push({ kind: "message", id: message.id, message });
    last = message.run_id ?? null;
  }
  for (const { run } of runs) take(run.id, null);
  return items;
}

function* silentBefore(message, runs, waiting, messages) {
  const speaking = new Set(messages.map((one) => one.run_id));
  for (const { run } of runs) if (!speaking.has(run.id) && run.created_at < message.created_at && waiting.get(run.id)?.length) yield run.id;
}

export const textOf = (message) =>
  message.content.filter((part) => part.type === "text").map((part) => part.text.value).join("\n\n");

/** What is copied into a new thread when a conversation is begun again from a message. */
export function asGiven(message, text = null) {
  const parts = message.content.flatMap((part) => {
    if (part.type === "text") return text === null && part.text.value ? [{ type: "text", text: part.text.value }] : [];
    if (part.type === "image_file") return [{ type: "image_file", image_file: { file_id: part.image_file.file_id } }];
    return part.type === "image_url" ? [{ type: "image_url", image_url: part.image_url }] : [];
  });
  const content = text === null ? parts : [{ type: "text", text }, ...parts];
  const attachments = message.attachments?.length ? { attachments: message.attachments } : {};
  return { role: message.role, content, ...attachments };
}

export const openCalls = (run) =>
  run?.status === "requires_action" ? run.required_action?.submit_tool_outputs?.tool_calls ?? [] : [];
