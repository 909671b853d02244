// The page's frame: where one is, the key, the keyboard.

import * as api from "./api.js";
import * as key from "./key.js";
import { Assistants } from "./assistants.js";
import { Chat } from "./chat.js";
import { Files } from "./files.js";
import { Overview } from "./overview.js";
import { currentOf, Projects } from "./projects.js";
import { Threads } from "./threads.js";
import { Dialog, html, Icon, IconButton, render, useCallback, useLayoutEffect, useLoaded, useState, whenTold } from "./ui.js";
import { choose, t } from "./words.js";

const PAGES = { chat: Chat, assistants: Assistants, threads: Threads, files: Files, overview: Overview };

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, id] = path.split("/");
  return { page: page in PAGES ? page : "chat", id: id || undefined, query: new URLSearchParams(query) };
}

const go = (path, query = {}) => {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  location.hash = `/${path}${given ? `?${given}` : ""}`;
};

let foundLate = () => {};

function App() {
  const [here, setHere] = useState(place);
  const [toast, setToast] = useState(null);
  const [help, setHelp] = useState(false);
  const [asking, setAsking] = useState(null);
  const [choosing, setChoosing] = useState(false);
  const [round, setRound] = useState(0);
  const projects = useLoaded(() => api.get("projects"), [round]);
  useLayoutEffect(() => { // at once: what comes before listeners are bound is lost
    const moved = () => setHere(place());
    foundLate = () => { setAsking(null); setRound((n) => n + 1); };
    addEventListener("hashchange", moved);
    api.whenUnauthorized((message, wasGiven) => setAsking({ message: wasGiven ? message : null }));
    return () => removeEventListener("hashchange", moved);
  }, []);
  useKeyboard(setHelp);
  const tell = useCallback((words, bad) => {
    const told = { words, bad };
    setToast(told);
    setTimeout(() => setToast((now) => (now === told ? null : now)), bad ? 8000 : 2500);
  }, []);
  useLayoutEffect(() => whenTold(tell), []);
  const Page = PAGES[here.page];
  const named = here.page === "chat" ? { threadId: here.id, assistantId: here.query.get("assistant") } : { id: here.id };
  const enter = (name) => { key.enter(name); setChoosing(false); go(here.page); setRound((n) => n + 1); };
  const given = (secret) => { key.keep(secret); setAsking(null); setRound((n) => n + 1); };
  return html`<div class="frame">
    <nav aria-label=${t("nav.label")}><a class="brand" href="#/chat"><img src="playground/icon.svg" alt="" /><span>Understudy</span></a>
      ${Object.keys(PAGES).map((name, index) => html`<a href=${`#/${name}`} aria-current=${here.page === name ? "page" : undefined} title=${`Alt+${index + 1}`}>
        <${Icon} name=${name} /><span>${t("nav." + name)}</span></a>`)}
      <span class="grow"></span>
      ${projects.value?.admin && html`<button type="button" class="quiet nav-project" title=${t("project.title")} onClick=${() => setChoosing(true)}>
        <${Icon} name="project" /><span class="unseen">${t("project.title")}</span><span class="cut">${currentOf(projects.value)}</span></button>`}
      <div class="nav-foot">
      <${IconButton} icon="moon" label=${t("nav.theme")} onClick=${turnTheme} />
      <${IconButton} icon="help" label=${t("nav.help")} onClick=${() => setHelp(true)} />
      ${key.isGiven() && html`<${IconButton} icon="key" label=${t("key.forget")} onClick=${() => given(null)} />`}</div></nav>
    <main key=${round}>${!asking && html`<${Page} ...${named} go=${go} toast=${tell} />`}</main>
    <div role="status">${toast && html`<div class=${"toast" + (toast.bad ? " problem" : "")}>${toast.words}</div>`}</div>
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
    ${choosing && html`<${Projects} projects=${projects.value} onChoose=${enter} onClose=${() => setChoosing(false)} />`}
    ${asking && html`<${KeyPrompt} problem=${asking.message} onKey=${given} />`}</div>`;
}

function KeyPrompt({ problem, onKey }) {
  const submit = (event) => {
    event.preventDefault();
    const secret = new FormData(event.target).get("key").trim();
    if (secret) onKey(secret);
  };
  return html`<div class="key-prompt"><form onSubmit=${submit} class="card"><h1><${Icon} name="key" /> ${t("key.title")}</h1><p>${t("key.why")}</p>
    <input name="key" type="password" autocomplete="off" autofocus required aria-label=${t("key.title")} placeholder="sk-…" ref=${(box) => box && !box.value && box.focus()} />
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    <button type="submit" class="primary">${t("key.use")}</button><p class="hint">${t("key.kept")}</p></form></div>`;
}

const SHORTCUTS = ["Enter", "Shift+Enter", "Esc", "Alt+N", "/", "Alt+1 … 5", "Ctrl+S", "Ctrl+Enter", "?"];

function Help({ onClose }) {
  return html`<${Dialog} title=${t("nav.help")} onClose=${onClose}><dl class="keys">
    ${SHORTCUTS.map((keys, place) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${t("help." + place)}</dd></div>`)}</dl><//>`;
}

function useKeyboard(setHelp) {
  useLayoutEffect(() => {
    const press = (event) => {
      const writes = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      const digit = Number(/^Digit([1-5])$/.exec(event.code)?.[1]);
      if (event.altKey && event.code === "KeyN") go("chat", { assistant: document.querySelector(".chat select")?.value });
      else if (event.altKey && digit) go(Object.keys(PAGES)[digit - 1]);
      else if (!writes && event.key === "/") document.querySelector("main input[type=search]")?.focus();
      else if (!writes && event.key === "?") setHelp(true);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function turnTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
await Promise.all([choose(), key.recall(() => foundLate())]);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
