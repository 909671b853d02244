// The public API, over fetch. Everything that this page shows came through here.

import { createParser } from "./vendor/eventsource-parser.js";
import * as key from "./key.js";

export const BASE = new URL("v1/", document.baseURI);

export class ApiError extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let onUnauthorized = () => {};
export const whenUnauthorized = (act) => { onUnauthorized = act; };

const headers = (more) => ({ Authorization: `Bearer ${key.current()}`, "OpenAI-Beta": "assistants=v2", ...key.inProject(), ...more });

async function send(method, path, { body, query, signal, base = BASE } = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {}))
    for (const one of [value].flat()) if (one !== undefined && one !== "") url.searchParams.append(name, one);
  const isForm = body instanceof FormData;
  const response = await fetch(url, {
    method,
    signal,
    headers: headers(body && !isForm ? { "Content-Type": "application/json" } : {}),
    body: body && !isForm ? JSON.stringify(body) : body,
  });
  if (!response.ok) throw await problem(response);
  return response;
}

async function problem(response) {
  const text = await response.text();
  let told = {};
  try { told = JSON.parse(text).error ?? {}; } catch { /* not the API's: a proxy's page, say */ }
  if (response.status === 401) onUnauthorized(told.message, key.isGiven());
  return new ApiError(response.status, told.message ?? `HTTP ${response.status}`, told.code);
}

export const get = async (path, query, options) => (await send("GET", path, { query, ...options })).json();
export const post = async (path, body = {}, options) => (await send("POST", path, { body, ...options })).json();
export const remove = async (path) => (await send("DELETE", path)).json();
export const bytes = async (path) => (await send("GET", path)).blob();
export const health = () => get("health", {}, { base: new URL(".", document.baseURI) });

/** All pages of a list, up to `most` members. */
export async function all(path, query = {}, most = 500) {
  const found = [];
  let after;
  do {
    const page = await get(path, { limit: Math.min(100, most), ...query, after });
    found.push(...page.data);
    after = page.has_more ? page.last_id : undefined;
  } while (after && found.length < most);
  return found;
}

/** The events of a run as they come: `{name, data}`. A POST starts or continues it, a GET follows. */
export async function* events(method, path, body, signal) {
  const response = await send(method, path, { body: body && { ...body, stream: true }, signal });
  const queue = [];
  const parser = createParser({ onEvent: ({ event, data }) => queue.push({ name: event, data }) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.feed(value);
    for (const { name, data } of queue.splice(0)) {
      if (name === "done") return;
      yield { name, data: JSON.parse(data) };
    }
  }
}

/** Upload a file. `fetch` tells no progress, so this is the older way. */
export function upload(file, purpose, onProgress) {
  const form = new FormData();
  form.append("purpose", purpose);
  form.append("file", file, file.name);
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", new URL("files", BASE));
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    request.onerror = () => fail(new ApiError(0, "The upload broke off."));
    request.onload = async () => {
      const response = new Response(request.responseText, { status: request.status });
      if (request.status < 300) done(await response.json());
      else fail(await problem(response));
    };
    request.send(form);
  });
}

/** The API gives back what tools made, but not what was uploaded for them. */
export const isGivenBack = (file) => file != null && !["assistants", "user_data"].includes(file.purpose);

/** Open a file's bytes as a download, whatever they are: they never become a document of this page's origin. */
export async function download(fileId, name) {
  const blob = await bytes(`files/${fileId}/content`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  link.download = name || fileId;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
