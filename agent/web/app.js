// The talk page: buttons, state and what arrives from the agent.

import { Call, Refusal } from "./call.js";
import { Meter, Orb } from "./orb.js";
import { Transcript } from "./transcript.js";
import { currentLanguage, switchLanguage, t, translatePage } from "./words.js";

const $ = (id) => document.getElementById(id);
const LOADING_POLL_MS = 500;
const THINKING_MS = 12000; // a noise that was no speech gets no answer; go back to listening

const transcript = new Transcript($("transcript"), $("scroll"), $("empty"));
const page = { agent: null, call: null, audio: null, microphone: null, voice: null, muted: false, latency: null, notice: null };
const turn = { thinking: 0, answering: false };
new Orb($("orb"), () => (state() === "speaking" ? page.voice?.level : page.muted ? 0 : page.microphone?.level) ?? 0);

// ---- state ----------------------------------------------------------------------------------------------------------------------

const state = () => document.body.dataset.state;

function enter(next) {
  clearTimeout(turn.thinking);
  document.body.dataset.state = next;
  if (next === "thinking") turn.thinking = setTimeout(() => enter("listening"), THINKING_MS);
  paint();
}

/** Write everything that depends on state and language. */
function paint() {
  translatePage();
  const now = state();
  const open = page.call !== null;
  $("state").textContent = now === "loading" && page.agent?.step ? page.agent.step : t(`states.${now}`);
  const quiet = open && !page.call.microphone;
  const hint = now === "failed" ? page.agent?.step : quiet && now === "listening" ? t("hints.textOnly") : page.muted ? t("hints.muted") : t(`hints.${now}`);
  $("hint").textContent = hint ?? "";
  $("call").textContent = t(open ? "hangUp" : "call");
  $("call").classList.toggle("hang-up", open);
  $("call").disabled = now === "loading" || now === "failed";
  $("mute").hidden = $("microphone").hidden = !open || quiet;
  $("mute").textContent = t(page.muted ? "unmute" : "mute");
  $("mute").setAttribute("aria-pressed", String(page.muted));
  $("suggestions").replaceChildren(...t("suggestions").map(suggestion));
  $("brain").textContent = page.agent?.brain === "demo" ? t("demo") : page.agent?.brain ?? "";
  $("language").textContent = t("other");
  $("language").lang = currentLanguage() === "zh" ? "en" : "zh-CN";
  $("notice").hidden = page.notice === null;
  $("notice").textContent = page.notice === null ? "" : t(`notices.${page.notice}`) ?? page.notice;
  for (const option of $("voice").options) option.textContent = describeVoice(option.value);
  paintLatency();
}

/** Descriptions come in both languages: `兰 · 女声 / Lan · female`. */
function describeVoice(name) {
  const [zh, en = zh] = (page.agent.voices.find((voice) => voice.name === name).description || name).split(" / ");
  return currentLanguage() === "zh" ? zh : en;
}

function notify(notice) {
  page.notice = notice;
  paint();
}

// ---- the agent ------------------------------------------------------------------------------------------------------------------

/** fetch with the token, if this agent asks for one. */
async function request(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  return fetch(path, { ...options, headers });
}

async function askToken() {
  const dialog = $("ask-token");
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  sessionStorage.setItem("token", $("token").value);
}

/** Learn what the agent is, waiting while it loads. */
async function meet() {
  for (;;) {
    try {
      const response = await request("/api/agent");
      if (response.status === 401) {
        if (sessionStorage.getItem("token")) notify("token");
        await askToken();
        continue;
      }
      page.agent = await response.json();
      page.notice = null;
      if (page.agent.state !== "loading") break;
    } catch {
      page.notice = "unreachable";
    }
    paint();
    await new Promise((resolve) => setTimeout(resolve, LOADING_POLL_MS));
  }
  const { voices = [], voice, speed } = page.agent;
  $("voice").replaceChildren(...voices.map(({ name }) => new Option(name, name)));
  $("voice").value = localStorage.getItem("voice") ?? voice;
  if ($("voice").selectedIndex < 0) $("voice").value = voice;
  $("speed").value = localStorage.getItem("speed") ?? speed;
  $("voice").disabled = $("speed").disabled = page.agent.state !== "ready";
  showSpeed();
  enter(page.agent.state === "ready" ? "idle" : "failed");
}

// ---- the call -------------------------------------------------------------------------------------------------------------------

/** The microphone, or null and a notice that says how to get one. */
async function openMicrophone() {
  if (!navigator.mediaDevices) return notify("insecure"), null;
  try {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    return notify(t(`notices.${error.name}`) ? error.name : `${error.name}: ${error.message}`), null;
  }
}

async function connect({ withMicrophone = true } = {}) {
  page.notice = null;
  page.muted = false;
  page.audio ??= new AudioContext();
  enter("connecting");
  const stream = withMicrophone ? await openMicrophone() : null;
  if (stream) page.microphone = new Meter(page.audio, stream);
  const call = (page.call = new Call(request, stream?.getAudioTracks()[0] ?? null));
  call.addEventListener("message", ({ detail }) => receive(detail));
  call.addEventListener("stream", ({ detail }) => play(detail));
  call.addEventListener("lost", () => (interrupted(), enter("reconnecting")));
  call.addEventListener("up", () => (configure(), enter("listening")));
  call.addEventListener("down", ({ detail }) => closed(detail));
  try {
    await call.open();
  } catch (error) {
    const words = error instanceof Refusal && error.body[currentLanguage()];
    call.close(words || (error instanceof Refusal ? error.message : "unreachable"));
  }
}

