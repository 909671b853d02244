// Files and vector stores.

import * as api from "./api.js";
import { files as allFiles, stores as allStores } from "./resources.js";
import { Store } from "./store.js";
import { Empty, html, Icon, IconButton, Problem, serial, Status, useLoaded, useRef, useState } from "./ui.js";
import { ago, size, t } from "./words.js";

export function Files({ id, go, toast }) {
  const files = useLoaded(allFiles, []);
  const stores = useLoaded(allStores, []);
  const nothing = files.value === null && stores.value === null;
  if (id) return html`<${Store} key=${id} id=${id} go=${go} toast=${toast} files=${files} onChange=${stores.reload} />`;
  return html`<section class="page" aria-label=${t("nav.files")}>
    <header class="page-head"><h1>${t("nav.files")}</h1></header>
    ${nothing && html`<${Empty} icon="files">${t("files.none")}<//>`}
    <div class="cards">
      ${stores.value !== null && html`<${StoreList} stores=${stores} go=${go} toast=${toast} />`}
      ${files.value !== null && html`<${FileList} files=${files} toast=${toast} />`}
    </div></section>`;
}

function StoreList({ stores, go, toast }) {
  const create = async (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    try {
      const made = await api.post("vector_stores", name ? { name } : {});
      stores.reload();
      go(`files/${made.id}`);
    } catch (error) { toast(error.message, true); }
  };
  return html`<div class="card wide"><h2>${t("stores.title")}</h2><${Problem} error=${stores.error} retry=${stores.reload} />
    <form class="row" onSubmit=${create}><input name="name" class="grow" placeholder=${t("stores.name")} aria-label=${t("stores.name")} maxlength="256" />
      <button type="submit" class="primary">${t("stores.create")}</button></form>
    <ul class="rows">${(stores.value ?? []).map((store) => html`<li key=${store.id}><a href=${`#/files/${store.id}`}>
      <span class="row"><strong class="cut">${store.name || store.id}</strong><span class="grow"></span><${Status} value=${store.status} /></span>
      <span class="hint">${t("stores.files", { n: store.file_counts?.total ?? 0 })} · ${size(store.usage_bytes ?? 0)} · ${ago(store.created_at)}</span></a></li>`)}</ul>
    ${stores.value?.length === 0 && html`<p class="hint">${t("stores.empty")}</p>`}</div>`;
}

function FileList({ files, toast }) {
  const [sought, setSought] = useState("");
  const found = (files.value ?? []).filter((file) => file.filename.toLowerCase().includes(sought.toLowerCase()));
  const remove = async (file) => {
    if (!confirm(t("files.sure", { name: file.filename }))) return;
    try { await api.remove(`files/${file.id}`); files.reload(); } catch (error) { toast(error.message, true); }
  };
  return html`<div class="card wide"><h2>${t("files.title")}</h2><${Problem} error=${files.error} retry=${files.reload} />
    <${DropZone} onDone=${() => files.reload()} />
    <input type="search" class="search" placeholder=${t("files.search")} aria-label=${t("files.search")} value=${sought} onInput=${(e) => setSought(e.target.value)} />
    <ul class="file-rows">${found.map((file) => html`<li key=${file.id}><span class="cut">${file.filename}</span>
      <span class="hint">${size(file.bytes)} · ${file.purpose} · ${ago(file.created_at)}</span><span class="grow"></span>
      ${api.isGivenBack(file) && html`<${IconButton} icon="down" label=${`${t("download")} ${file.filename}`} onClick=${() => api.download(file.id, file.filename).catch((e) => toast(e.message, true))} />`}
      <${IconButton} icon="trash" label=${`${t("delete")} ${file.filename}`} onClick=${() => remove(file)} /></li>`)}</ul></div>`;
}

/** Takes files and uploads them one after another, with a bar for each; `onDone` gets each file that has come. */
export function DropZone({ onDone }) {
  const [rows, setRows] = useState([]);
  const [over, setOver] = useState(false);
  const picker = useRef();
  const patch = (key, change) => setRows((all) => all.map((row) => (row.key === key ? { ...row, ...change } : row)));
  const add = async (files) => {
    const fresh = [...files].map((file) => ({ key: serial(), name: file.name, share: 0, file }));
    setRows((all) => [...all, ...fresh]);
    for (const row of fresh) {
      try {
        const made = await api.upload(row.file, "assistants", (share) => patch(row.key, { share }));
        setRows((all) => all.filter((one) => one.key !== row.key));
        await onDone(made);
      } catch (error) { patch(row.key, { error: error.message }); }
    }
  };
  return html`<div class=${"drop" + (over ? " over" : "")} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)}
      onDrop=${(e) => { e.preventDefault(); setOver(false); add(e.dataTransfer.files); }}>
    <input type="file" multiple hidden ref=${picker} onChange=${(e) => { add(e.target.files); e.target.value = ""; }} />
    <button type="button" onClick=${() => picker.current.click()}><${Icon} name="clip" /><span>${t("files.upload")}</span></button>
    <span class="hint">${t("files.drop")}</span>
    <ul>${rows.map((row) => html`<li key=${row.key}><span class="cut">${row.name}</span> ${row.error ? html`<span class="problem" role="alert">${row.error}</span>`
      : html`<progress value=${row.share} max="1" aria-label=${row.name}></progress>`}</li>`)}</ul></div>`;
}
