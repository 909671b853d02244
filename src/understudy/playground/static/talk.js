// A conversation with an assistant: what the page asks of the API, and the state that comes out of it.

import * as api from "./api.js";
import { arranged, asGiven, EMPTY, FINAL, fold, textOf } from "./conversation.js";
import { useCallback, useLayoutEffect, useRef, useState } from "./ui.js";

const INCLUDE = "step_details.tool_calls[*].file_search.results[*].content";
const MOST_RUNS = 100;

/** Read a thread with all that happened in it. */
export async function loaded(threadId) {
  const [thread, messages, runs] = await Promise.all([
    api.get(`threads/${threadId}`),
    api.all(`threads/${threadId}/messages`, { order: "asc" }),
    api.all(`threads/${threadId}/runs`, { order: "asc" }, MOST_RUNS),
  ]);
  const withSteps = await Promise.all(runs.map(async (run) => ({ run, steps: await stepsOf(run) })));
  return { ...EMPTY, thread, run: runs.at(-1) ?? null, runs: withSteps, items: arranged(messages, withSteps) };
}

export const stepsOf = (run) =>
  api.all(`threads/${run.thread_id}/runs/${run.id}/steps`, { order: "asc", "include[]": INCLUDE });

/** Fold events into the state once per frame: a fast stream must not draw the page more often than it is shown. */
function useFolded() {
  const [state, setState] = useState(EMPTY);
  const queue = useRef([]);
  const change = useCallback((act) => setState((old) => act(queue.current.splice(0).reduce(fold, old))), []);
  const put = useCallback((event) => {
    if (queue.current.push(event) > 1) return;
    const flush = () => change((now) => now);
    if (document.hidden) setTimeout(flush, 50);
    else requestAnimationFrame(flush);
  }, []);
  /** Show something else: events that still wait belong to what was shown before. */
  const show = useCallback((fresh) => change(() => fresh), []);
  return { state, put, change, show };
}

const pathOf = (run) => `threads/${run.thread_id}/runs/${run.id}`;

export function useTalk(threadId, onThread) {
  const { state, put, change, show } = useFolded();
  const [busy, setBusy] = useState(false);
  const [loading, setLoading] = useState(false);
  const reading = useRef(null);
  const shown = useRef(null);

  /** A run that is not known yet is called off as soon as it is. */
  const stopWanted = useRef(false);
  const cancel = async (run) => {
    stopWanted.current = false;
    if (FINAL.has(run.status) || run.status === "cancelling") return;
    const changed = await api.post(`${pathOf(run)}/cancel`).catch((error) => ended(run, error));
    if (shown.current === run.thread_id) put(changed instanceof Error ? { name: "error", data: changed } : { name: "thread.run.changed", data: changed });
  };

  const consume = useCallback(async (method, path, body) => {
    reading.current?.abort();
    const here = (reading.current = new AbortController());
    setBusy(true);
    try {
      for await (const event of api.events(method, path, body, here.signal)) {
        if (reading.current !== here) return;
        put(event);
        if (stopWanted.current && event.data.object === "thread.run") cancel(event.data);
      }
    } catch (error) {
      if (reading.current === here && error.name !== "AbortError") put({ name: "error", data: error });
    } finally {
      if (reading.current === here) setBusy(false);
    }
  }, []);

  const leave = (next) => {
    shown.current = next;
    reading.current?.abort();
    reading.current = null;
    setBusy(false);
    setLoading(false);
    show(EMPTY);
  };

  useLayoutEffect(() => { // at once: what is sent next must not go to the thread that was left
    if ((threadId ?? null) === shown.current) return;
    leave(threadId ?? null);
    setLoading(Boolean(threadId));
    if (!threadId) return;
    loaded(threadId).then((found) => {
      if (shown.current !== threadId) return;
      show(found);
      const { run } = found;
      if (run && !FINAL.has(run.status) && run.status !== "requires_action") consume("GET", `${pathOf(run)}/events`);
    }, (error) => shown.current === threadId && show({ ...EMPTY, error })).finally(() => shown.current === threadId && setLoading(false));
  }, [threadId]);
  useLayoutEffect(() => () => { shown.current = undefined; reading.current?.abort(); }, []);

  const begin = async (assistantId, messages) => {
    let id = shown.current;
    stopWanted.current = false;
    change((now) => ({ ...now, run: null, error: null }));
    setBusy(true);
    try {
      if (!id) {
        const thread = await api.post("threads", {});
        if (shown.current === id) {
          shown.current = thread.id;
          put({ name: "thread.created", data: thread });
          onThread(thread.id);
        }
        id = thread.id;
      }
      for (const message of messages) {
        const made = await api.post(`threads/${id}/messages`, message);
        if (shown.current === id) put({ name: "thread.message.created", data: made });
      }
      const body = { assistant_id: assistantId };
      if (shown.current === id) await consume("POST", `threads/${id}/runs`, body);
      else await api.post(`threads/${id}/runs`, body); // its reader has gone elsewhere; it is answered all the same
    } catch (error) {
      if (shown.current !== id) return;
      setBusy(false);
      put({ name: "error", data: error });
    }
  };
  const { run } = state;
  const submit = (outputs) => consume("POST", `${pathOf(run)}/submit_tool_outputs`, { tool_outputs: outputs });
  const stop = () => {
    if (run) cancel(run);
    else stopWanted.current = true;
  };
  const rerun = async (assistantId, from, text) => {
    const before = state.items.filter((item) => item.kind === "message").map((item) => item.message);
    const kept = before.slice(0, before.findIndex((message) => message.id === from.id)).filter((message) => textOf(message) || message.role === "user");
    leave(null);
    await begin(assistantId, [...kept.map((message) => asGiven(message)), asGiven(from, text)]);
  };
  return { state, busy, loading, begin, submit, stop, rerun };
}

/** A run that has ended by itself in the meantime need not be called off. Returns the run, or else the error. */
const ended = (run, error) => api.get(pathOf(run)).then((now) => (FINAL.has(now.status) ? now : error), () => error);
