// A conversation with an assistant: what the page asks of the API, and the state that comes out of it.

import * as api from "./api.js";
import { arranged, asGiven, EMPTY, FINAL, fold, textOf } from "./conversation.js";
import { useCallback, useEffect, useRef, useState } from "./ui.js";

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
  const put = useCallback((event) => {
    if (queue.current.push(event) > 1) return;
    const flush = () => setState((old) => queue.current.splice(0).reduce(fold, old));
    if (document.hidden) setTimeout(flush, 50);
    else requestAnimationFrame(flush);
  }, []);
  return [state, setState, put];
}

export function useTalk(threadId, onThread) {
  const [state, setState, put] = useFolded();
  const [busy, setBusy] = useState(false);
  const reading = useRef(null);
  const shown = useRef(null);

  /** A run that is not known yet is called off as soon as it is. */
  const stopWanted = useRef(false);
  const cancel = (run) => {
    stopWanted.current = false;
    if (FINAL.has(run.status) || run.status === "cancelling") return;
    api.post(`threads/${run.thread_id}/runs/${run.id}/cancel`).then(
      (changed) => put({ name: "thread.run.cancelling", data: changed }),
      (error) => put({ name: "error", data: error }),
    );
  };

  const consume = useCallback(async (method, path, body) => {
    reading.current?.abort();
    const here = (reading.current = new AbortController());
    setBusy(true);
    try {
      for await (const event of api.events(method, path, body, here.signal)) {
        put(event);
        if (stopWanted.current && event.data.object === "thread.run") cancel(event.data);
      }
    } catch (error) {
      if (error.name !== "AbortError") put({ name: "error", data: error });
    } finally {
      if (reading.current === here) setBusy(false);
    }
  }, []);

  useEffect(() => {
    if (threadId === shown.current) return undefined;
    shown.current = threadId;
    reading.current?.abort();
    setBusy(false);
    setState(EMPTY);
    if (!threadId) return undefined;
    loaded(threadId).then((found) => {
      if (shown.current !== threadId) return;
      setState(found);
      const { run } = found;
      if (run && !FINAL.has(run.status) && run.status !== "requires_action") consume("GET", `threads/${threadId}/runs/${run.id}/events`);
    }, (error) => setState({ ...EMPTY, error }));
    return undefined;
  }, [threadId]);
  useEffect(() => () => reading.current?.abort(), []);

  const begin = async (assistantId, messages) => {
    stopWanted.current = false;
    setState((old) => ({ ...old, run: null, error: null }));
    setBusy(true);
    try {
      let id = shown.current;
      if (!id) {
        const thread = await api.post("threads", {});
        id = shown.current = thread.id;
        put({ name: "thread.created", data: thread });
        onThread(id);
      }
      for (const message of messages) {
        put({ name: "thread.message.created", data: await api.post(`threads/${id}/messages`, message) });
      }
      await consume("POST", `threads/${id}/runs`, { assistant_id: assistantId });
    } catch (error) {
      setBusy(false);
      put({ name: "error", data: error });
    }
  };
  const { run } = state;
  const path = run && `threads/${run.thread_id}/runs/${run.id}`;
  const submit = (outputs) => consume("POST", `${path}/submit_tool_outputs`, { tool_outputs: outputs });
  const stop = () => {
    if (run) cancel(run);
    else stopWanted.current = true;
  };
  const rerun = async (assistantId, from, text) => {
    const before = state.items.filter((item) => item.kind === "message").map((item) => item.message);
    const kept = before.slice(0, before.findIndex((message) => message.id === from.id)).filter((message) => textOf(message) || message.role === "user");
    shown.current = null;
    reading.current?.abort();
    setState(EMPTY);
    await begin(assistantId, [...kept.map((message) => asGiven(message)), asGiven(from, text)]);
  };
  return { state, busy, begin, submit, stop, rerun };
}
