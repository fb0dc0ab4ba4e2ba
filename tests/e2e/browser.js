// Runs in the page before its own code: a tape recorder for both sides of the call, and a microphone to speak into.
(() => {
  const tape = { mine: [], theirs: [], messages: [], peers: [], states: [], scripted: SCRIPTED };
  window.__tape = tape;
  new MutationObserver(() => tape.states.push(document.body?.dataset.state)).observe(document, {
    subtree: true,
    attributeFilter: ["data-state"],
  });
  const WORKLET = `registerProcessor("tape", class extends AudioWorkletProcessor {
    constructor() { super(); this.at = 0; this.buffers = [new Float32Array(4800), new Float32Array(4800)]; }
    process(inputs) {
      for (let i = 0; i < 128; i++) {
        inputs.forEach((input, k) => (this.buffers[k][this.at] = input[0] ? input[0][i] : 0));
        if (++this.at === 4800) { this.port.postMessage(this.buffers); this.at = 0; }
      }
      return true;
    }
  });`;

  let ready;
  const studio = () => (ready ??= build());
  async function build() {
    const context = new AudioContext({ sampleRate: 48000 });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" })));
    const options = { numberOfInputs: 2, numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" };
    const node = new AudioWorkletNode(context, "tape", options);
    node.port.onmessage = ({ data: [mine, theirs] }) => (tape.mine.push(mine), tape.theirs.push(theirs));
    node.connect(context.destination);
    const microphone = context.createMediaStreamDestination();
    const hum = new ConstantSourceNode(context, { offset: 0 }); // without a source no packet would be sent at all
    hum.connect(microphone);
    hum.start();
    return { context, node, microphone };
  }

  tape.say = async (base64) => {
    const { context, node, microphone } = await studio();
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(bytes.buffer) });
    source.connect(microphone);
    source.connect(node, 0, 0);
    source.start();
  };

  /** Both sides so far as interleaved 16-bit samples in base64. */
  tape.play = () => {
    const samples = new Int16Array(tape.mine.length * 4800 * 2);
    tape.mine.forEach((block, b) =>
      block.forEach((x, i) => {
        samples[(b * 4800 + i) * 2] = x * 32767;
        samples[(b * 4800 + i) * 2 + 1] = tape.theirs[b][i] * 32767;
      }),
    );
    let text = "";
    const bytes = new Uint8Array(samples.buffer);
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
  };

  const realMicrophone = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const { context, node, microphone } = await studio();
    if (tape.scripted) return microphone.stream.clone();
    const stream = await realMicrophone(constraints);
    context.createMediaStreamSource(stream).connect(node, 0, 0);
    return stream;
  };

  const RealPeer = RTCPeerConnection;
  window.RTCPeerConnection = class extends RealPeer {
    constructor(options) {
      super(options);
      tape.peers.push(this);
      tape.iceServers = options?.iceServers;
      this.addEventListener("track", async ({ track }) => {
        const { context, node } = await studio();
        context.createMediaStreamSource(new MediaStream([track])).connect(node, 0, 1);
      });
    }
    createDataChannel(...options) {
      const channel = super.createDataChannel(...options);
      channel.addEventListener("message", ({ data }) => tape.messages.push(JSON.parse(data)));
      return channel;
    }
  };
})();
