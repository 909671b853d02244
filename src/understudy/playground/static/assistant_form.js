// The form of one assistant. What a field does not hold is not sent: absent, null and a value are three things.

import * as api from "./api.js";
import { Functions } from "./functions.js";
import { FilesOf, StoresOf } from "./resources.js";
import { Field, html, Icon, Problem, useLayoutEffect, useLoaded, useRef, useState } from "./ui.js";
import { t } from "./words.js";

const NEW = { name: "", description: "", model: "", instructions: "", tools: [], temperature: 1, top_p: 1, response_format: "auto",
  metadata: {}, tool_resources: {} };

function draftOf(one) {
  const format = one.response_format;
  return {
    name: one.name ?? "",
    description: one.description ?? "",
    model: one.model,
    instructions: one.instructions ?? "",
    temperature: one.temperature,
    top_p: one.top_p,
    format: typeof format === "string" ? "auto" : format.type,
    schema: format?.type === "json_schema" ? JSON.stringify(format.json_schema, null, 2) : "",
    functions: one.tools.filter((tool) => tool.type === "function").map((tool) => JSON.stringify(tool.function, null, 2)),
    code: one.tools.some((tool) => tool.type === "code_interpreter"),
    search: one.tools.some((tool) => tool.type === "file_search"),
    files: one.tool_resources?.code_interpreter?.file_ids ?? [],
    stores: one.tool_resources?.file_search?.vector_store_ids ?? [],
    metadata: Object.keys(one.metadata).length ? JSON.stringify(one.metadata, null, 2) : "",
  };
}

/** The request's body: only what differs from `before`, so that what nobody set stays unset. */
function bodyOf(draft, before, assistant) {
  const body = { model: draft.model };
  const changed = (...names) => names.some((name) => JSON.stringify(draft[name]) !== JSON.stringify(before[name]));
  for (const name of ["name", "description", "instructions"]) if (changed(name)) body[name] = draft[name] || null;
  for (const name of ["temperature", "top_p"]) if (changed(name)) body[name] = Number(draft[name]);
  if (changed("format", "schema")) body.response_format = formatOf(draft);
  if (changed("metadata")) body.metadata = draft.metadata.trim() ? JSON.parse(draft.metadata) : {};
  if (changed("functions", "code", "search")) body.tools = toolsOf(draft, assistant);
  const resources = {};
  if (draft.code && changed("files", "code")) resources.code_interpreter = { file_ids: draft.files };
  if (draft.search && changed("stores", "search")) resources.file_search = { vector_store_ids: draft.stores };
  if (Object.keys(resources).length) body.tool_resources = resources;
  return body;
}

function toolsOf(draft, assistant) {
  const kept = (type) => assistant?.tools.find((tool) => tool.type === type) ?? { type };
  return [
    ...(draft.code ? [kept("code_interpreter")] : []),
    ...(draft.search ? [kept("file_search")] : []),
    ...draft.functions.map((text) => ({ type: "function", function: JSON.parse(text) })),
  ];
}

function formatOf({ format, schema }) {
  if (format === "auto") return "auto";
  return format === "json_schema" ? { type: format, json_schema: JSON.parse(schema) } : { type: format };
}

function jsonProblem(text, required) {
  if (!text.trim()) return required ? t("form.needed") : null;
  try { JSON.parse(text); return null; } catch (error) { return t("schema.json", { detail: error.message }); }
}

