// All threads of the project: find one, see what happened in it.

import * as api from "./api.js";
import { Item } from "./chat_items.js";
import { Passage } from "./passage.js";
import { loaded } from "./talk.js";
import { Timeline } from "./timeline.js";
import { Empty, html, Icon, IconButton, Problem, Status, useDelayed, useEffect, useLoaded, useState } from "./ui.js";
import { ago, moment, short, t } from "./words.js";

const PAGE = 40;

/** `team:red rain` asks for threads with that metadata in which somebody says rain. */
export function asked(text) {
  const query = {};
  const words = [];
  for (const word of text.match(/[^\s:"]+:"[^"]*"|\S+/g) ?? []) {
    const pair = /^([^\s:"]+):"?([^"]+)"?$/.exec(word);
    if (pair && !/^https?$/.test(pair[1])) query[`metadata[${pair[1]}]`] = pair[2];
    else words.push(word);
  }
  return words.length ? { ...query, query: words.join(" ") } : query;
}

export function Threads({ id, go, toast }) {
  const [sought, setSought] = useState("");
  const late = useDelayed(sought);
  const [more, setMore] = useState([]);
  const first = useLoaded(() => api.get("threads", { limit: PAGE, ...asked(late) }), [late]);
  const names = useLoaded(() => api.all("assistants").then((all) => new Map(all.map((one) => [one.id, one.name]))), []);
  useEffect(() => setMore([]), [late]);
  const pages = first.value ? [first.value, ...more] : [];
  const found = pages.flatMap((page) => page.data);
  const next = async () => {
    const page = await api.get("threads", { limit: PAGE, ...asked(late), after: found.at(-1).id });
    setMore((old) => [...old, page]);
  };
  const remove = async () => {
    if (!confirm(t("threads.sure"))) return;
    try {
      await api.remove(`threads/${id}`);
      first.reload();
      go("threads");
      toast(t("deleted"));
    } catch (error) { toast(error.message, true); }
  };
  return html`<section class=${"page split" + (id ? " detail" : "")} aria-label=${t("nav.threads")}>
    <div class="list">
      <header class="page-head"><h1>${t("nav.threads")}</h1><span class="grow"></span>
        <a class="button primary" href="#/chat"><${Icon} name="plus" /><span>${t("new")}</span></a></header>
      <input type="search" class="search" placeholder=${t("threads.search")} aria-label=${t("threads.search")} value=${sought}
        onInput=${(e) => setSought(e.target.value)} />
      <${Problem} error=${first.error} retry=${first.reload} />
      <ul class="rows">${found.map((one) => html`<${Row} key=${one.id} thread=${one} current=${one.id === id} names=${names.value} />`)}</ul>
      ${pages.at(-1)?.has_more && html`<button type="button" class="more" onClick=${next}>${t("more")}</button>`}
      ${first.value && !found.length && html`<${Empty} icon="threads">${t(sought ? "nothingFound" : "threads.none")}<//>`}
    </div>
    <div class="side">${id ? html`<${Thread} key=${id} id=${id} names=${names.value} onRemove=${remove} />`
      : html`<${Empty} icon="threads">${t("threads.pick")}<//>`}</div>
  </section>`;
}

function Row({ thread, current, names }) {
  const { last_run: run } = thread;
  const who = run && (names?.get(run.assistant_id) || run.assistant_id);
  return html`<li><a href=${`#/threads/${thread.id}`} aria-current=${current ? "page" : undefined}>
    <span class="row"><strong class="cut">${thread.title || thread.id}</strong><span class="grow"></span>
      ${run && html`<${Status} value=${run.status} />`}</span>
    <span class="hint cut">${[who, ago(thread.created_at), t("threads.messages", { n: thread.message_count }),
      t("threads.tokens", { n: short(thread.usage.total_tokens) })].filter(Boolean).join(" · ")}</span>
    ${Object.keys(thread.metadata).length > 0 && html`<span class="tags">${Object.entries(thread.metadata).map(([key, value]) =>
      html`<span class="tag">${key}: ${value}</span>`)}</span>`}
  </a></li>`;
}

function Thread({ id, names, onRemove }) {
  const all = useLoaded(() => loaded(id), [id]);
  const [tab, setTab] = useState("timeline");
  const [note, setNote] = useState(null);
  const found = all.value;
  if (!found) return html`<${Problem} error=${all.error} retry=${all.reload} />`;
  const download = () => {
    const link = document.createElement("a");
    const { thread, runs } = found;
    const messages = found.items.filter((item) => item.kind === "message").map((item) => item.message);
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ thread, messages, runs }, null, 2)], { type: "application/json" }));
    link.download = `${id}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return html`<article class="thread" aria-label=${id}>
    <header class="page-head"><a class="button quiet back" href="#/threads" aria-label=${t("back")}>←</a>
      <div><h2 class="cut">${id}</h2><span class="hint">${moment(found.thread.created_at)}</span></div><span class="grow"></span>
      <a class="button" href=${`#/chat/${id}`}><${Icon} name="chat" /><span>${t("threads.continue")}</span></a>
      <button type="button" onClick=${download}>${t("threads.export")}</button>
      <${IconButton} icon="trash" label=${t("delete")} onClick=${onRemove} /></header>
    <div class="tabs"><div class="row" role="tablist">${["timeline", "messages"].map((name) => html`<button type="button" role="tab"
      aria-selected=${tab === name} onClick=${() => setTab(name)}>${t("tab." + name)}</button>`)}</div>
      <span class="grow"></span><button type="button" class="quiet" onClick=${all.reload}>${t("refresh")}</button></div>
    ${tab === "messages" && html`<div class="column">${found.items.map((item) => html`<${Item} key=${item.id} item=${item}
      onNote=${(one, message) => setNote({ note: one, message })} />`)}</div>`}
    ${tab === "timeline" && html`<${Timeline} thread=${found} names=${names} />`}
    ${note && html`<${Passage} ...${note} onClose=${() => setNote(null)} />`}
  </article>`;
}
