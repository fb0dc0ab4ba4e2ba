// One call: WebRTC audio both ways, RTVI messages on a data channel, and coming back after the network was lost.

const PING_MS = 1000;       // after its first ping the server takes three silent seconds for a disconnection
const GATHER_MS = 2000;     // a network interface that swallows packets must not hold up the offer
const CONNECT_MS = 10000;
const LOSS_MS = 2000;       // ICE often recovers from "disconnected" by itself within this time
const RETRY_MS = [300, 1000, 2000, 4000, 8000];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An answer other than 200 to an offer. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body.error ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
  }
}

/**
 * Events: `message` (an RTVI message), `stream` (the agent's voice), `up`, `lost` (trying again), `down` (detail: why, or null).
 */
export class Call extends EventTarget {
  #peer = null;
  #channel = null;
  #pings = 0;
  #id = null;
  #ended = false;
  #recovering = false;

  /**
   * @param {(path: string, options: object) => Promise<Response>} request fetch with the token
   * @param {MediaStreamTrack | null} microphone null: listen and type only
   */
  constructor(request, microphone) {
    super();
    this.request = request;
    this.microphone = microphone;
  }

  async open() {
    await this.#connect();
    addEventListener("online", this.#online);
  }

  /** End the call for good. */
  close(why = null) {
    if (this.#ended) return;
    this.#ended = true;
    removeEventListener("online", this.#online);
    this.#drop();
    this.microphone?.stop();
    this.#emit("down", why);
  }

  /** Send an RTVI message; false when the channel is not open. */
  send(type, data = {}) {
    return this.#write({ label: "rtvi-ai", type, id: crypto.randomUUID?.() ?? String(Math.random()), data });
  }

  /** Tell the server whether to expect sound, so that it does not wait for a muted microphone. */
  set hearing(enabled) {
    if (this.microphone) this.microphone.enabled = enabled;
    this.#write({ type: "signalling", message: { type: "trackStatus", receiver_index: 0, enabled } });
  }

  #write(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #online = () => this.#peer?.connectionState !== "connected" && this.#recover();

  async #connect() {
    const peer = new RTCPeerConnection({ iceServers: [] });
    try {
      // The audio transceiver comes first: the server tells media apart by their order.
      peer.addTransceiver(this.microphone ?? "audio", { direction: "sendrecv" });
      const channel = peer.createDataChannel("chat", { ordered: true });
      peer.ontrack = ({ track }) => this.#emit("stream", new MediaStream([track]));
      peer.onconnectionstatechange = () => this.#watch(peer);
      channel.onmessage = ({ data }) => this.#receive(data);
      await peer.setLocalDescription();
      await Promise.race([this.#gathered(peer), sleep(GATHER_MS)]);
      const answer = await this.#offer(peer.localDescription);
      // Only now: closed before the server has renewed the call, the old connection would take the conversation with it.
      this.#drop();
      [this.#peer, this.#channel, this.#id] = [peer, channel, answer.pc_id];
      await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
      await Promise.race([this.#opened(channel), sleep(CONNECT_MS).then(() => Promise.reject(new Error("timeout")))]);
    } catch (error) {
      peer.close();
      throw error;
    }
    if (this.#ended) return this.#drop();
    this.#ping();
    this.#pings = setInterval(() => this.#ping(), PING_MS);
    this.hearing = this.microphone?.enabled ?? false;
    this.send("client-ready", { version: "2.2.0", about: { library: "pipecat-glm-tts" } });
    this.#emit("up");
  }

  async #offer({ type, sdp }) {
    const body = JSON.stringify({ type, sdp, pc_id: this.#id });
    const response = await this.request("/api/offer", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refusal(response.status, answer);
    return answer;
  }

  #ping() {
    if (this.#channel.readyState === "open") this.#channel.send(`ping: ${Date.now()}`);
  }

  #gathered(peer) {
    return new Promise((resolve) => {
      const check = () => peer.iceGatheringState === "complete" && resolve();
      peer.addEventListener("icegatheringstatechange", check);
      check();
    });
  }

  #opened(channel) {
    return new Promise((resolve, reject) => {
      channel.onopen = resolve;
      channel.onclose = () => reject(new Error("closed"));
    });
  }

  #receive(data) {
    const message = JSON.parse(data);
    if (message.label === "rtvi-ai") this.#emit("message", message);
    else if (message.message?.type === "peerLeft") this.close("left");
  }

  async #watch(peer) {
    if (peer.connectionState === "disconnected") await sleep(LOSS_MS);
    if (peer === this.#peer && ["disconnected", "failed", "closed"].includes(peer.connectionState)) this.#recover();
  }

  async #recover() {
    if (this.#ended || this.#recovering || this.#id === null) return;
    this.#recovering = true;
    this.#emit("lost");
    try {
      for (const pause of RETRY_MS) {
        await sleep(pause * (0.75 + Math.random() / 2));
        if (this.#ended) return;
        try {
          return await this.#connect();
        } catch (error) {
          if (error instanceof Refusal && error.status === 401) break;
        }
      }
      this.close("lost");
    } finally {
      this.#recovering = false;
    }
  }

  #drop() {
    clearInterval(this.#pings);
    this.#peer?.close();
  }
}
