// Bars over time, drawn as SVG; the same numbers stand in a table for those who cannot see them.

import { html } from "./ui.js";
import { number } from "./words.js";

const HEIGHT = 120;
const WIDTH = 460;

/** `bars`: `[{label, parts: [{name, value, kind}]}]`, one for each time. */
export function Bars({ title, bars, kinds }) {
  const totals = bars.map((bar) => bar.parts.reduce((sum, part) => sum + part.value, 0));
  const top = Math.max(1, ...totals);
  const step = WIDTH / bars.length;
  return html`<figure class="chart"><figcaption>${title}<strong>${number(totals.reduce((a, b) => a + b, 0))}</strong></figcaption>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT + 18}`} role="img" aria-label=${title}>
      <line class="axis" x1="0" y1=${HEIGHT} x2=${WIDTH} y2=${HEIGHT} />
      ${bars.map((bar, place) => html`<g key=${bar.label}><${Stack} bar=${bar} x=${place * step + step * 0.12} width=${step * 0.76} top=${top} />
        ${shownLabel(place, bars.length) && html`<text x=${place * step + step / 2} y=${HEIGHT + 14}>${bar.label}</text>`}</g>`)}
      <text class="peak" x="0" y="10">${number(top)}</text>
    </svg>
    <ul class="legend" aria-hidden="true">${kinds.map(({ kind, name }) => html`<li class=${"kind-" + kind}>${name}</li>`)}</ul>
    <div class="unseen"><table><caption>${title}</caption><thead><tr><td></td>${kinds.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
      <tbody>${bars.map((bar) => html`<tr><th>${bar.label}</th>${bar.parts.map((part) => html`<td>${part.value}</td>`)}</tr>`)}</tbody></table></div>
  </figure>`;
}

const shownLabel = (place, count) => place % Math.ceil(count / 6) === Math.floor(Math.ceil(count / 6) / 2);

function Stack({ bar, x, width, top }) {
  let y = HEIGHT;
  return bar.parts.map((part) => {
    const height = (part.value / top) * (HEIGHT - 14);
    y -= height;
    return html`<rect key=${part.kind} class=${"kind-" + part.kind} x=${x} y=${y} width=${width} height=${height} rx="1.5">
      <title>${bar.label}: ${part.name} ${number(part.value)}</title></rect>`;
  });
}
