// What all pages of the console share. Every page works without it.
"use strict";

const SHEETS = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 8h12v12H8zM4 16V4h12"/></svg>';
const TICK = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 13l5 5L20 6"/></svg>';

// An id is copied by a click, or by Enter; the page says so to everybody.
const heard = document.createElement("p");
heard.className = "unseen";
heard.setAttribute("role", "status");
document.addEventListener("DOMContentLoaded", () => {
  document.body.append(heard);
  for (const code of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    const korean = document.documentElement.lang === "ko";
    button.setAttribute("aria-label", (korean ? "복사: " : "Copy ") + code.dataset.copy);
    button.title = korean ? "복사" : "Copy";
    button.innerHTML = SHEETS;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.dataset.copy);
      heard.textContent = korean ? "복사했습니다" : "Copied";
      button.innerHTML = TICK;
      setTimeout(() => { button.innerHTML = SHEETS; }, 1500);
    });
    code.after(button);
  }
  // On a phone the menu begins closed.
  const menu = document.getElementById("menu");
  if (menu && matchMedia("(max-width: 56rem)").matches) menu.open = false;
});

// The menu behind one's name closes by Escape, by a press elsewhere, and when the keyboard leaves it.
const close = (keeps) => {
  for (const menu of document.querySelectorAll("details.me[open]")) if (!keeps || !menu.contains(keeps)) menu.open = false;
};
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest("details.me[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("click", (event) => close(event.target));
document.addEventListener("focusin", (event) => close(event.target));

// Who types into a field that belongs to one of several choices means that choice: data-chooses="name=value".
document.addEventListener("input", (event) => {
  const chooses = event.target.dataset.chooses;
  if (!chooses || !event.target.value) return;
  const [name, value] = chooses.split("=");
  for (const one of event.target.form.elements[name]) one.checked = one.value === value;
});

// A form that was sent is not sent twice by an impatient click.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
});
// Back to a page that the browser has kept: its forms may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