export function AssistantForm({ assistant, onSave, onCopy, onDelete }) {
  const models = useLoaded(() => api.get("models").then((page) => page.data), []);
  const [before, setBefore] = useState(() => draftOf(assistant ?? NEW));
  const [draft, setDraft] = useState(before);
  const [error, setError] = useState(null);
  const [spoilt, setSpoilt] = useState(false);
  const first = useRef();
  useLayoutEffect(() => { if (!assistant) first.current.focus(); }, []);
  const set = (change) => setDraft((old) => ({ ...old, ...change }));
  const text = (name) => ({ value: draft[name], onInput: (event) => set({ [name]: event.target.value }) });
  const problems = {
    model: draft.model.trim() ? null : t("form.needed"),
    schema: draft.format === "json_schema" ? jsonProblem(draft.schema, true) : null,
    metadata: jsonProblem(draft.metadata, false),
  };
  const ready = !spoilt && Object.values(problems).every((one) => !one);
  const save = async (event) => {
    event.preventDefault();
    if (!ready) return;
    setError(null);
    try {
      const made = await api.post(assistant ? `assistants/${assistant.id}` : "assistants", bodyOf(draft, before, assistant));
      setBefore(draft); // what is changed from now on is changed from this
      onSave(made);
    } catch (problem) { setError(problem); }
  };
  return html`<form class="form" onSubmit=${save} aria-label=${draft.name || t("assistants.new")}
      onKeyDown=${(e) => { if (e.key === "s" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.currentTarget.requestSubmit(); } }}>
    <header class="page-head"><a class="button quiet back" href="#/assistants" aria-label=${t("back")}>←</a>
      <h2>${assistant ? before.name || assistant.id : t("assistants.new")}</h2><span class="grow"></span>
      ${assistant && html`<a class="button" href=${`#/chat?assistant=${assistant.id}`}><${Icon} name="chat" /><span>${t("assistants.try")}</span></a>
        <button type="button" onClick=${onCopy}>${t("duplicate")}</button>
        <button type="button" class="danger" onClick=${onDelete}>${t("delete")}</button>`}
      <button type="submit" class="primary" disabled=${!ready} title="Ctrl+S">${t("save")}</button></header>
    <${Problem} error=${error} />
    <div class="fields">
      <${Field} label=${t("form.name")}><input ...${text("name")} maxlength="256" ref=${first} /><//>
      <${Field} label=${t("form.model")} error=${assistant || draft.model ? problems.model : null}>
        <input ...${text("model")} list="models" required placeholder=${models.value?.[0]?.id ?? "gpt-4o"} />
        <datalist id="models">${(models.value ?? []).map((one) => html`<option value=${one.id} />`)}</datalist><//>
      <${Field} label=${t("form.description")} wide><input ...${text("description")} maxlength="512" /><//>
      <${Field} label=${t("form.instructions")} wide><textarea rows="7" ...${text("instructions")}></textarea><//>
      <${Slider} label=${t("form.temperature")} max="2" ...${text("temperature")} />
      <${Slider} label=${t("form.topP")} max="1" ...${text("top_p")} />
      <${Field} label=${t("form.format")}><select value=${draft.format} onChange=${(e) => set({ format: e.target.value })}>
        <option value="auto">auto</option><option value="text">text</option><option value="json_object">json_object</option>
        <option value="json_schema">json_schema</option></select><//>
      ${draft.format === "json_schema" && html`<${Field} label=${t("form.schema")} error=${problems.schema} wide>
        <textarea rows="8" class="code-input" spellcheck="false" ...${text("schema")} placeholder='{"name": "answer", "schema": {"type": "object"}}'></textarea><//>`}
    </div>
    <h3>${t("form.tools")}</h3>
    <label class="switch"><input type="checkbox" checked=${draft.code} onChange=${(e) => set({ code: e.target.checked })} />
      <span><strong>${t("tool.code_interpreter")}</strong><span class="hint">${t("form.codeHint")}</span></span></label>
    ${draft.code && html`<${FilesOf} ids=${draft.files} onChange=${(files) => set({ files })} />`}
    <label class="switch"><input type="checkbox" checked=${draft.search} onChange=${(e) => set({ search: e.target.checked })} />
      <span><strong>${t("tool.file_search")}</strong><span class="hint">${t("form.searchHint")}</span></span></label>
    ${draft.search && html`<${StoresOf} ids=${draft.stores} onChange=${(stores) => set({ stores })} />`}
    <${Functions} texts=${draft.functions} onChange=${(functions) => set({ functions })} onSpoilt=${setSpoilt} />
    <h3>${t("form.metadata")}</h3>
    <${Field} label=${t("form.metadataHint")} error=${problems.metadata} wide>
      <textarea rows="3" class="code-input" spellcheck="false" ...${text("metadata")} placeholder='{"team": "support"}'></textarea><//>
  </form>`;
}

function Slider({ label, value, max, onInput }) {
  return html`<${Field} label=${label}><span class="slider"><input type="range" min="0" max=${max} step="0.01" value=${value} onInput=${onInput} />
    <input type="number" min="0" max=${max} step="0.01" value=${value} onInput=${onInput} aria-label=${label} /></span><//>`;
}
