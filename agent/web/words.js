// What the page says, in Chinese and English.

const WORDS = {
  zh: {
    title: "对话", other: "English", stage: "通话", talk: "文字记录", transcript: "文字记录",
    voice: "声音", speed: "语速", microphone: "麦克风", microphoneLevel: "麦克风音量", latency: "上一轮延迟",
    type: "打字也可以", send: "发送", token: "请输入这个助手的口令", enter: "进入",
    call: "开始对话", hangUp: "挂断", mute: "静音", unmute: "取消静音", you: "你", agent: "助手", notSpoken: "没有说出",
    empty: "点「开始对话」，然后说些什么，比如：", suggestions: ["现在几点了？", "讲一个长故事", "十二乘以七等于多少？"],
    demo: "演示大脑", states: {
      loading: "正在准备", failed: "无法启动", idle: "未接通", connecting: "正在接通", listening: "在听", hearing: "在听你说",
      thinking: "在想", speaking: "在说", interrupted: "被打断，在听", reconnecting: "网络断了，正在重连",
    },
    hints: {
      idle: "说话随时可以打断。", listening: "请讲。", speaking: "直接开口就能打断。", interrupted: "已经停下，请讲。",
      textOnly: "没有麦克风，请打字。", muted: "麦克风已静音。",
    },
    notices: {
      NotAllowedError: "浏览器没有麦克风权限：点地址栏左边的图标允许麦克风，再重新接通。现在可以打字。",
      NotFoundError: "没有找到麦克风：请接上一个，再重新接通。现在可以打字。",
      NotReadableError: "麦克风被别的程序占用：关掉那个程序，再重新接通。现在可以打字。",
      insecure: "浏览器只在 https 或 localhost 上开放麦克风。现在可以打字。",
      unreachable: "连不上助手：请确认它还在运行。", lost: "连接断了，没能恢复。", left: "助手结束了通话。", token: "口令不对。",
    },
    parts: {
      endpointing_wait: "等停顿", transcription: "识别", turn_detection: "判断说完", llm_inference: "思考", speech_synthesis: "合成",
      other: "其他",
    },
  },
  en: {
    title: "Talk", other: "中文", stage: "Call", talk: "Transcript", transcript: "Transcript",
    voice: "Voice", speed: "Speed", microphone: "Microphone", microphoneLevel: "Microphone level", latency: "Last reply took",
    type: "Or type here", send: "Send", token: "The token of this agent", enter: "Enter",
    call: "Start talking", hangUp: "Hang up", mute: "Mute", unmute: "Unmute", you: "You", agent: "Agent", notSpoken: "not spoken",
    empty: "Press “Start talking” and say something, such as:",
    suggestions: ["What time is it?", "Tell me a long story", "What is twelve times seven?"],
    demo: "demo brain", states: {
      loading: "Getting ready", failed: "Could not start", idle: "Not connected", connecting: "Connecting", listening: "Listening",
      hearing: "Hearing you", thinking: "Thinking", speaking: "Speaking", interrupted: "Interrupted, listening",
      reconnecting: "Connection lost, trying again",
    },
    hints: {
      idle: "You can interrupt at any time.", listening: "Go ahead.", speaking: "Just speak to interrupt.",
      interrupted: "It has stopped. Go ahead.", textOnly: "No microphone: please type.", muted: "Your microphone is muted.",
    },
    notices: {
      NotAllowedError: "The browser may not use the microphone: allow it left of the address, then connect again. You can type meanwhile.",
      NotFoundError: "There is no microphone: plug one in, then connect again. You can type meanwhile.",
      NotReadableError: "Another program holds the microphone: close it, then connect again. You can type meanwhile.",
      insecure: "Browsers open the microphone on https or localhost only. You can type meanwhile.",
      unreachable: "The agent cannot be reached: is it still running?", lost: "The connection was lost for good.",
      left: "The agent ended the call.", token: "That token is wrong.",
    },
    parts: {
      endpointing_wait: "pause", transcription: "recognition", turn_detection: "end of turn", llm_inference: "thinking",
      speech_synthesis: "speech", other: "other",
    },
  },
};

const stored = localStorage.getItem("language");
let language = stored in WORDS ? stored : navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

/** The word for a dotted key, or undefined. */
export const t = (key) => key.split(".").reduce((words, part) => words?.[part], WORDS[language]);

export const currentLanguage = () => language;

/** Write the current language into everything marked with data-t, data-t-label and data-t-placeholder. */
export function translatePage() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
}
