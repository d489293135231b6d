// Keys, live rows and ages. Everything that matters works without this file.
"use strict";
const page = document.body.dataset;
const $ = (id) => document.getElementById(id);

// Ages grow while nobody reloads.
function age(time) {
  const s = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([each]) => s >= each) || [1, "s"];
  time.textContent = `${Math.round(s / size)} ${unit} ago`;
}
setInterval(() => document.querySelectorAll("time").forEach(age), 10000);

// Live: each event is an alert's row as the server draws it; it is put where its expected loss belongs.
function place(row) {
  const rows = $("rows");
  const old = $(row.id);
  const belongs = row.dataset.state === page.state && (!page.action || row.dataset.action === page.action) &&
    (!page.mine || row.dataset.assignee === page.mine);
  const held = old && old.contains(document.activeElement);
  if (old && !belongs) {
    const next = old.nextElementSibling || old.previousElementSibling;
    old.remove();
    if (held && next) next.querySelector("a").focus();
  }
  if (!belongs) return;
  if (old) old.remove();
  // What has no rate stands first, as in the server's order.
  const rank = (each) => [Number(each.dataset.unpriced), Number(each.dataset.loss)];
  const [unpriced, loss] = rank(row);
  const after = [...rows.children].find((each) => {
    const [first, second] = rank(each);
    return first < unpriced || (first === unpriced && second < loss);
  });
  rows.insertBefore(row, after || null);
  row.classList.add("fresh");
  if (held) row.querySelector("a").focus();
  if ($("empty")) $("empty").remove();
  $("said").textContent = `${old ? "changed" : "new"} alert, expected loss ${row.querySelector(".loss").textContent}`;
}

if (page.page === "queue" && page.live) {
  const show = (text, away) => {
    $("live").hidden = false;
    $("live").classList.toggle("away", away);
    $("live-text").textContent = text;
  };
  let last = page.after;
  function listen() {
    const source = new EventSource(`/console/stream?after=${last}`);
    source.onopen = () => show("live", false);
    source.onerror = () => {
      show("reconnecting", true);
      // A browser comes back by itself after a broken connection, but not after an answer such as 503: that is ours.
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 5000);
    };
    source.addEventListener("alert", (event) => {
      last = event.lastEventId;
      const holder = document.createElement("tbody");
      holder.innerHTML = event.data;
      place(holder.firstElementChild);
    });
  }
  async function again() {
    try {
      const answer = await fetch("/console/queue", { redirect: "manual" });
      if (answer.type === "opaqueredirect") { show("signed out: load the page again", true); return; }
    } catch { /* the desk is away; it is asked again below */ }
    listen();
  }
  listen();
}

// Keys.
function step(items, by) {
  const at = items.findIndex((each) => each === document.activeElement);
  const to = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, at + by));
  if (items[to]) { items[to].focus(); items[to].scrollIntoView({ block: "nearest" }); }
}
function choose(verdict) {
  const radio = document.querySelector(`input[name=verdict][value=${verdict}]`);
  if (!radio) return;
  radio.checked = true;
  $("send").focus();
}
const keys = {
  j: () => step([...document.querySelectorAll(".row-link, .payments input")], 1),
  k: () => step([...document.querySelectorAll(".row-link, .payments input")], -1),
  f: () => choose("fraud"),
  g: () => choose("genuine"),
  u: () => choose("unsure"),
  n: () => $("note") && $("note").focus(),
  b: () => $("back") && $("back").click(),
  t: () => $("take") && $("take").click(),
  "?": () => $("help").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches("textarea, input:not([type=radio], [type=checkbox])");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
document.querySelectorAll(".needs-js").forEach((each) => { each.hidden = false; });
if ($("help-open")) $("help-open").addEventListener("click", keys["?"]);
// Two clicks are one verdict. Not at once: a button that is disabled is not sent along.
if ($("verdict")) $("verdict").addEventListener("submit", () => setTimeout(() => {
  document.querySelectorAll("#send, #whole").forEach((each) => { each.disabled = true; });
}));
if (page.page === "queue" && document.querySelector(".row-link")) document.querySelector(".row-link").focus({ preventScroll: true });
