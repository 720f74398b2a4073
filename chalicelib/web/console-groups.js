// Channel groups: filters as one types, and an editor that needs no reload. Every button works without it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const filter = document.querySelector("[data-filter]");
  if (filter) filterCards(filter);
  const sample = document.getElementById("sample");
  if (sample) followSample(sample);
  const form = document.getElementById("editor");
  if (form) edit(form);
});

function filterCards(input) {
  const cards = document.getElementById(input.dataset.filter).children;
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const card of cards) {
      card.hidden = !card.dataset.words.includes(wanted);
      if (!card.hidden) shown += 1;
    }
    document.getElementById("nothing").hidden = shown > 0;
  });
}

// Of the simulator's fields, those that the kind of payment has no use for are hidden (console.css).
function followSample(sample) {
  sample.classList.add("follows");
  sample.addEventListener("change", (event) => {
    if (event.target.name === "try_kind") sample.dataset.kind = event.target.value;
    if (event.target.name === "try_keys") sample.dataset.keys = event.target.value;
  });
}

function edit(form) {
  const rows = document.getElementById("rows");
  const outcome = document.getElementById("outcome");
  const told = document.getElementById("told");
  let latest = 0;
  let waiting = 0;
  let typed = false;

  // A part of the page as it would be after that button; null if it cannot be had.
  async function ask(part, act) {
    const body = new URLSearchParams(new FormData(form));
    body.set("act", act);
    body.set("part", part);
    try {
      const reply = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
      return reply.ok && !reply.redirected ? await reply.text() : null;
    } catch {
      return null;
    }
  }

  async function simulate() {
    const mine = ++latest;
    const html = await ask("outcome", "simulate");
    if (mine !== latest) return;
    if (html !== null) outcome.innerHTML = html;
    told.textContent = html === null ? told.dataset.failed : told.dataset.updated;
  }

  function soon() {
    clearTimeout(waiting);
    told.textContent = "";
    waiting = setTimeout(simulate, 400);
  }

  async function rearrange(button) {
    const html = await ask("rows", button.value);
    if (html === null) {
      form.dataset.plain = "1";
      form.requestSubmit(button);
      return;
    }
    const names = entries().map((entry) => entry.dataset.name);
    rows.innerHTML = html;
    prepare();
    changed();
    focusAfter(button, names);
  }

  // Where the keyboard is after a move: on the same button of the channel that moved, in its new place.
  function focusAfter(button, names) {
    const [act, place] = button.value.split(":");
    const now = entries();
    let next = document.getElementById(button.id);
    if (act === "up" || act === "down") {
      const row = now.find((entry) => entry.dataset.name === names[place]);
      next = row.querySelector(`[value^="${act}:"]:enabled`) || row.querySelector(".moves button:enabled");
    } else if (act === "add") {
      next = now.at(-1).querySelector("[type=number]");
      next.select();
    } else if (act === "remove") {
      next = (now[place] || now.at(-1))?.querySelector("[value^=remove]") || document.getElementById("add");
    }
    next?.focus();
  }

  const entries = () => [...form.querySelectorAll(".entry")];

  function changed() {
    typed = true;
    draw();
    soon();
  }

  // The bar and the sum, as typed.
  function draw() {
    const parts = entries().map((entry) => {
      const input = entry.querySelector("[type=number]");
      const weight = /^\d{1,3}$/.test(input.value) && input.value <= 100 ? Number(input.value) : 0;
      const used = entry.querySelector("[type=checkbox]").checked;
      entry.classList.toggle("off", !used);
      return { weight, used, colour: entry.dataset.colour, name: entry.dataset.name };
    });
    const sum = parts.reduce((total, part) => total + part.weight, 0);
    drawBar(parts, Math.max(sum, 100));
    const line = document.getElementById("sum");
    const off = 100 - sum;
    const text = off === 0 ? line.dataset.good : off > 0 ? line.dataset.missing : line.dataset.over;
    const said = text.replace("{sum}", sum).replace("{off}", Math.abs(off));
    if (line.textContent !== said) line.textContent = said;
    line.className = `g-sum ${off === 0 ? "good" : "wrong"}`;
  }

  function drawBar(parts, whole) {
    const bar = document.getElementById("draft");
    const label = bar.getAttribute("aria-label").split(":")[0];
    bar.setAttribute("aria-label", `${label}: ${parts.map((part) => `${part.name} ${part.weight} %`).join(", ")}`);
    while (bar.children.length > 1) bar.lastElementChild.remove();
    let x = 0;
    for (const { weight, used, colour } of parts) {
      const width = (weight * 1000) / whole;
      bar.append(rect(x, width, { class: used ? `c${colour}` : `c${colour} off` }));
      if (!used) bar.append(rect(x, width, { fill: "url(#stripes)" }));
      x += width;
    }
  }

  function rect(x, width, more) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x, width, height: 24, ...more })) made.setAttribute(name, value);
    return made;
  }

  // What only a script can do: to filter the picker, and to drag.
  function prepare() {
    for (const part of rows.querySelectorAll("[data-with-script]")) part.hidden = false;
    const find = rows.querySelector("[data-options]");
    if (find) filterOptions(find, document.getElementById(find.dataset.options));
    for (const handle of rows.querySelectorAll(".handle")) handle.addEventListener("pointerdown", drag);
  }

  function filterOptions(find, select) {
    const all = [...select.options];
    find.addEventListener("input", () => {
      const wanted = find.value.trim().toLowerCase();
      select.replaceChildren(...all.filter((option) => option.text.toLowerCase().includes(wanted)));
      document.getElementById("add").disabled = select.options.length === 0;
    });
    // Enter in the filter adds what is chosen, and does not send the form.
    find.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (select.options.length) rearrange(document.getElementById("add"));
    });
  }

  function drag(event) {
    const handle = event.currentTarget;
    const row = handle.closest(".entry");
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    row.classList.add("dragged");
    // The others go round it: what is dragged stays where it is, or the pointer would lose it.
    const move = ({ clientY }) => {
      const above = row.previousElementSibling;
      const below = row.nextElementSibling;
      if (above && clientY < middle(above)) row.after(above);
      else if (below && clientY > middle(below)) row.before(below);
    };
    const drop = () => {
      handle.removeEventListener("pointermove", move);
      row.classList.remove("dragged");
      renumber();
      changed();
      rearrangeQuietly();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", drop, { once: true });
  }

  const middle = (element) => {
    const { top, height } = element.getBoundingClientRect();
    return top + height / 2;
  };

  // A row's place stands in the names of its fields and buttons.
  function renumber() {
    entries().forEach((entry, place) => {
      for (const input of entry.querySelectorAll("[name^='channels[']")) {
        input.name = input.name.replace(/^channels\[\d+\]/, `channels[${place}]`);
      }
    });
  }

  // The buttons, too, are the server's to name and to disable.
  async function rearrangeQuietly() {
    const html = await ask("rows", "check");
    if (html === null) return;
    rows.innerHTML = html;
    prepare();
  }

  form.addEventListener("input", (event) => {
    if (event.target.dataset.options || event.target.id === "f-added") return;
    changed();
  });
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    const act = button ? button.value.split(":")[0] : "check";
    if (form.dataset.plain) { delete form.dataset.plain; typed = false; return; }
    if (["up", "down", "remove", "add", "even"].includes(act)) {
      event.preventDefault();
      rearrange(button);
    } else if (["check", "simulate"].includes(act)) {
      event.preventDefault();
      clearTimeout(waiting);
      simulate();
    } else {
      typed = false;
    }
  });
  window.addEventListener("beforeunload", (event) => { if (typed) event.preventDefault(); });
  rows.classList.add("drags");
  prepare();
}
