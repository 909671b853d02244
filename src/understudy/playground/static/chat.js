// The playground: talk to an assistant.

import * as api from "./api.js";
import { Item } from "./chat_items.js";
import { CallsToAnswer } from "./calls_to_answer.js";
import { Composer, useUploads } from "./composer.js";
import { FINAL, openCalls } from "./conversation.js";
import { Passage } from "./passage.js";
import { useTalk } from "./talk.js";
import { Empty, html, Icon, Problem, Status, useCallback, useLayoutEffect, useLoaded, useRef, useState } from "./ui.js";
import { number, t, wholeSeconds } from "./words.js";

export function Chat({ threadId, assistantId, go }) {
  const assistants = useLoaded(() => api.all("assistants"), []);
  const talk = useTalk(threadId, (id) => go(`chat/${id}`, { assistant: chosen?.id }));
  const uploads = useUploads();
  const [note, setNote] = useState(null);
  const [dragging, setDragging] = useState(false);
  const known = assistants.value ?? [];
  const wanted = assistantId ?? talk.state.run?.assistant_id;
  const chosen = known.find((one) => one.id === wanted) ?? known[0];
  const { run, items, error } = talk.state;
  const calls = talk.busy ? [] : openCalls(run);
  const running = talk.busy || calls.length > 0;

  const send = (text) => {
    const content = [{ type: "text", text }, ...pictures(uploads).map((file_id) => ({ type: "image_file", image_file: { file_id } }))];
    talk.begin(chosen.id, [{ role: "user", content: content.length > 1 ? content : text, ...attached(uploads, chosen) }]);
    uploads.clear();
  };
  const latest = useRef();
  latest.current = (message, text) => talk.rerun(chosen.id, message, text);
  const edit = useCallback((message, text) => latest.current(message, text), []);
  const open = useCallback((one, message) => setNote({ note: one, message, assistant: chosen }), [chosen]);
  useLayoutEffect(() => { // the key must find the run that is shown, not the one of the last frame
    const press = (event) => { if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) talk.stop(); };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
  const drop = (event) => {
    event.preventDefault();
    setDragging(false);
    uploads.add([...event.dataTransfer.files]);
  };
  const isFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  return html`<section class=${"page chat" + (dragging ? " dragging" : "")} aria-label=${t("nav.chat")} onDrop=${drop}
      onDragOver=${(e) => { if (isFile(e)) { e.preventDefault(); setDragging(true); } }}
      onDragLeave=${(e) => { if (e.target === e.currentTarget) setDragging(false); }}>
    <header class="page-head"><h1 class="unseen">${t("nav.chat")}</h1>
      ${known.length > 0 && html`<select aria-label=${t("chat.pick")} value=${chosen?.id} onChange=${(e) => go(threadId ? `chat/${threadId}` : "chat", { assistant: e.target.value })}>
        ${known.map((one) => html`<option value=${one.id}>${one.name || one.id}</option>`)}</select>`}
      ${chosen && html`<span class="hint model">${chosen.model}</span>`}
      <span class="grow"></span>
      ${threadId && html`<a class="button quiet" href=${`#/threads/${threadId}`}>${t("chat.timeline")}</a>`}
      <a class="button" href=${`#/chat?assistant=${chosen?.id ?? ""}`} title="Alt+N"><${Icon} name="plus" /><span>${t("chat.new")}</span></a>
    </header>
    <${Conversation} items=${items.filter((item) => !isAnswered(item, calls))} busy=${talk.busy} run=${run} empty=${emptyWords(assistants, known, chosen)}
      onNote=${open} onEdit=${chosen && !running ? edit : null} />
    <div class="chat-foot">
      <${Problem} error=${error ?? assistants.error} />
      ${calls.length > 0 && html`<${CallsToAnswer} key=${run.id + calls[0].id} calls=${calls} onSubmit=${talk.submit} />`}
      <${Ending} run=${run} busy=${talk.busy} />
      <${Composer} disabled=${!chosen} loading=${talk.loading} running=${running} onSend=${send} onStop=${talk.stop} uploads=${uploads} />
    </div>
    ${note && html`<${Passage} ...${note} onClose=${() => setNote(null)} />`}
  </section>`;
}

/** A call that waits is shown where its output is typed, and not a second time. */
const isAnswered = (item, calls) => item.kind === "step" && item.step.step_details.tool_calls?.some((call) => calls.some((open) => open.id === call.id));

function emptyWords(assistants, known, chosen) {
  if (!assistants.value) return null;
  if (!known.length) return html`${t("chat.noAssistants")} <a href="#/assistants/new">${t("assistants.new")}</a>`;
  return t("chat.empty", { name: chosen?.name || chosen?.id });
}

/** What is said; it stays at its end while it grows, unless its reader has scrolled away. */
function Conversation({ items, busy, run, empty, onNote, onEdit }) {
  const box = useRef();
  const follows = useRef(true);
  useLayoutEffect(() => { // told after the browser's own layout: to ask for heights earlier would cost a second one
    const grown = new ResizeObserver(() => { if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight; });
    grown.observe(box.current.firstElementChild);
    grown.observe(box.current);
    return () => grown.disconnect();
  }, []);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    follows.current = scrollHeight - scrollTop - clientHeight < 60;
  };
  const last = items.at(-1);
  return html`<div class="conversation" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="polite" aria-busy=${busy}
      aria-label=${t("chat.log")}><div class="column">
    ${!items.length && empty && html`<${Empty} icon="chat">${empty}<//>`}
    ${items.map((item) => html`<${Item} key=${item.id} item=${item} onNote=${onNote} onEdit=${onEdit}
      live=${busy && item === last && item.message?.status === "in_progress"} />`)}
    ${busy && (!last || last.message?.role === "user" || last.kind === "step") && html`<p class="waiting"><span class="typing"><i></i><i></i><i></i></span>
      <${Status} value=${run && !FINAL.has(run.status) ? run.status : "queued"} /></p>`}
  </div></div>`;
}

function Ending({ run, busy }) {
  if (!run || busy || !FINAL.has(run.status)) return null;
  if (run.status !== "completed") {
    const why = run.last_error?.message ?? run.incomplete_details?.reason ?? "";
    return html`<p class="ending"><${Status} value=${run.status} /> ${why}</p>`;
  }
  const seconds = run.completed_at - run.created_at; // `started_at` is that of the last leg only, once outputs were awaited
  return html`<p class="ending hint">${t("chat.used", { tokens: number(run.usage?.total_tokens), time: wholeSeconds(seconds) })}</p>`;
}

const pictures = ({ uploads }) => uploads.filter((one) => one.picture && one.file).map((one) => one.file.id);

const SEARCHABLE = new Set("c cpp cs css csv doc docx eml epub go html java js json md odt pdf php pptx py rb rtf sh tex ts txt xlsx".split(" "));

/** What may read a file: a kind that cannot be searched is the code interpreter's alone, where there is one. */
function readers(file, assistant) {
  const tools = assistant.tools.map((tool) => tool.type).filter((type) => type !== "function");
  const searchable = SEARCHABLE.has(file.filename.toLowerCase().split(".").at(-1));
  return !tools.length ? ["file_search"] : tools.includes("code_interpreter") && !searchable ? ["code_interpreter"] : tools;
}

function attached({ uploads }, assistant) {
  const files = uploads.filter((one) => !one.picture && one.file).map((one) => one.file);
  return files.length ? { attachments: files.map((file) => ({ file_id: file.id, tools: readers(file, assistant).map((type) => ({ type })) })) } : {};
}
