// What if a rule had another threshold: counted over the sample of documents that lies in the page.
"use strict";
const data = JSON.parse(document.getElementById("sample").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const pages = bytes(data.pages), places = {};
for (const [name, signal] of Object.entries(data.signals)) places[name] = bytes(signal.places);
const UNDEFINED = 255;
const compare = {
  "<": (place, at) => place < at, "<=": (place, at) => place <= at,
  ">": (place, at) => place > at, ">=": (place, at) => place >= at,
};
const sliders = [...document.querySelectorAll("input[data-rule]")];
const rules = sliders.map((slider) => ({ ...slider.dataset, slider, off: document.getElementById(`off-${slider.dataset.rule}`) }));

function fires(rule) {
  const found = new Uint8Array(data.documents), of = places[rule.signal], at = 2 * rule.slider.value;
  if (rule.off.checked) return found;
  for (let row = 0; row < data.documents; row++)
    found[row] = of[row] !== UNDEFINED && (!rule.pages || pages[row]) && compare[rule.op](of[row], at) ? 1 : 0;
  return found;
}
const percent = (count) => `${(100 * count / data.documents).toFixed(1)} %`;
const short = (value) => Number(value).toLocaleString("en", { maximumSignificantDigits: 3 });

function show() {
  const all = rules.map(fires), hits = new Uint16Array(data.documents);
  for (const one of all) for (let row = 0; row < data.documents; row++) hits[row] += one[row];
  const kept = hits.reduce((sum, count) => sum + (count === 0), 0);
  rules.forEach((rule, number) => {
    let fired = 0, alone = 0;
    for (let row = 0; row < data.documents; row++) if (all[number][row]) { fired++; alone += hits[row] === 1; }
    const signal = data.signals[rule.signal], value = signal.values[rule.slider.value], drawn = signal.histogram;
    const scaled = drawn.log ? Math.log10(1 + value) : value;
    const at = Math.min(Math.max((scaled - drawn.low) / (drawn.high - drawn.low), 0), 1);
    const card = rule.slider.closest(".rule");
    card.querySelector(".threshold").setAttribute("x1", `${100 * at}%`);
    card.querySelector(".threshold").setAttribute("x2", `${100 * at}%`);
    const gone = card.querySelector(".gone"), below = rule.op[0] === "<";
    gone.setAttribute("x", below ? "0" : `${100 * at}%`);
    gone.setAttribute("width", rule.off.checked ? "0" : `${100 * (below ? at : 1 - at)}%`);
    card.querySelector("output").textContent = rule.off.checked
      ? "off" : `${rule.op} ${short(value)}: removes ${percent(fired)}, alone ${percent(alone)}`;
    card.classList.toggle("changed", rule.slider.value !== rule.now || rule.off.checked);
  });
  const share = kept / data.documents, error = Math.sqrt(share * (1 - share) / data.documents);
  document.getElementById("kept").textContent =
    `${percent(kept)} ± ${(196 * error).toFixed(1)} of the documents that come to the rules stay` +
    `: about ${Math.round(share * data.judged).toLocaleString("en")} of ${data.judged.toLocaleString("en")}.`;
}
rules.forEach((rule) => { rule.slider.addEventListener("input", show); rule.off.addEventListener("input", show); });
document.getElementById("as-run").addEventListener("click", () => {
  rules.forEach((rule) => { rule.slider.value = rule.now; rule.off.checked = false; });
  show();
});
document.documentElement.classList.add("scripted");
show();
