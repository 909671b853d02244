// Every run of a thread along its time: waiting, calls of the model with their first tokens, tools, waits for outputs.

import * as api from "./api.js";
import { Item, Step } from "./chat_items.js";
import { Code } from "./markdown.js";
import { Dialog, html, Problem, Status, useLoaded, useState } from "./ui.js";
import { duration, moment, number, t } from "./words.js";

export function Timeline({ thread, names }) {
  const spoken = thread.items.filter((item) => item.kind === "message");
  const asked = spoken.filter((item) => !item.message.run_id);
  const rows = [...asked.map((item) => ({ at: item.message.created_at, rank: 0, item })),
    ...thread.runs.map((one) => ({ at: one.run.created_at, rank: 1, ...one }))];
  const order = new Map(thread.items.map((item, place) => [item.id, place]));
  const placeOf = (row) => order.get(row.item?.id ?? firstOf(row, spoken)) ?? Infinity;
  rows.sort((one, other) => placeOf(one) - placeOf(other) || one.at - other.at || one.rank - other.rank);
  return html`<div class="timeline">${rows.map((row) => row.item
    ? html`<${Item} key=${row.item.id} item=${row.item} />`
    : html`<${Run} key=${row.run.id} run=${row.run} steps=${row.steps} spoken=${spoken} names=${names} />`)}
    ${!rows.length && html`<p class="hint">${t("threads.empty")}</p>`}</div>`;
}

/** The first item that a run left in the conversation. */
function firstOf({ run, steps }, spoken) {
  const message = spoken.find((item) => item.message.run_id === run.id);
  const step = steps.find((one) => one.type === "tool_calls");
  return step?.id ?? message?.id;
}

