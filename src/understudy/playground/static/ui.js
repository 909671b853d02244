// What all pages draw with: Preact without a build step, and the small parts that stand everywhere.

import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";
import { t } from "./words.js";

export { render };
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact-hooks.js";
import { useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-hooks.js";

export const html = htm.bind(h);

const SHAPES = {
  overview: "M4 20V10m6 10V4m6 16v-7m4 7H2",
  assistants: "M12 3v3m-6 3h12a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2Zm3 5v1m6-1v1",
  chat: "M4 5h16v11H9l-5 4V5Z",
  threads: "M5 6h14M5 12h14M5 18h9",
  files: "M6 3h8l4 4v14H6V3Zm8 0v4h4",
  send: "M5 12h13m-6-6 6 6-6 6",
  stop: "M7 7h10v10H7z",
  plus: "M12 5v14M5 12h14",
  clip: "m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7l-8.4 8.4a1.7 1.7 0 0 1-2.4-2.4L14.5 7",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 5 5",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h11v11H9V9Zm6-5H4v11",
  done: "m5 13 4 4L19 7",
  edit: "M4 20l1-5L16 4l4 4L9 19l-5 1Z",
  trash: "M5 7h14M10 4h4M7 7l1 13h8l1-13",
  tool: "M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.500-5.500a4 4 0 0 0 5-5L15 12l-3-3 2.500-2.500Z",
  key: "M14 10a4 4 0 1 1-3.500-3.970M11 13l-6 6v2h3l1-1v-2h2v-2l2-2",
  moon: "M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10Z",
  project: "M3 6h7l2 3h9v10H3V6Z",
  down: "M12 4v12m-5-5 5 5 5-5M5 20h14",
  again: "M19 12a7 7 0 1 1-2-5l2 2m0-5v5h-5",
  chevron: "m9 6 6 6-6 6",
  help: "M9 9a3 3 0 1 1 4 2.800c-.7.300-1 .9-1 1.700v.5M12 17v.5",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${SHAPES[name]} /></svg>`;
}

/** Draw it again only where one of its properties has become another: a long thread stands still while its end grows. */
export function memo(Body) {
  return function Memo(props) {
    this.shouldComponentUpdate = (next) => Object.keys(next).some((name) => next[name] !== this.props[name]);
    return h(Body, props);
  };
}

/** A button that shows only an icon: its label is for screen readers and for the pointer's tooltip. */
export function IconButton({ icon, label, ...rest }) {
  return html`<button type="button" class="icon-button" aria-label=${label} title=${label} ...${rest}>
    <${Icon} name=${icon} /></button>`;
}

export function Field({ label, hint, error, wide, children }) {
  return html`<label class=${"field" + (wide ? " wide" : "")}>
    <span class="field-label">${label}</span>${children}
    ${hint && html`<span class="hint">${hint}</span>`}
    ${error && html`<span class="problem" role="alert">${error}</span>`}
  </label>`;
}

export function Status({ value }) {
  return html`<span class=${"status status-" + value}>${t("status." + value)}</span>`;
}

export function Empty({ icon, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><p>${children}</p></div>`;
}

export function Problem({ error, retry }) {
  return error && html`<p class="banner problem" role="alert">${error.message ?? String(error)}
    ${retry && html`<button type="button" onClick=${retry}>${t("retry")}</button>`}</p>`;
}

/** A dialog of the browser's own: it holds the focus, and Escape closes it. */
export function Dialog({ title, onClose, children, wide }) {
  const box = useRef();
  useLayoutEffect(() => {
    const dialog = box.current;
    const had = document.activeElement;
    dialog.showModal();
    return () => { // what opened it has the focus again
      dialog.close();
      had?.focus();
    };
  }, []);
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose}
      onCancel=${onClose} onClick=${(event) => event.target === box.current && onClose()}>
    <div class="dialog-head"><h2>${title}</h2>
      <${IconButton} icon="close" label=${t("close")} onClick=${onClose} /></div>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/** Load something whenever `keys` change; the result of an older question never overwrites a newer one's. */
export function useLoaded(load, keys) {
  const [state, setState] = useState({ value: undefined, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    load().then(
      (value) => wanted && setState({ value, error: null }),
      (error) => wanted && setState((old) => ({ value: old.value, error })),
    );
    return () => { wanted = false; };
  }, [...keys, turn]);
  const change = (value) => setState({ value, error: null });
  return { ...state, reload: () => setTurn((n) => n + 1), change };
}

export function useDelayed(value, ms = 250) {
  const [late, setLate] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLate(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return late;
}

/** Copy a text. A page that came over plain http from another machine has no clipboard to write to, but the older way. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const had = document.activeElement;
  const box = document.createElement("textarea");
  box.className = "unseen";
  box.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
  return had?.focus();
}

export function CopyButton({ textOf }) {
  const [done, setDone] = useState(false);
  const press = async () => {
    await copy(textOf());
    setDone(true);
    setTimeout(setDone, 2000, false);
  };
  return html`<${IconButton} icon=${done ? "done" : "copy"} label=${t(done ? "copied" : "copy")} onClick=${press} />`;
}

let teller = () => {};
export const whenTold = (act) => { teller = act; };

/** Tell the user of something for a moment, wherever on the page it happened. */
export const tell = (words, bad) => teller(words, bad);
export const tellProblem = (error) => teller(error.message, true);

let counted = 0;

/** A key for something that has no id yet. */
export const serial = () => ++counted;

export const cx = (...names) => names.filter(Boolean).join(" ");
