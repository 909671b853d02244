// Where one writes: text, files, send, stop.

import * as api from "./api.js";
import { html, Icon, IconButton, serial, useEffect, useRef, useState } from "./ui.js";
import { t } from "./words.js";

const IMAGE = /^image\/(png|jpeg|gif|webp)$/;

/** Files that were dropped or chosen, uploaded as they come. Each is `{name, share, file?, error?}`. */
export function useUploads() {
  const [uploads, setUploads] = useState([]);
  const patch = (key, change) => setUploads((all) => all.map((one) => (one.key === key ? { ...one, ...change } : one)));
  const add = (files) => {
    for (const file of files) {
      const key = serial();
      const purpose = IMAGE.test(file.type) ? "vision" : "assistants";
      setUploads((all) => [...all, { key, name: file.name, share: 0, picture: purpose === "vision" }]);
      api.upload(file, purpose, (share) => patch(key, { share })).then(
        (made) => patch(key, { share: 1, file: made }),
        (error) => patch(key, { error: error.status === 404 ? t("files.none") : error.message }),
      );
    }
  };
  const drop = (key) => setUploads((all) => all.filter((one) => one.key !== key));
  return { uploads, add, drop, clear: () => setUploads([]), busy: uploads.some((one) => !one.file && !one.error) };
}

export function Composer({ disabled, loading, running, onSend, onStop, uploads }) {
  const [text, setText] = useState("");
  const area = useRef();
  const picker = useRef();
  useEffect(() => area.current?.focus(), [disabled]);
  useEffect(() => {
    area.current.style.height = "auto";
    area.current.style.height = `${Math.min(area.current.scrollHeight, 240)}px`;
  }, [text]);
  const ready = text.trim() && !disabled && !loading && !running && !uploads.busy;
  const send = () => {
    if (!ready) return;
    onSend(text.trim());
    setText("");
  };
  const press = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  const paste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) { event.preventDefault(); uploads.add(files); }
  };
  return html`<form class="composer" onSubmit=${(e) => { e.preventDefault(); send(); }}>
    ${uploads.uploads.length > 0 && html`<ul class="attachments">${uploads.uploads.map((one) => html`<li key=${one.key}>
      <span class=${"chip" + (one.error ? " problem" : "")}><${Icon} name="files" />${one.name}
        ${one.error ? html`<span>${one.error}</span>` : one.share < 1 && html`<progress value=${one.share} max="1"></progress>`}
        <${IconButton} icon="close" label=${t("remove")} onClick=${() => uploads.drop(one.key)} /></span></li>`)}</ul>`}
    <div class="composer-row">
      <input type="file" multiple hidden ref=${picker} onChange=${(e) => { uploads.add([...e.target.files]); e.target.value = ""; }} />
      <${IconButton} icon="clip" label=${t("chat.attach")} onClick=${() => picker.current.click()} disabled=${disabled} />
      <textarea ref=${area} rows="1" value=${text} disabled=${disabled} placeholder=${t("chat.placeholder")} aria-label=${t("chat.placeholder")}
        onInput=${(e) => setText(e.target.value)} onKeyDown=${press} onPaste=${paste}></textarea>
      ${running ? html`<button type="button" class="primary stop" onClick=${onStop} title="Esc"><${Icon} name="stop" />${t("chat.stop")}</button>`
        : html`<button type="submit" class="primary" disabled=${!ready} aria-label=${t("chat.send")}><${Icon} name="send" /></button>`}
    </div></form>`;
}
