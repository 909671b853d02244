// One item of a conversation: a message, or calls of tools.

import * as api from "./api.js";
import { textOf } from "./conversation.js";
import { Code, Markdown } from "./markdown.js";
import { CopyButton, cx, html, Icon, IconButton, memo, Status, tellProblem, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";
import { clock, moment, t } from "./words.js";

export const Item = memo(({ item, live, onEdit, onNote }) =>
  (item.kind === "step" ? html`<${Step} step=${item.step} />`
    : html`<${Message} message=${item.message} live=${live} onEdit=${onEdit} onNote=${onNote} />`));

function Message({ message, live, onEdit, onNote }) {
  const [draft, setDraft] = useState(null);
  const mine = message.role === "user";
  const label = t(mine ? "chat.you" : "chat.assistant");
  return html`<article class=${cx("message", mine ? "of-user" : "of-assistant")} aria-label=${label}>
    <header><span class="who">${label}</span>
      <time title=${moment(message.created_at)}>${clock(message.created_at)}</time>
      ${message.status === "incomplete" && html`<${Status} value="incomplete" />`}
      <span class="tools">
        <${CopyButton} textOf=${() => textOf(message)} />
        ${mine && onEdit && html`<${IconButton} icon="edit" label=${t("chat.edit")} onClick=${() => setDraft(textOf(message))} />`}
      </span></header>
    ${draft === null ? html`<${Content} message=${message} live=${live} onNote=${onNote} />`
      : html`<${Editing} text=${draft} onText=${setDraft} onCancel=${() => setDraft(null)}
          onDone=${() => { onEdit(message, draft); setDraft(null); }} />`}
  </article>`;
}

function Editing({ text, onText, onCancel, onDone }) {
  const box = useRef();
  useLayoutEffect(() => box.current.focus(), []);
  const press = (event) => {
    if (event.key === "Escape") onCancel();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim()) onDone();
  };
  return html`<div class="editing">
    <textarea rows="3" aria-label=${t("chat.edit")} value=${text} ref=${box} onInput=${(e) => onText(e.target.value)}
      onKeyDown=${press}></textarea>
    <div class="row end"><button type="button" onClick=${onCancel}>${t("cancel")}</button>
      <button type="button" class="primary" disabled=${!text.trim()} onClick=${onDone}>${t("chat.rerun")}</button></div>
    <span class="hint">${t("chat.rerunHint")}</span></div>`;
}

function Content({ message, live, onNote }) {
  const waiting = live && !message.content.length;
  return html`<div class="content">
    ${waiting && html`<span class="typing" aria-label=${t("status.in_progress")}><i></i><i></i><i></i></span>`}
    ${message.content.map((part, place) => html`<${Part} key=${place} part=${part} live=${live} message=${message} onNote=${onNote} />`)}
    ${message.attachments?.length > 0 && html`<ul class="attachments">
      ${message.attachments.map((one) => html`<li><${FileChip} id=${one.file_id} /></li>`)}</ul>`}
  </div>`;
}

function Part({ part, live, message, onNote }) {
  if (part.type === "text") {
    return html`<${Markdown} text=${part.text.value} notes=${part.text.annotations} live=${live}
      onNote=${(note) => (note.type === "file_path" ? downloadMade(note.file_path.file_id) : onNote?.(note, message))} />`;
  }
  if (part.type === "image_file") return html`<${Picture} fileId=${part.image_file.file_id} />`;
  if (part.type === "image_url") return html`<p class="hint">${t("md.image")} ${part.image_url.url.slice(0, 200)}</p>`;
  return html`<p>${part.refusal}</p>`;
}

/** A picture out of a file: fetched with the key, shown from memory, and only if it is one of these kinds. */
const KINDS = [["image/png", [0x89, 0x50]], ["image/jpeg", [0xff, 0xd8]], ["image/gif", [0x47, 0x49]], ["image/webp", [0x52, 0x49]]];

export function Picture({ fileId }) {
  const [state, setState] = useState({});
  useEffect(() => {
    let url = null;
    let wanted = true;
    picture(fileId).then(
      (found) => { if (wanted) { url = found; setState({ url }); } else URL.revokeObjectURL(found); },
      (error) => wanted && setState({ error }),
    );
    return () => { wanted = false; if (url) URL.revokeObjectURL(url); };
  }, [fileId]);
  if (state.error) return html`<p class="hint">${t("md.image")} ${fileId}: ${state.error.message}</p>`;
  return state.url ? html`<img class="picture" src=${state.url} alt=${t("chat.picture", { id: fileId })} />` : html`<p class="hint">…</p>`;
}

