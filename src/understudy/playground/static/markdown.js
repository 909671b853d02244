// From a model's text to nodes of the page. All of it is untrusted: raw HTML is shown as it is written, links lead to
// web addresses only, pictures are not fetched, and what comes out goes through the sanitiser, which alone may parse
// HTML here (the page's policy demands it).

import DOMPurify from "./vendor/dompurify.js";
import hljs from "./vendor/highlight.js";
import { Marked } from "./vendor/marked.js";
import { copy, html, useLayoutEffect, useRef, useState } from "./ui.js";
import { t } from "./words.js";

const MATHML = ["math", "mrow", "mi", "mo", "mn", "ms", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac", "msqrt",
  "mroot", "mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose", "mmultiscripts",
  "mprescripts", "merror"];
const RULES = {
  ALLOWED_TAGS: ["p", "br", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "a", "table", "thead", "tbody", "tr", "th", "td", "span", "div", "button", ...MATHML],
  ALLOWED_ATTR: ["href", "target", "rel", "class", "type", "start", "align", "data-annotation", "data-copy", "display", "mathvariant",
    "stretchy", "fence", "separator", "form", "accent", "accentunder", "displaystyle", "scriptlevel", "lspace", "rspace", "columnalign",
    "rowspacing", "columnspacing", "linethickness", "minsize", "maxsize", "symmetric", "movablelimits", "largeop", "width", "height",
    "voffset", "notation", "columnlines", "rowlines"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const SAFE_LINK = /^(https?:|mailto:)/i;
const MARK = /^【[^】\n]{1,80}】/;

const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

let temml = null;
const waiting = new Set();

/** Formulas are rare and their library is large: it is loaded when the first one comes. */
function loadMath() {
  import("./vendor/temml.js").then((module) => {
    temml = module.default;
    for (const act of waiting) act();
    waiting.clear();
  });
}

function formula(source, display) {
  if (!temml) return `<code class="formula">${escaped(source)}</code>`;
  try {
    const drawn = temml.renderToString(source, { displayMode: display, trust: false, throwOnError: true, maxExpand: 200 });
    return drawn.replaceAll(/ style="[^"]*"/g, ""); // the page's policy takes no styles out of texts
  } catch {
    return `<code class="formula">${escaped(source)}</code>`;
  }
}

const inlineMath = {
  name: "inlineMath",
  level: "inline",
  start: (source) => source.search(/\$|\\\(/),
  tokenizer(source) {
    const found = /^\\\(([\s\S]+?)\\\)/.exec(source) ?? /^\$(?!\s)((?:\\.|[^\\$\n])+?)(?<!\s)\$(?!\d)/.exec(source);
    return found ? { type: "inlineMath", raw: found[0], text: found[1], hasMath: true } : undefined;
  },
  renderer: (token) => formula(token.text, false),
};
const blockMath = {
  name: "blockMath",
  level: "block",
  start: (source) => source.search(/^\s{0,3}(\$\$|\\\[)/m),
  tokenizer(source) {
    const found = /^\s{0,3}\$\$([\s\S]+?)\$\$\s*(?:\n|$)/.exec(source) ?? /^\s{0,3}\\\[([\s\S]+?)\\\]\s*(?:\n|$)/.exec(source);
    return found ? { type: "blockMath", raw: found[0], text: found[1].trim() } : undefined;
  },
  renderer: (token) => `<div class="formula-block">${formula(token.text, true)}</div>`,
};

let annotations = []; // of the text that is being rendered: marked calls back without a context

const citation = {
  name: "citation",
  level: "inline",
  start: (source) => source.indexOf("【"),
  tokenizer(source) {
    const found = MARK.exec(source);
    const place = found ? annotations.findIndex((note) => note.text === found[0]) : -1;
    return place < 0 ? undefined : { type: "citation", raw: found[0], place };
  },
  renderer: ({ place }) => `<button type="button" class="citation" data-annotation="${place}">${place + 1}</button>`,
};

const renderer = {
  html: ({ text }) => escaped(text),
  image: ({ href, text }) => `<span class="no-picture">${escaped(t("md.image"))} ${linked(href, escaped(text || href))}</span>`,
  link({ href, tokens }) { return linked(href, this.parser.parseInline(tokens)); },
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  table(token) { return `<div class="scroll">${tableOf(this, token)}</div>`; },
  code({ text, lang }) {
    const name = (lang ?? "").trim().split(/\s/)[0].toLowerCase();
    const known = hljs.getLanguage(name);
    const body = known ? hljs.highlight(text, { language: name, ignoreIllegals: true }).value : escaped(text);
    const copy = `<button type="button" class="copy" data-copy="1">${escaped(t("copy"))}</button>`;
    return `<div class="code"><div class="code-head"><span>${escaped(name)}</span>${copy}</div><pre><code>${body}</code></pre></div>`;
  },
};

function tableOf(self, { header, rows }) {
  const cell = (tag) => ({ tokens, align }) => {
    const inner = self.parser.parseInline(tokens);
    return `<${tag}${align ? ` align="${align}"` : ""}>${inner}</${tag}>`;
  };
  const body = rows.map((row) => `<tr>${row.map(cell("td")).join("")}</tr>`).join("");
  return `<table><thead><tr>${header.map(cell("th")).join("")}</tr></thead><tbody>${body}</tbody></table>`;
}

function linked(href, inner) {
  const place = annotations.findIndex((note) => note.type === "file_path" && note.text === href);
  if (place >= 0) return `<button type="button" class="file-link" data-annotation="${place}">${inner}</button>`;
  if (!SAFE_LINK.test(href)) return inner;
  return `<a href="${escaped(href)}" target="_blank" rel="noopener noreferrer nofollow">${inner}</a>`;
}

const marked = new Marked({ gfm: true, breaks: false, extensions: undefined });
marked.use({ renderer, extensions: [blockMath, inlineMath, citation] });

const UNSETTLED = 2; // blocks at the end that more text may still change

/** Split a text into blocks that can be rendered one by one. While it streams, those before its end stay as they are. */
function blocks(text, notes, shown, live) {
  annotations = notes;
  const settled = live ? shown.slice(0, -UNSETTLED) : [];
  const start = settled.map((block) => block.raw).join("");
  if (!text.startsWith(start)) return marked.lexer(text);
  return [...settled, ...marked.lexer(text.slice(start.length))];
}

function nodeOf(token, notes) {
  annotations = notes;
  const element = document.createElement("div");
  element.className = "block";
  element.append(DOMPurify.sanitize(marked.parser([token]), RULES));
  return element;
}

const NO_NOTES = [];

export function Markdown({ text, notes = NO_NOTES, onNote, live }) {
  const box = useRef();
  const shown = useRef([]);
  const [turn, setTurn] = useState(0);
  useLayoutEffect(() => {
    const tokens = blocks(text.replaceAll(/\r\n?/g, "\n"), notes, shown.current, live);
    const hasMath = /\$|\\[([]/.test(text);
    if (hasMath && !temml) {
      if (!waiting.size) loadMath();
      waiting.add(() => { shown.current = []; box.current?.replaceChildren(); setTurn((n) => n + 1); });
    }
    draw(box.current, shown.current, tokens, notes);
  }, [text, notes, turn, live]);
  const click = (event) => {
    const target = event.target.closest("button");
    if (target?.dataset.annotation) onNote?.(notes[Number(target.dataset.annotation)]);
    if (target?.dataset.copy) copyOf(target);
  };
  return html`<div class=${"markdown" + (live ? " live" : "")} ref=${box} onClick=${click}></div>`;
}

function draw(box, shown, tokens, notes) {
  let same = 0;
  while (same < shown.length && shown[same].raw === tokens[same]?.raw && shown[same].notes === notes.length) same++;
  for (const { node } of shown.splice(same)) node.remove();
  for (const token of tokens.slice(same)) {
    const node = nodeOf(token, notes);
    shown.push({ raw: token.raw, node, notes: notes.length });
    box.append(node);
  }
}

async function copyOf(button) {
  await copy(button.closest(".code").querySelector("pre").textContent);
  button.textContent = t("copied");
}

/** Code outside of a message: what a tool was given or said. */
export function Code({ text, language }) {
  const fence = "`".repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((run) => run.length + 1)));
  return html`<${Markdown} text=${`${fence}${language ?? ""}\n${text}\n${fence}`} />`;
}
