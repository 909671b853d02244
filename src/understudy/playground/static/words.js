// The user interface's words, in the browser's language if it is one of the three.

import en from "./words/en.js";

const LOADERS = { ko: () => import("./words/ko.js"), zh: () => import("./words/zh.js") };

export let language = "en";
let words = en;

/** Choose the first of the browser's languages that there is; English if none is. */
export async function choose(preferred = navigator.languages) {
  for (const tag of preferred) {
    const wanted = tag.slice(0, 2).toLowerCase();
    if (wanted === "en") break;
    if (wanted in LOADERS) {
      words = { ...en, ...(await LOADERS[wanted]()).default };
      language = wanted;
      break;
    }
  }
  document.documentElement.lang = language;
}

/** A phrase, with `{name}` replaced by `values.name`. A phrase that is missing shows its own name. */
export function t(name, values = {}) {
  return (words[name] ?? name.split(".").pop()).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** To make one of these takes as long as to draw a message, and a stream draws many times a second. */
function once(make) {
  let made = null;
  return () => (made ??= make());
}

const numbers = once(() => new Intl.NumberFormat(language));
const compact = once(() => new Intl.NumberFormat(language, { notation: "compact" }));
const moments = once(() => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }));
const clocks = once(() => new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" }));
const relatives = once(() => new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" }));

export const number = (value) => numbers().format(value ?? 0);
export const short = (value) => compact().format(value ?? 0);

const PARTS = [["day", 86_400], ["hour", 3600], ["minute", 60]];

export function ago(unix) {
  const seconds = Date.now() / 1000 - unix;
  const relative = relatives();
  for (const [unit, size] of PARTS) if (seconds >= size) return relative.format(-Math.floor(seconds / size), unit);
  return relative.format(0, "second");
}

export const moment = (unix) => moments().format(unix * 1000);
export const clock = (unix) => clocks().format(unix * 1000);

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

/** Of times that are known to the second only. */
export const wholeSeconds = (seconds) => (seconds < 1 ? "< 1 s" : seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);

export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let power = 0;
  for (; bytes >= 1000 && power < 3; power++) bytes /= 1000;
  const digits = { maximumFractionDigits: power ? 1 : 0 };
  return new Intl.NumberFormat(language, { style: "unit", unit: units[power], unitDisplay: "short", ...digits }).format(bytes);
}