async function picture(fileId) {
  const blob = await api.bytes(`files/${fileId}/content`);
  const head = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const kind = KINDS.find(([, start]) => start.every((byte, place) => head[place] === byte));
  if (!kind) throw new Error(t("chat.noPicture"));
  return URL.createObjectURL(new Blob([blob], { type: kind[0] }));
}

const known = new Map();

async function downloadMade(id) {
  const file = known.get(id) ?? (await api.get(`files/${id}`).catch(() => null));
  await api.download(id, file?.filename).catch(tellProblem);
}

/** The name of a file; a button that downloads it, if the API gives it back. */
export function FileChip({ id }) {
  const [file, setFile] = useState(known.get(id));
  useEffect(() => {
    if (!known.has(id)) api.get(`files/${id}`).then((found) => { known.set(id, found); setFile(found); }, () => {});
  }, [id]);
  const name = file?.filename ?? id;
  if (!api.isGivenBack(file)) return html`<span class="chip" title=${id}><${Icon} name="files" />${name}</span>`;
  return html`<button type="button" class="chip" title=${id} onClick=${() => api.download(id, name).catch(tellProblem)}>
    <${Icon} name="files" />${name}</button>`;
}

// --- calls of tools ----------------------------------------------------------------------------------------------

export function Step({ step }) {
  const calls = step.step_details?.tool_calls ?? [];
  return html`<div class="step">${calls.map((call) => html`<${Call} key=${call.id} call=${call} step=${step} />`)}
    ${step.last_error && html`<p class="banner problem">${step.last_error.message}</p>`}</div>`;
}

const SHOWN = { function: FunctionCall, code_interpreter: CodeCall, file_search: SearchCall };

function Call({ call, step }) {
  const Body = SHOWN[call.type] ?? (() => null);
  const title = call.type === "function" ? call.function?.name : t("tool." + call.type);
  return html`<details class="call" open=${call.type !== "file_search"}>
    <summary><${Icon} name="tool" /><span class="call-name">${title}</span>
      ${step.status !== "completed" && html`<${Status} value=${step.status} />`}</summary>
    <${Body} call=${call} /></details>`;
}

const ONE_LINE = 72;

/** JSON as one reads it: on one line if it fits there. */
export function pretty(json) {
  let value;
  try { value = JSON.parse(json); } catch { return json; }
  const line = JSON.stringify(value, null, 1).replaceAll(/\n */g, " ");
  return line.length <= ONE_LINE ? line : JSON.stringify(value, null, 2);
}

const isJson = (text) => { try { JSON.parse(text); return true; } catch { return false; } };

function FunctionCall({ call: { function: given = {} } }) {
  return html`<span class="hint">${t("tool.arguments")}</span><${Code} text=${pretty(given.arguments ?? "")} language="json" />
    ${given.output != null && html`<span class="hint">${t("tool.output")}</span><${Code} text=${pretty(given.output)} language=${isJson(given.output) ? "json" : ""} />`}`;
}

function CodeCall({ call: { code_interpreter: run = {} } }) {
  return html`<${Code} text=${run.input ?? ""} language="python" />
    ${(run.outputs ?? []).filter(Boolean).map((output, place) => output.type === "image"
      ? html`<${Picture} key=${place} fileId=${output.image.file_id} />`
      : html`<div key=${place}><span class="hint">${t("tool.logs")}</span><pre class="logs">${output.logs}</pre></div>`)}`;
}

function SearchCall({ call: { file_search: search = {} } }) {
  const results = search.results ?? [];
  if (!results.length) return html`<p class="hint">${t("tool.noResults")}</p>`;
  return html`<${Results} results=${results} />`;
}

export function Results({ results }) {
  return html`<ol class="results">${results.map((result) => html`<li>
    <div class="row"><strong>${result.file_name ?? result.filename ?? result.file_id}</strong>
      <span class="score" title=${t("stores.score")}>${Number(result.score).toFixed(3)}</span></div>
    ${(result.content ?? []).map((part) => html`<p class="passage">${part.text}</p>`)}</li>`)}</ol>`;
}
