// A connection test without leaving the form, so that secrets need not be typed twice. Without this the page is sent.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-try]");
  if (!button || !button.form.reportValidity || button.disabled) return;
  event.preventDefault();
  const form = button.form;
  const place = document.getElementById(button.dataset.try || "tried");
  const say = (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    place.replaceChildren(line);
  };
  const sent = new URLSearchParams(new FormData(form, button));
  sent.set("fragment", "1");
  button.disabled = true;
  say(place.dataset.waiting);
  try {
    const answer = await fetch(form.action, { method: "POST", body: sent, redirect: "manual" });
    // Signed out meanwhile: the answer leads to another page, which sends the visitor back here.
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = part.querySelector(".notice");
    if (told) place.replaceChildren(document.adoptNode(told));
    else say(place.dataset.broken);
  } catch {
    say(place.dataset.broken);
  } finally {
    button.disabled = false;
    button.focus();
  }
});
