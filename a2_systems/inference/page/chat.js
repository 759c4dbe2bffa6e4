// The chat page: sends the conversation, shows tokens as they come, and what else each of them could have been.
"use strict";

const $ = (id) => document.getElementById(id);
const said = []; // {role, content}: what the server is sent
let stopping = null; // an AbortController while an answer comes
let model = "";

async function connect() {
  try {
    const answer = await fetch("v1/models");
    if (!answer.ok) throw new Error(await reason(answer));
    model = (await answer.json()).data[0].id;
    $("model").textContent = document.title = model;
    status("ready");
  } catch (error) {
    status(`no answer from the server: ${error.message}`, true);
  }
}

function status(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

async function reason(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `status ${answer.status}`;
  }
}

function bubble(role) {
  const item = document.createElement("li");
  item.className = role;
  $("talk").append(item);
  return item;
}

function settings() {
  const chosen = {};
  for (const input of $("settings").querySelectorAll("input")) {
    if (input.value !== "") chosen[input.name] = Number(input.value);
  }
  return chosen;
}

async function send(text) {
  said.push({ role: "user", content: text });
  bubble("user").textContent = text;
  await answerTo();
}

async function answerTo() {
  const item = bubble("assistant");
  item.classList.add("waiting");
  stopping = new AbortController();
  show();
  const began = performance.now();
  let firstAt = 0;
  let count = 0;
  let whole = "";
  let ended = "stopped";
  try {
    const body = { model, messages: said, stream: true, logprobs: true, top_logprobs: 5, ...settings() };
    const answer = await fetch("v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: stopping.signal,
    });
    if (!answer.ok) throw new Error(await reason(answer));
    for await (const piece of events(answer.body)) {
      const [choice] = piece.choices;
      if (!choice) continue;
      firstAt ||= performance.now();
      count += 1;
      whole += choice.delta.content;
      item.append(tokenOf(choice));
      if (choice.finish_reason) ended = choice.finish_reason;
      const seconds = (performance.now() - firstAt) / 1000;
      status(count > 1 ? `${((count - 1) / seconds).toFixed(1)} tokens/s` : "reading");
      follow();
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      const wrong = document.createElement("span");
      wrong.className = "wrong";
      wrong.textContent = error.message;
      item.append(wrong);
      status("the request failed", true);
    }
  }
  item.classList.remove("waiting");
  if (count) {
    const seconds = (performance.now() - firstAt) / 1000;
    const rate = count > 1 ? `, ${((count - 1) / seconds).toFixed(1)} a second` : "";
    const words = { stop: "the end", length: "cut at its length", stopped: "stopped" }[ended];
    const meta = document.createElement("span");
    meta.className = "meta";
    meta.textContent = `${count} tokens${rate}, first after ${Math.round(firstAt - began)} ms · ${words}`;
    item.append(meta);
    said.push({ role: "assistant", content: whole });
  }
  stopping = null;
  show();
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /gm, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

function tokenOf(choice) {
  const span = document.createElement("span");
  const [told] = choice.logprobs ? choice.logprobs.content : [];
  span.className = "token";
  span.textContent = choice.delta.content;
  if (told) {
    span.told = told;
    span.style.setProperty("--doubt", String(0.55 * (1 - Math.exp(told.logprob))));
  }
  return span;
}

function tip(span) {
  const { token, logprob, top_logprobs: best } = span.told;
  const rows = best.some((one) => one.token === token) ? best : [...best, { token, logprob }];
  const table = document.createElement("table");
  for (const one of rows) {
    const row = table.insertRow();
    row.className = one.token === token ? "own" : "";
    row.insertCell().textContent = one.token.replaceAll("\n", "⏎").replaceAll(" ", "␣") || "(no text)";
    row.insertCell().textContent = `${(100 * Math.exp(one.logprob)).toFixed(1)} %`;
  }
  $("tip").replaceChildren(table);
  $("tip").hidden = false;
  const place = span.getBoundingClientRect();
  const size = $("tip").getBoundingClientRect();
  const left = Math.min(Math.max(8, place.left), window.innerWidth - size.width - 8);
  const above = place.top - size.height - 6;
  $("tip").style.left = `${left}px`;
  $("tip").style.top = `${above > 8 ? above : place.bottom + 6}px`;
}

function show() {
  const isBusy = stopping !== null;
  $("send").textContent = isBusy ? "Stop" : "Send";
  $("empty").hidden = said.length > 0;
  $("again").hidden = isBusy || !said.some((one) => one.role === "user");
  $("clear").hidden = isBusy || said.length === 0;
  if (!isBusy && !$("status").classList.contains("bad")) status("ready");
}

function follow() {
  const room = document.documentElement.scrollHeight - window.scrollY - window.innerHeight;
  if (room < 160) window.scrollTo(0, document.documentElement.scrollHeight);
}

function grow() {
  $("text").style.height = "auto";
  $("text").style.height = `${$("text").scrollHeight + 2}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stopping) {
    stopping.abort();
    return;
  }
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  grow();
  send(text);
});
$("text").addEventListener("input", grow);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!stopping) $("composer").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && stopping) stopping.abort();
});
$("again").addEventListener("click", () => {
  if (said.at(-1).role === "assistant") said.pop();
  $("talk").lastElementChild.remove();
  answerTo();
});
$("clear").addEventListener("click", () => {
  said.length = 0;
  $("talk").replaceChildren();
  show();
  $("text").focus();
});
$("shades").addEventListener("change", () => $("talk").classList.toggle("shaded", $("shades").checked));
for (const button of document.querySelectorAll(".start")) {
  button.addEventListener("click", () => send(button.textContent));
}
for (const kind of ["pointerover", "click"]) {
  $("talk").addEventListener(kind, (event) => {
    if (event.target.told) tip(event.target);
    else $("tip").hidden = true;
  });
}
$("talk").addEventListener("pointerleave", () => { $("tip").hidden = true; });
addEventListener("scroll", () => { $("tip").hidden = true; }, { passive: true });
show();
connect();
