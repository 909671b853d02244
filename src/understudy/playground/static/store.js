// One vector store: its files and how far they are, and a search to try.

import * as api from "./api.js";
import { Results } from "./chat_items.js";
import { DropZone } from "./files.js";
import { html, IconButton, Problem, Status, useEffect, useLoaded, useState } from "./ui.js";
import { size, t } from "./words.js";

const LOOK_MS = 1500;

export function Store({ id, go, toast, files, onChange }) {
  const path = `vector_stores/${id}`;
  const store = useLoaded(() => api.get(path), []);
  const inside = useLoaded(() => api.all(`${path}/files`), []);
  const names = new Map((files.value ?? []).map((file) => [file.id, file.filename]));
  const working = inside.value?.some((file) => file.status === "in_progress");
  const look = () => { inside.reload(); store.reload(); };
  useEffect(() => {
    if (!working) return undefined;
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [working]);
  const add = async (fileId) => {
    try { await api.post(`${path}/files`, { file_id: fileId }); look(); files.reload(); } catch (error) { toast(error.message, true); }
  };
  const drop = async (fileId) => {
    try { await api.remove(`${path}/files/${fileId}`); look(); } catch (error) { toast(error.message, true); }
  };
  const remove = async () => {
    if (!confirm(t("stores.sure", { name: store.value?.name || id }))) return;
    try { await api.remove(path); onChange(); go("files"); } catch (error) { toast(error.message, true); }
  };
  const left = (files.value ?? []).filter((file) => !inside.value?.some((one) => one.id === file.id));
  return html`<section class="page" aria-label=${store.value?.name || id}>
    <header class="page-head"><a class="button quiet" href="#/files" aria-label=${t("back")}>←</a><div><h1 class="cut">${store.value?.name || id}</h1>
      <span class="hint">${id}</span></div><span class="grow"></span>${store.value && html`<${Status} value=${store.value.status} />`}
      <button type="button" class="danger" onClick=${remove}>${t("delete")}</button></header>
    <${Problem} error=${store.error ?? inside.error} retry=${look} />
    <div class="cards"><div class="card wide"><h2>${t("files.title")}</h2>
      <${DropZone} onDone=${(file) => add(file.id)} />
      ${left.length > 0 && html`<select aria-label=${t("stores.addFile")} value="" onChange=${(e) => e.target.value && add(e.target.value)}>
        <option value="">${t("stores.addFile")} …</option>${left.map((file) => html`<option value=${file.id}>${file.filename}</option>`)}</select>`}
      <ul class="file-rows">${(inside.value ?? []).map((file) => html`<li key=${file.id}><span class="cut">${names.get(file.id) ?? file.id}</span>
        <${Status} value=${file.status} /><span class="hint">${size(file.usage_bytes ?? 0)}</span>
        ${file.last_error && html`<span class="problem">${file.last_error.message}</span>`}<span class="grow"></span>
        <${IconButton} icon="close" label=${`${t("remove")} ${names.get(file.id) ?? file.id}`} onClick=${() => drop(file.id)} /></li>`)}</ul></div>
      <${Search} path=${path} /></div></section>`;
}

function Search({ path }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const ask = async (event) => {
    event.preventDefault();
    const query = new FormData(event.target).get("query").trim();
    if (!query) return;
    setError(null);
    try { setFound((await api.post(`${path}/search`, { query, max_num_results: 10 })).data); } catch (problem) { setError(problem); }
  };
  return html`<div class="card wide"><h2>${t("stores.try")}</h2><form class="row" onSubmit=${ask}>
    <input name="query" class="grow" type="search" placeholder=${t("stores.question")} aria-label=${t("stores.question")} />
    <button type="submit" class="primary">${t("stores.search")}</button></form><${Problem} error=${error} />
    ${found && (found.length ? html`<${Results} results=${found} />` : html`<p class="hint">${t("nothingFound")}</p>`)}</div>`;
}