function Run({ run, steps, spoken, names }) {
  const calls = useLoaded(() => api.get(`threads/${run.thread_id}/runs/${run.id}/model_calls`).then((page) => page.data), [run.id]);
  const [opened, setOpened] = useState(null);
  const parts = spansOf(run, steps, calls.value ?? []);
  const end = Math.max(...parts.map((part) => part.end), run.created_at + 0.001);
  const start = Math.min(...parts.map((part) => part.start), run.created_at + 1);
  const said = spoken.filter((item) => item.message.run_id === run.id);
  return html`<section class="run" aria-label=${`${t("run.run")} ${run.id}`}>
    <header><strong>${names?.get(run.assistant_id) || run.assistant_id}</strong><${Status} value=${run.status} />
      <span class="hint">${moment(run.created_at)} · ${run.model}${run.usage ? ` · ${t("run.usage", {
        prompt: number(run.usage.prompt_tokens), completion: number(run.usage.completion_tokens) })}` : ""}</span></header>
    ${run.last_error && html`<p class="banner problem">${run.last_error.code}: ${run.last_error.message}</p>`}
    ${run.incomplete_details && html`<p class="banner problem">${run.incomplete_details.reason}</p>`}
    <${Problem} error=${calls.error} />
    <ol class="spans">${parts.map((part) => html`<li key=${part.key}>
      <button type="button" class="span-label" disabled=${!part.call && !part.step} onClick=${() => setOpened(part)}>
        <span class="cut">${part.label}</span><span class="hint">${part.note}</span></button>
      <${Bar} part=${part} start=${start} end=${end} /></li>`)}</ol>
    ${said.map((item) => html`<${Item} key=${item.id} item=${item} />`)}
    ${opened?.call && html`<${ModelCall} run=${run} call=${opened.call} onClose=${() => setOpened(null)} />`}
    ${opened?.step && html`<${Dialog} title=${opened.label} onClose=${() => setOpened(null)} wide><${Step} step=${opened.step} /><//>`}
  </section>`;
}

/** Times of the API are whole seconds, those of model calls are finer: what lies between calls is taken from these. */
function spansOf(run, steps, calls) {
  const parts = [];
  const first = calls[0]?.started_at ?? run.started_at ?? run.completed_at ?? run.created_at;
  const began = Math.min(run.created_at + 1, first);
  parts.push({ key: "queued", kind: "queued", label: t("status.queued"), start: Math.min(began, first), end: first, note: "" });
  calls.forEach((call, place) => {
    const end = call.finished_at ?? call.started_at;
    const token = call.first_token_at ? t("run.firstToken", { time: duration(call.first_token_at - call.started_at) }) : t("run.noToken");
    parts.push({ key: call.id, kind: "model", label: `${t("run.modelCall")} ${place + 1}`, start: call.started_at, first: call.first_token_at, end, call,
      note: `${duration(end - call.started_at)} · ${token}` });
    const step = steps.find((one) => one.id === call.step_id && one.type === "tool_calls");
    if (step) parts.push(toolSpan(step, end, calls[place + 1]?.started_at, run));
  });
  return parts;
}

function toolSpan(step, start, next, run) {
  const tools = step.step_details.tool_calls ?? [];
  const end = next ?? Math.max(start, step.completed_at ?? run.completed_at ?? run.cancelled_at ?? run.failed_at ?? start);
  const waits = tools.some((call) => call.type === "function");
  const label = tools.map((call) => (call.type === "function" ? call.function.name : t("tool." + call.type))).join(", ");
  return { key: step.id, kind: waits ? "wait" : "tool", label, start, end, step, note: `${t(waits ? "run.waited" : "run.worked")} ${duration(end - start)}` };
}

function Bar({ part, start, end }) {
  const scale = (moment) => (100 * (moment - start)) / Math.max(end - start, 0.001);
  const x = scale(part.start);
  const width = Math.max(0.6, scale(part.end) - x);
  return html`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
    <rect class=${"bar-" + part.kind} x=${Math.min(x, 99.4)} y="1" width=${width} height="6" />
    ${part.first && html`<rect class="bar-first" x=${x} y="1" width=${Math.max(0, scale(part.first) - x)} height="6" />`}</svg>`;
}

function ModelCall({ run, call, onClose }) {
  const found = useLoaded(() => api.get(`threads/${run.thread_id}/runs/${run.id}/model_calls/${call.id}`), [call.id]);
  const prompt = found.value?.prompt;
  const facts = { model: call.model, started: moment(call.started_at), first: call.first_token_at && duration(call.first_token_at - call.started_at),
    total: call.finished_at && duration(call.finished_at - call.started_at), finish: call.finish_reason, attempt: call.attempt,
    prompt: call.usage && number(call.usage.prompt_tokens), completion: call.usage && number(call.usage.completion_tokens) };
  return html`<${Dialog} title=${t("run.sent")} onClose=${onClose} wide>
    <dl class="facts">${Object.entries(facts).map(([name, value]) => value != null && html`<div><dt>${t("fact." + name)}</dt><dd>${value}</dd></div>`)}</dl>
    <${Problem} error=${found.error} />
    ${prompt?.missing_message_ids.length > 0 && html`<p class="banner">${t("run.missing", { n: prompt.missing_message_ids.length })}</p>`}
    ${prompt?.messages.map((message, place) => html`<${Sent} key=${place} message=${message} />`)}
    ${prompt && html`<details class="call"><summary>${t("run.options")}</summary><${Code} language="json" text=${JSON.stringify(options(prompt), null, 2)} /></details>`}
  <//>`;
}

function options({ messages: _, missing_message_ids: __, ...rest }) {
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length)));
}

function Sent({ message }) {
  const { content, tool_calls: calls } = message;
  const text = typeof content === "string" ? content : content && JSON.stringify(content, null, 2);
  return html`<div class=${"sent sent-" + message.role}><span class="tag">${message.role}</span>
    ${message.tool_call_id && html`<span class="hint">${message.tool_call_id}</span>`}
    ${text != null && html`<pre>${text}</pre>`}
    ${calls?.map((call) => html`<pre key=${call.id}>${call.function.name}(${call.function.arguments})</pre>`)}</div>`;
}
