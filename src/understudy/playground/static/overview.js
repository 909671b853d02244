// How the project fares: runs, tokens, errors, the slowest, and the health of each part.

import * as api from "./api.js";
import { Bars } from "./chart.js";
import { html, Problem, Status, useEffect, useLoaded } from "./ui.js";
import { ago, language, number, t, wholeSeconds } from "./words.js";

const REFRESH_MS = 30_000;
const LOOKED_AT = 500;
const BAD = ["failed", "expired", "incomplete"];

export function Overview() {
  const hours = useLoaded(() => api.get("usage", { bucket_width: "1h" }), []);
  const days = useLoaded(() => api.get("usage", { limit: 14 }), []);
  const bad = useLoaded(() => api.get("runs", { status: BAD, limit: 100 }), []);
  const done = useLoaded(() => api.all("runs", { status: "completed" }, LOOKED_AT), []);
  const health = useLoaded(api.health, []);
  const all = [hours, days, bad, done, health];
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && all.forEach((one) => one.reload()), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return html`<section class="page overview" aria-label=${t("nav.overview")}>
    <header class="page-head"><h1>${t("nav.overview")}</h1></header>
    <${Problem} error=${all.find((one) => one.error)?.error} />
    <div class="cards">
      <div class="card wide">${hours.value && html`<${Bars} title=${t("overview.runs")} bars=${runBars(hours.value.data)} kinds=${RUN_KINDS()} />`}</div>
      <div class="card wide">${days.value && html`<${Bars} title=${t("overview.tokens")} bars=${tokenBars(days.value.data)} kinds=${TOKEN_KINDS()} />`}</div>
      <div class="card"><h2>${t("overview.models")}</h2>${days.value && html`<${Models} days=${days.value.data} />`}</div>
      <div class="card"><h2>${t("overview.errors")}</h2>${bad.value && html`<${Causes} runs=${bad.value.data} more=${bad.value.has_more} />`}</div>
      <div class="card"><h2>${t("overview.slowest")}</h2>${done.value && html`<${Slowest} runs=${done.value} />`}</div>
      <div class="card"><h2>${t("overview.health")}</h2>${health.value && html`<${Health} health=${health.value} />`}</div>
    </div>
  </section>`;
}

const RUN_KINDS = () => [{ kind: "good", name: t("status.completed") }, { kind: "open", name: t("overview.open") }, { kind: "bad", name: t("overview.bad") }];
const TOKEN_KINDS = () => [{ kind: "prompt", name: t("fact.prompt") }, { kind: "completion", name: t("fact.completion") }, { kind: "open", name: t("overview.deleted") }];

function runBars(buckets) {
  const kindOf = (status) => (status === "completed" ? "good" : BAD.includes(status) ? "bad" : "open");
  return buckets.map((bucket) => ({
    label: new Date(bucket.start_time * 1000).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false }),
    parts: RUN_KINDS().map(({ kind, name }) => ({ kind, name, value: sum(bucket.runs.filter((one) => kindOf(one.status) === kind), "runs") })),
  }));
}

function tokenBars(buckets) {
  return buckets.map((bucket) => {
    const values = [sum(bucket.tokens, "prompt_tokens"), sum(bucket.tokens, "completion_tokens"), sum(bucket.tokens.filter((one) => one.model === null), "total_tokens")];
    const label = new Date(bucket.start_time * 1000).toLocaleDateString(language, { day: "numeric", month: "numeric", timeZone: "UTC" });
    return { label, parts: TOKEN_KINDS().map((kind, place) => ({ ...kind, value: values[place] })) };
  });
}

const sum = (list, name) => list.reduce((total, one) => total + (one[name] ?? 0), 0);

function Models({ days }) {
  const totals = new Map();
  for (const one of days.flatMap((day) => day.tokens)) {
    const old = totals.get(one.model) ?? { calls: 0, tokens: 0 };
    totals.set(one.model, { calls: old.calls + (one.model_calls ?? 0), tokens: old.tokens + one.total_tokens });
  }
  if (!totals.size) return html`<p class="hint">${t("overview.nothing")}</p>`;
  const rows = [...totals].sort(([, one], [, other]) => other.tokens - one.tokens);
  return html`<table><thead><tr><th>${t("form.model")}</th><th>${t("overview.calls")}</th><th>${t("overview.tokenCount")}</th></tr></thead>
    <tbody>${rows.map(([model, { calls, tokens }]) => html`<tr><td>${model ?? t("overview.deleted")}</td><td>${number(calls)}</td><td>${number(tokens)}</td></tr>`)}</tbody></table>`;
}

const causeOf = (run) => run.last_error?.message ?? run.incomplete_details?.reason ?? t("status." + run.status);

function Causes({ runs, more }) {
  if (!runs.length) return html`<p class="hint">${t("overview.noErrors")}</p>`;
  const causes = new Map();
  for (const run of runs) causes.set(causeOf(run), [...(causes.get(causeOf(run)) ?? []), run]);
  const rows = [...causes].sort(([, one], [, other]) => other.length - one.length).slice(0, 8);
  return html`<ul class="causes">${rows.map(([cause, all]) => html`<li><span class="count">${all.length}</span>
    <a href=${`#/threads/${all[0].thread_id}`}>${cause}</a><${Status} value=${all[0].status} /><span class="hint">${ago(all[0].created_at)}</span></li>`)}</ul>
    ${more && html`<p class="hint">${t("overview.last", { n: runs.length })}</p>`}`;
}

function Slowest({ runs }) {
  const took = (run) => run.completed_at - run.created_at;
  const rows = [...runs].sort((one, other) => took(other) - took(one)).slice(0, 6);
  if (!rows.length) return html`<p class="hint">${t("overview.nothing")}</p>`;
  return html`<table><tbody>${rows.map((run) => html`<tr><td><a href=${`#/threads/${run.thread_id}`}>${run.id}</a></td><td>${run.model}</td>
    <td>${wholeSeconds(took(run))}</td><td class="hint">${ago(run.created_at)}</td></tr>`)}</tbody></table>
    ${runs.length >= LOOKED_AT && html`<p class="hint">${t("overview.last", { n: runs.length })}</p>`}`;
}

function Health({ health }) {
  const parts = Object.entries(health.parts ?? {}).flatMap(([name, part]) =>
    ("state" in part ? [[name, part]] : Object.entries(part).map(([inner, one]) => [`${name} ${inner}`, one])));
  return html`<ul class="health"><li><span class=${"lamp lamp-" + health.status}></span><strong>Understudy ${health.version ?? ""}</strong> ${health.status}</li>
    ${parts.map(([name, part]) => html`<li><span class=${"lamp lamp-" + (part?.state ?? "unknown")}></span><strong>${name}</strong>${" "}${part?.state ?? ""} <span class="hint">${part?.kind ?? ""} ${part?.why ?? ""}</span></li>`)}</ul>`;
}
