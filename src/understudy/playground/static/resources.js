// Files and vector stores that an assistant may use, chosen from those that there are.

import * as api from "./api.js";
import { html, IconButton, useLoaded } from "./ui.js";
import { t } from "./words.js";

const orNothing = (error) => { if (error.status === 404) return null; throw error; };

export const files = () => api.all("files").catch(orNothing);
export const stores = () => api.all("vector_stores").catch(orNothing);

export function FilesOf({ ids, onChange }) {
  return html`<${Chosen} load=${files} ids=${ids} onChange=${onChange} label=${t("form.files")} none=${t("files.none")} nameOf=${(file) => file.filename} />`;
}

export function StoresOf({ ids, onChange }) {
  return html`<${Chosen} load=${stores} ids=${ids} onChange=${onChange} label=${t("form.stores")} none=${t("stores.none")} nameOf=${(store) => store.name || store.id} />`;
}

function Chosen({ load, ids, onChange, label, none, nameOf }) {
  const there = useLoaded(load, []);
  if (there.value === null) return html`<p class="hint inset">${none}</p>`;
  const known = there.value ?? [];
  const name = (id) => { const found = known.find((one) => one.id === id); return found ? nameOf(found) : id; };
  const left = known.filter((one) => !ids.includes(one.id));
  return html`<div class="inset">
    <ul class="attachments">${ids.map((id) => html`<li key=${id}><span class="chip">${name(id)}
      <${IconButton} icon="close" label=${t("remove") + " " + name(id)} onClick=${() => onChange(ids.filter((one) => one !== id))} /></span></li>`)}</ul>
    <select aria-label=${label} value="" onChange=${(e) => e.target.value && onChange([...ids, e.target.value])}>
      <option value="">${label} …</option>${left.map((one) => html`<option value=${one.id}>${nameOf(one)}</option>`)}</select>
  </div>`;
}
