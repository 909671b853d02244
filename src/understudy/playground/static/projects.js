// The projects of a server: an admin's key may enter any of them, and a name that is new makes one.

import { Dialog, html, Icon } from "./ui.js";
import { t } from "./words.js";

const NAME = String.raw`[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}`;

export const currentOf = (projects) => projects.data.find((one) => one.current)?.id;

export function Projects({ projects, onChoose, onClose }) {
  const submit = (event) => {
    event.preventDefault();
    onChoose(new FormData(event.target).get("project").trim());
  };
  return html`<${Dialog} title=${t("project.title")} onClose=${onClose}><p class="hint">${t("project.why")}</p>
    <ul class="rows">${projects.data.map(({ id, current }) => html`<li key=${id}>
      <button type="button" class="quiet" aria-current=${current ? "true" : undefined} onClick=${() => onChoose(id)}><${Icon} name="project" />${id}</button></li>`)}</ul>
    <form class="row" onSubmit=${submit}><input name="project" class="grow" required pattern=${NAME} maxlength="64" autocomplete="off"
      title=${t("project.allowed")} placeholder=${t("project.other")} aria-label=${t("project.other")} />
      <button type="submit" class="primary">${t("project.enter")}</button></form><//>`;
}
