// Assistants: find one, make one, change one.

import * as api from "./api.js";
import { AssistantForm } from "./assistant_form.js";
import { Empty, html, Icon, Problem, useLoaded, useState } from "./ui.js";
import { ago, t } from "./words.js";

export function Assistants({ id, go, toast }) {
  const list = useLoaded(() => api.all("assistants"), []);
  const [sought, setSought] = useState("");
  const found = (list.value ?? []).filter((one) => matches(one, sought));
  const chosen = list.value?.find((one) => one.id === id);
  const isNew = id === "new";

  const saved = (made, words) => {
    const others = list.value ?? [];
    list.change(others.some((one) => one.id === made.id) ? others.map((one) => (one.id === made.id ? made : one)) : [made, ...others]);
    toast(words);
    go(`assistants/${made.id}`);
  };
  const copy = async (one) => {
    const { id: _, object: __, created_at: ___, ...fields } = one;
    try {
      saved(await api.post("assistants", { ...fields, name: t("assistants.copyOf", { name: one.name || one.id }).slice(0, 256) }), t("assistants.duplicated"));
    } catch (error) { toast(error.message, true); }
  };
  const remove = async (one) => {
    if (!confirm(t("assistants.sure", { name: one.name || one.id }))) return;
    try {
      await api.remove(`assistants/${one.id}`);
      list.reload();
      go("assistants");
      toast(t("deleted"));
    } catch (error) { toast(error.message, true); }
  };
  return html`<section class=${"page split" + (id ? " detail" : "")} aria-label=${t("nav.assistants")}>
    <div class="list">
      <header class="page-head"><h1>${t("nav.assistants")}</h1><span class="grow"></span>
        <a class="button primary" href="#/assistants/new"><${Icon} name="plus" /><span>${t("new")}</span></a></header>
      <input type="search" class="search" placeholder=${t("assistants.search")} aria-label=${t("assistants.search")} value=${sought}
        onInput=${(e) => setSought(e.target.value)} />
      <${Problem} error=${list.error} retry=${list.reload} />
      <ul class="rows">${found.map((one) => html`<li key=${one.id}>
        <a href=${`#/assistants/${one.id}`} aria-current=${one.id === id ? "page" : undefined}>
          <strong>${one.name || one.id}</strong><span class="hint">${one.model} · ${toolWords(one)} · ${ago(one.created_at)}</span></a></li>`)}</ul>
      ${list.value && !found.length && html`<${Empty} icon="assistants">${t(sought ? "nothingFound" : "assistants.none")}<//>`}
    </div>
    <div class="side">
      ${isNew && html`<${AssistantForm} key="new" onSave=${(made) => saved(made, t("saved"))} />`}
      ${chosen && html`<${AssistantForm} key=${chosen.id} assistant=${chosen} onSave=${(made) => saved(made, t("saved"))}
        onCopy=${() => copy(chosen)} onDelete=${() => remove(chosen)} />`}
      ${!id && html`<${Empty} icon="assistants">${t("assistants.pick")}<//>`}
      ${id && !isNew && list.value && !chosen && html`<${Empty} icon="assistants">${t("nothingFound")}<//>`}
    </div>
  </section>`;
}

const toolWords = (one) => (one.tools.length ? t("assistants.tools", { n: one.tools.length }) : t("assistants.noTools"));

function matches(one, sought) {
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [one.name, one.id, one.model, one.description, one.instructions, JSON.stringify(one.metadata)].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}
