// Where a citation leads: the passage that was quoted, and the file around it.

import * as api from "./api.js";
import { stepsOf } from "./talk.js";
import { Dialog, html, Problem, tellProblem, useEffect, useLoaded, useRef } from "./ui.js";
import { t } from "./words.js";

export function Passage({ note, message, assistant, onClose }) {
  const fileId = (note.file_citation ?? note.file_path)?.file_id;
  const found = useLoaded(() => lookUp(note, message, assistant, fileId), [note]);
  const { name, passage, text, file } = found.value ?? {};
  return html`<${Dialog} title=${name ?? fileId} onClose=${onClose} wide>
    <${Problem} error=${found.error} />
    ${passage && html`<h3>${t("passage.quoted")}</h3><blockquote class="passage">${passage}</blockquote>`}
    ${text && html`<h3>${t("passage.file")}</h3><${Whole} text=${text} passage=${passage} />`}
    ${found.value && !passage && !text && html`<p class="hint">${t("passage.none")}</p>`}
    ${api.isGivenBack(file) && html`<div class="row end"><button type="button" onClick=${() => api.download(fileId, name).catch(tellProblem)}>
      ${t("download")}</button></div>`}
  <//>`;
}

function Whole({ text, passage }) {
  const mark = useRef();
  useEffect(() => mark.current?.scrollIntoView({ block: "center" }), []);
  const start = passage ? text.indexOf(passage) : -1;
  if (start < 0) return html`<pre class="whole">${text}</pre>`;
  return html`<pre class="whole">${text.slice(0, start)}<mark ref=${mark}>${passage}</mark>${text.slice(start + passage.length)}</pre>`;
}

async function lookUp(note, message, assistant, fileId) {
  const [file, passage, text] = await Promise.all([
    api.get(`files/${fileId}`).catch(() => null),
    note.file_citation ? quoted(note, message, fileId).catch(() => null) : null,
    parsed(assistant, message, fileId).catch(() => null),
  ]);
  return { name: file?.filename, file, passage, text };
}

/** The search result that the mark `【4:1†name】` counts to: the second one; else the first of that file. */
async function quoted(note, message, fileId) {
  if (note.file_citation.quote) return note.file_citation.quote;
  if (!message.run_id) return null;
  const steps = await stepsOf({ id: message.run_id, thread_id: message.thread_id });
  const searches = steps.flatMap((step) => step.step_details.tool_calls ?? []).filter((call) => call.type === "file_search");
  const results = searches.flatMap((call) => call.file_search.results ?? []);
  const place = /^【\d+:(\d+)†/.exec(note.text)?.[1];
  const counted = results[Number(place ?? -1)];
  const result = counted?.file_id === fileId ? counted : results.find((one) => one.file_id === fileId);
  return result?.content?.map((part) => part.text).join("\n") ?? null;
}

async function parsed(assistant, message, fileId) {
  const thread = await api.get(`threads/${message.thread_id}`);
  const stores = [thread, assistant].flatMap((owner) => owner?.tool_resources?.file_search?.vector_store_ids ?? []);
  for (const store of stores) {
    const page = await api.get(`vector_stores/${store}/files/${fileId}/content`).catch(() => null);
    if (page) return (page.data ?? page.content ?? []).map((part) => part.text).join("\n");
  }
  return null;
}