function closed(why) {
  interrupted();
  page.microphone?.close();
  page.voice?.close();
  Object.assign(page, { call: null, microphone: null, voice: null, notice: why ?? page.notice });
  $("voice-out").srcObject = null;
  enter("idle");
}

function play(stream) {
  // Chromium feeds a remote stream into Web Audio only while a media element plays it too.
  $("voice-out").srcObject = stream;
  page.voice?.close();
  page.voice = new Meter(page.audio, stream);
  page.audio.resume();
}

/** Tell the agent how to speak. While the user has chosen no voice, the agent picks one for the language of each answer. */
function configure() {
  const name = $("voice").value;
  const chosen = localStorage.getItem("voice") === name ? { name } : {};
  page.call?.send("client-message", { t: "voice", d: { ...chosen, speed: Number($("speed").value) } });
}

/** Say something by text, calling first if need be. Whether it was sent. */
async function say(text, { withMicrophone }) {
  if (["loading", "failed", "connecting", "reconnecting"].includes(state())) return false;
  if (!page.call) await connect({ withMicrophone });
  if (!page.call?.send("send-text", { content: text, options: { run_immediately: true, audio_response: true } })) return false;
  interrupted();
  transcript.type(text);
  enter("thinking");
  return true;
}

function suggestion(text) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: text });
  button.addEventListener("click", () => say(text, { withMicrophone: true }));
  return button;
}

// ---- what the agent says --------------------------------------------------------------------------------------------------------

function interrupted() {
  turn.answering = false; // what still arrives of this answer was not heard
  return transcript.interrupt();
}

const HANDLERS = {
  "user-started-speaking": () => ["speaking", "interrupted"].includes(state()) || enter("hearing"), // it may not interrupt
  "user-stopped-speaking": () => enter("thinking"),
  "user-input": ({ text, final, input_type: by }) => by === "transcription" && transcript.hear(text, final),
  "bot-llm-started": () => (transcript.answer(), (turn.answering = true)),
  "bot-llm-text": ({ text }) => turn.answering && transcript.think(text),
  "bot-tts-started": () => (turn.answering = true),
  "bot-tts-text": ({ text }) => turn.answering && transcript.speak(text),
  "bot-started-speaking": () => enter("speaking"),
  "bot-stopped-speaking": () => state() === "speaking" && enter("listening"),
  "bot-interrupted": () => interrupted() && enter("interrupted"),
  "server-message": (data) => {
    if (data.type === "answer") transcript.settle(data.text, data.interrupted);
    if (data.type === "latency") (page.latency = data), paintLatency();
  },
  "error-response": ({ error }) => notify(error),
  error: ({ error }) => notify(error),
};

const receive = ({ type, data }) => HANDLERS[type]?.(data ?? {});

// ---- latency --------------------------------------------------------------------------------------------------------------------

function paintLatency() {
  $("latency").hidden = page.latency === null;
  if (page.latency === null) return;
  const { seconds, parts } = page.latency;
  const shown = Object.entries(parts).map(([key, value]) => [t(`parts.${key}`) ? key : "other", value]);
  const sums = shown.reduce((all, [key, value]) => ({ ...all, [key]: (all[key] ?? 0) + value }), {});
  $("latency-total").textContent = `${seconds.toFixed(2)} s`;
  $("latency-bar").replaceChildren(
    ...Object.entries(sums).map(([key, value]) => {
      const piece = Object.assign(document.createElement("i"), { className: key });
      piece.style.flexGrow = value;
      return piece;
    }),
  );
  $("latency-parts").replaceChildren(
    ...Object.entries(sums).map(([key, value]) => {
      const row = Object.assign(document.createElement("div"), { className: key });
      row.append(
        Object.assign(document.createElement("dt"), { textContent: t(`parts.${key}`) }),
        Object.assign(document.createElement("dd"), { textContent: `${Math.round(value * 1000)} ms` }),
      );
      return row;
    }),
  );
}

// ---- controls -------------------------------------------------------------------------------------------------------------------

const showSpeed = () => ($("speed-value").textContent = `${Number($("speed").value).toFixed(2)}×`);

$("call").addEventListener("click", () => (page.call ? page.call.close() : connect()));
$("language").addEventListener("click", () => (switchLanguage(), paint()));
$("mute").addEventListener("click", () => {
  page.muted = !page.muted;
  page.call.hearing = !page.muted;
  paint();
});
$("voice").addEventListener("change", () => (localStorage.setItem("voice", $("voice").value), configure()));
$("speed").addEventListener("input", showSpeed);
$("speed").addEventListener("change", () => (localStorage.setItem("speed", $("speed").value), configure()));
$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && (await say(text, { withMicrophone: false }))) $("text").value = "";
});
addEventListener("pagehide", () => page.call?.close());
setInterval(() => {
  if (!page.microphone) return;
  const level = page.muted ? 0 : page.microphone.level;
  $("level").setAttribute("aria-valuenow", Math.round(level * 100));
  $("level").firstChild.style.transform = `scaleX(${level})`;
}, 50);

paint();
meet();
