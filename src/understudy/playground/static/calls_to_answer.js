// Calls of functions that wait for their outputs: shown with their arguments, answered by typing.

import { pretty } from "./chat_items.js";
import { Code } from "./markdown.js";
import { html, useState } from "./ui.js";
import { t } from "./words.js";

const REMEMBERED = 5;

const place = (name) => `outputs of ${name}`;

function remembered(name) {
  try { return JSON.parse(sessionStorage.getItem(place(name))) ?? []; } catch { return []; }
}

function remember(name, output) {
  const others = remembered(name).filter((one) => one !== output);
  sessionStorage.setItem(place(name), JSON.stringify([output, ...others].slice(0, REMEMBERED)));
}

export function CallsToAnswer({ calls, onSubmit }) {
  const [outputs, setOutputs] = useState(() => Object.fromEntries(calls.map((call) => [call.id, ""])));
  const submit = (event) => {
    event.preventDefault();
    for (const call of calls) if (outputs[call.id]) remember(call.function.name, outputs[call.id]);
    onSubmit(calls.map((call) => ({ tool_call_id: call.id, output: outputs[call.id] })));
  };
  return html`<form class="calls" onSubmit=${submit} aria-label=${t("calls.title")}>
    <p class="hint">${t("calls.title")}</p>
    ${calls.map((call, index) => html`<${Answer} key=${call.id} call=${call} first=${index === 0} output=${outputs[call.id]}
      onOutput=${(output) => setOutputs((all) => ({ ...all, [call.id]: output }))} />`)}
    <div class="row end"><button type="submit" class="primary">${t("calls.submit")}</button></div>
  </form>`;
}

function Answer({ call, output, onOutput, first }) {
  const { name } = call.function;
  const old = remembered(name);
  const press = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
  };
  return html`<fieldset class="answer"><legend>${name}</legend>
    <${Code} text=${pretty(call.function.arguments)} language="json" />
    <textarea rows="2" aria-label=${t("calls.output", { name })} placeholder=${t("calls.output", { name })} value=${output}
      onInput=${(e) => onOutput(e.target.value)} onKeyDown=${press} ref=${(box) => first && box && !box.dataset.seen && focus(box)}></textarea>
    ${old.length > 0 && html`<div class="row wrap"><span class="hint">${t("calls.remembered")}</span>
      ${old.map((one) => html`<button type="button" class="chip" onClick=${() => onOutput(one)}>${one.slice(0, 40)}</button>`)}</div>`}
  </fieldset>`;
}

function focus(box) {
  box.dataset.seen = "1";
  box.focus();
}
