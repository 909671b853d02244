// The functions of an assistant: their schemas are checked at each keystroke.

import { html, Icon, IconButton, useEffect, useState } from "./ui.js";
import { checked, EXAMPLE } from "./schema.js";
import { t } from "./words.js";

const nameOf = (text) => {
  try { return JSON.parse(text).name || null; } catch { return null; }
};

export function Functions({ texts, onChange, onSpoilt }) {
  const [open, setOpen] = useState(null);
  const results = texts.map(checked);
  const names = results.map((one) => one.value?.name);
  const problems = results.map(({ problem, value }, place) =>
    problem ?? (names.indexOf(value.name) < place ? t("schema.twice", { name: value.name }) : null));
  const spoilt = problems.some(Boolean);
  useEffect(() => onSpoilt(spoilt), [spoilt]);
  const change = (place, text) => onChange(texts.map((old, index) => (index === place ? text : old)));
  const add = () => { onChange([...texts, EXAMPLE]); setOpen(texts.length); };
  return html`<div class="functions">
    <div class="row"><h3>${t("form.functions")}</h3><span class="grow"></span>
      <button type="button" onClick=${add}><${Icon} name="plus" /><span>${t("form.addFunction")}</span></button></div>
    ${texts.map((text, place) => html`<${Editor} key=${place} text=${text} problem=${problems[place]} open=${open === place}
      onToggle=${(is) => setOpen(is ? place : open === place ? null : open)} onText=${(given) => change(place, given)}
      onRemove=${() => onChange(texts.filter((_, index) => index !== place))} />`)}
    ${!texts.length && html`<p class="hint">${t("form.noFunctions")}</p>`}
  </div>`;
}

function Editor({ text, problem, open, onToggle, onText, onRemove }) {
  const name = nameOf(text) ?? t("form.unnamed");
  return html`<details class="call" open=${open} onToggle=${(e) => onToggle(e.currentTarget.open)}>
    <summary><${Icon} name="tool" /><span class="call-name">${name}</span>
      <span class=${problem ? "status status-failed" : "status status-completed"}>${t(problem ? "schema.bad" : "schema.good")}</span>
    </summary>
    <textarea rows="14" class="code-input" spellcheck="false" aria-label=${t("form.function", { name })} aria-invalid=${Boolean(problem)}
      value=${text} onInput=${(e) => onText(e.target.value)} onKeyDown=${indent}></textarea>
    <div class="row"><p class=${problem ? "problem" : "hint"} role="status">${problem ?? t("schema.fine")}</p><span class="grow"></span>
      <${IconButton} icon="trash" label=${t("form.removeFunction", { name })} onClick=${onRemove} /></div>
  </details>`;
}

/** Tab indents while the cursor stands in white space before a line's text; elsewhere it moves on, as keyboards need it. */
function indent(event) {
  const box = event.target;
  const before = box.value.slice(box.value.lastIndexOf("\n", box.selectionStart - 1) + 1, box.selectionStart);
  if (event.key !== "Tab" || event.shiftKey || before.trim() || !before) return;
  event.preventDefault();
  box.setRangeText("  ", box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
}
