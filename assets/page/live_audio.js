// The microphone as blocks of 40 ms at 16 kHz, 16 bit, whatever rate the sound card has; an AudioWorklet.

const RATE = 16000;
const BLOCK = RATE / 25;
const PHASES = 256; // places between two samples of the input at which the filter is known
const REACH = 16; // zero crossings of the filter on either side

class Blocks extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE; // input samples for one of the output
    const wide = Math.max(1, this.step);
    this.half = Math.ceil(REACH * wide);
    this.filter = lowPass(this.half, 0.94 / wide);
    this.start = -this.half; // which sample of the input `this.input` begins with; silence before the first
    this.input = new Float32Array(this.half);
    this.next = 0; // sample of the output
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }

  process([channels]) {
    const count = channels.length ? channels[0].length : 128;
    const longer = new Float32Array(this.input.length + count);
    longer.set(this.input);
    for (const channel of channels) {
      for (let i = 0; i < count; i += 1) longer[this.input.length + i] += channel[i] / channels.length;
    }
    this.input = longer;
    const end = this.start + longer.length;
    for (; this.next * this.step + this.half + 1 < end; this.next += 1) this.put(this.sample(this.next * this.step));
    const keep = Math.floor(this.next * this.step) - this.half - 1 - this.start;
    if (keep > 0) {
      this.input = longer.slice(keep);
      this.start += keep;
    }
    return true;
  }

  sample(place) {
    const whole = Math.floor(place);
    const phase = Math.round((place - whole) * PHASES);
    const taps = this.filter[phase];
    const first = whole - this.half + 1 - this.start;
    let sum = 0;
    for (let tap = 0; tap < taps.length; tap += 1) sum += taps[tap] * this.input[first + tap];
    return sum;
  }

  put(value) {
    this.block[this.filled] = Math.round(32767 * Math.min(1, Math.max(-1, value)));
    this.filled += 1;
    if (this.filled < BLOCK) return;
    this.port.postMessage(this.block, [this.block.buffer]);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }
}

// Windowed sinc (Blackman): for each phase the weights of 2 × half samples, of sum 1.
function lowPass(half, cutoff) {
  return Array.from({ length: PHASES + 1 }, (_, phase) => {
    const taps = Float32Array.from({ length: 2 * half }, (_, tap) => {
      const x = tap - half + 1 - phase / PHASES;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      const turn = (Math.PI * x) / half;
      return Math.abs(x) > half ? 0 : sinc * (0.42 + 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn));
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((tap) => tap / sum);
  });
}

registerProcessor("blocks", Blocks);
