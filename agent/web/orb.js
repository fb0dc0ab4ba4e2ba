// A drop of ink that listens, thinks and speaks.

const POINTS = 120;

// [filled 0..1, wobble at rest, turns per second, radius] for every state
const MOODS = {
  loading: [0, 0.01, 0.15, 0.78], failed: [0, 0.0, 0, 0.7], idle: [0, 0.012, 0.03, 0.8], connecting: [0.05, 0.02, 0.4, 0.78],
  listening: [0.1, 0.018, 0.05, 0.86], hearing: [0.14, 0.03, 0.08, 0.86], thinking: [0.3, 0.06, 0.45, 0.72],
  speaking: [0.92, 0.03, 0.12, 0.8], interrupted: [0.06, 0.015, 0.06, 0.74], reconnecting: [0, 0.02, 0.4, 0.74],
};

/** The loudness of a stream, 0..1, from now on. */
export class Meter {
  #samples = new Float32Array(1024);
  #level = 0;

  constructor(context, stream) {
    this.analyser = new AnalyserNode(context, { fftSize: 1024 });
    this.source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
    this.source.connect(this.analyser);
  }

  /** Fast up, slow down, on a scale of 50 dB, as ears hear it. */
  get level() {
    this.analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, x) => sum + x * x, 0) / this.#samples.length;
    const loud = Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 55) / 50));
    this.#level = loud > this.#level ? loud : this.#level * 0.88 + loud * 0.12;
    return this.#level;
  }

  close() {
    this.source.disconnect();
  }
}

/** Draws for ever; reads the mood from `body[data-state]` and the colour from the style sheet. */
export class Orb {
  #now = [0, 0, 0, 0.8];
  #level = 0;
  #angle = 0;
  #last = performance.now();

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => number} loudness of whoever is speaking, 0..1
   */
  constructor(canvas, loudness) {
    this.canvas = canvas;
    this.loudness = loudness;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    requestAnimationFrame(this.#frame);
  }

  #frame = (time) => {
    const passed = Math.min(0.1, (time - this.#last) / 1000);
    this.#last = time;
    const mood = MOODS[document.body.dataset.state] ?? MOODS.idle;
    const pace = 1 - Math.exp(-passed * 7);
    this.#now = this.#now.map((value, i) => value + (mood[i] - value) * pace);
    this.#level += (this.loudness() - this.#level) * (1 - Math.exp(-passed * 18));
    this.#angle += this.still.matches ? 0 : this.#now[2] * passed * 2 * Math.PI;
    this.#draw();
    requestAnimationFrame(this.#frame);
  };

  #draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const size = canvas.clientWidth;
    if (canvas.width !== Math.round(size * ratio)) canvas.width = canvas.height = Math.round(size * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size, size);
    const [filled, rest, , radius] = this.#now;
    const { color } = getComputedStyle(canvas);
    const base = (size / 2) * radius * (0.84 + this.#level * 0.1);
    // Ink is darkest where the drop fell and bleeds into the paper around it.
    const ink = pen.createRadialGradient(size / 2, size / 2, base * 0.2, size / 2, size / 2, base * 1.1);
    ink.addColorStop(0, color);
    ink.addColorStop(1, `color-mix(in srgb, ${color} 78%, transparent)`);
    pen.fillStyle = ink;
    pen.strokeStyle = color;
    for (const layer of [2, 1, 0]) {
      const share = [1, 0.5, 0.25][layer];
      const wobble = (rest + this.#level * 0.045) * (1 + layer * 0.6);
      this.#blob(pen, size / 2, base * (1 + layer * 0.055), wobble, this.#angle * (layer % 2 ? -1 : 1) + layer * 2);
      pen.globalAlpha = filled * (layer ? share * 0.3 : 1);
      pen.fill();
      pen.globalAlpha = share * (0.85 - filled * 0.6);
      pen.lineWidth = layer ? 0.8 : 1.8;
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  #blob(pen, centre, radius, wobble, angle) {
    pen.beginPath();
    for (let i = 0; i < POINTS; i++) {
      const a = (i / POINTS) * 2 * Math.PI;
      const wave = Math.sin(a * 3 + angle) * 0.5 + Math.sin(a * 5 - angle * 1.3) * 0.3 + Math.sin(a * 2 + angle * 0.7) * 0.4;
      const r = radius * (1 + wave * wobble);
      pen.lineTo(centre + Math.cos(a) * r, centre + Math.sin(a) * r);
    }
    pen.closePath();
  }
}
